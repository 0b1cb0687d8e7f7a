//! `GET`, `POST` and `DELETE /ws/broadcast`: the notice that all pages show; and `POST /ws/message`, to one of them.

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::player::SessionId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{change::Change, door::Caller};
use crate::{
    operators::{
        Operators,
        envelope::ulid,
        model::{Notice, Severity},
        talk::Message,
    },
    problem::problem,
    wall::now_ms,
};

/// Most bytes of a notice.
const TEXT_BYTES_MAX: usize = 1024;

/// What `POST /ws/broadcast` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Plain text.
    text: String,
    /// How urgent it is.
    #[serde(default)]
    severity: Severity,
    /// Seconds until it ends by itself.
    for_s: Option<u64>,
}

/// What `POST /ws/message` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// To which connection.
    connection: String,
    /// Plain text.
    text: String,
    /// How urgent it is.
    #[serde(default)]
    severity: Severity,
}

/// Refuses what is no text for people: nothing, too much, or with control characters besides line breaks.
fn judge(text: &str) -> Result<(), HttpResponse> {
    let is_text = text.chars().all(|c| c == '\n' || !c.is_control());
    if !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && is_text {
        return Ok(());
    }
    let text = format!(
        "text: 1 to {TEXT_BYTES_MAX} bytes of plain text, without control characters but line breaks"
    );
    Err(problem(StatusCode::UNPROCESSABLE_ENTITY, &text))
}

fn shown(operators: &Operators) -> Value {
    json!({ "notice": operators.notice() })
}

/// `GET /ws/broadcast`.
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// `POST /ws/broadcast`: on all pages of this node at once and of all nodes within a second, and on those that come later.
pub async fn put_up(
    caller: Caller,
    wanted: web::Json<Wanted>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Wanted { text, severity, for_s } = wanted.into_inner();
    if let Err(refusal) = judge(&text) {
        return refusal;
    }
    let since_ms = now_ms();
    let until_ms = for_s.map(|seconds| since_ms.saturating_add(seconds.saturating_mul(1000)));
    let what = json!({ "text": text, "severity": severity, "until_ms": until_ms });
    let notice = Notice { id: ulid(), text, severity, until_ms, since_ms, by: caller.name.clone() };
    let done =
        change.make(&caller, "notice", what, async || operators.set_notice(Some(notice)).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}

/// `DELETE /ws/broadcast`: takes the notice back.
pub async fn take_back(
    caller: Caller,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let done =
        change.make(&caller, "notice.end", json!({}), async || operators.set_notice(None).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}

/// `POST /ws/message`: 200 if the connection is of this node and was sent it; 202 if it is of another one, which is asked.
pub async fn say(
    caller: Caller,
    said: web::Json<Said>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Said { connection, text, severity } = said.into_inner();
    if let Err(refusal) = judge(&text) {
        return refusal;
    }
    let Some((process, _)) = SessionId::read(&connection) else {
        return problem(
            StatusCode::NOT_FOUND,
            "this is no id of a connection: see GET /connections",
        );
    };
    let is_ours = process == SessionId::process();
    let what = json!({ "connection": connection, "text": text, "severity": severity });
    let message = Message { connection, id: ulid(), text, severity };
    let mut was_sent = false;
    let done = change.make(&caller, "message", what, async || {
        was_sent = operators.say(&message).await?;
        Ok(())
    });
    match done.await {
        Ok(()) if was_sent => HttpResponse::Ok().json(json!({ "id": message.id })),
        Ok(()) if is_ours => {
            let text = "this connection has ended, or its client does not speak v=2, which messages are for";
            problem(StatusCode::NOT_FOUND, text)
        }
        Ok(()) => HttpResponse::Accepted().json(json!({ "id": message.id })),
        Err(refusal) => refusal,
    }
}
