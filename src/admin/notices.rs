//! `GET`, `POST` and `DELETE /ws/broadcast`: the notice that all pages show; and `POST /ws/message`, to one of them.

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::player::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    connections::UNKNOWN_NODE,
    door::Caller,
    lasting::Lasting,
};
use crate::{
    object::Object,
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

/// What all pages are to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNotice)]
pub struct Wanted {
    /// Plain text, 1 to 1024 bytes.
    #[schema(examples("Back at 9 UTC"))]
    text: String,
    /// How urgent it is.
    #[serde(default)]
    severity: Severity,
    /// Seconds until it ends by itself. Without them it lasts until an operator takes it back.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 315_360_000, examples(3600))]
    for_s: Option<Lasting>,
}

/// What one page is to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
pub struct Said {
    /// To which connection.
    #[schema(examples("5e1f09ab-17"))]
    connection: String,
    /// Plain text, 1 to 1024 bytes.
    #[schema(examples("please slow down"))]
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

/// What all pages show.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shown {
    /// Null: nothing.
    notice: Option<Notice>,
}

/// The message is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sent {
    /// Tells it from every other one.
    #[schema(examples("01KB6XGZ7V3T9QZ4R1M5H2C8DE"))]
    id: String,
    /// Whether another node was asked to send it, and it is not known here what came of that.
    asked: bool,
}

fn shown(operators: &Operators) -> Shown {
    Shown { notice: operators.notice() }
}

/// Shows the notice that all pages show.
#[utoipa::path(
    get, path = "/ws/broadcast", tag = "players", operation_id = "showNotice",
    responses((status = 200, description = "The notice, if there is one.", body = Shown)),
)]
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// Puts a notice on all pages, of all nodes.
///
/// On the pages of this node at once and of all nodes within a second, and on those that come later, until it ends. It
/// takes the place of the one before.
#[utoipa::path(
    post, path = "/ws/broadcast", tag = "players", operation_id = "putUpNotice",
    request_body = Wanted,
    responses((status = 200, description = "The pages of this node have been sent it.", body = Shown), Unmade),
)]
pub async fn put_up(
    caller: Caller,
    wanted: web::Json<Object<Wanted>>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Wanted { text, severity, for_s } = wanted.into_inner().0;
    if let Err(refusal) = judge(&text) {
        return refusal;
    }
    let since_ms = now_ms();
    let until_ms = for_s.map(|lasting| lasting.until_ms(since_ms));
    let what = json!({ "text": text, "severity": severity, "until_ms": until_ms });
    let notice = Notice { id: ulid(), text, severity, until_ms, since_ms, by: caller.name.clone() };
    let done =
        change.make(&caller, "notice", what, async || operators.set_notice(Some(notice)).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}

/// Takes the notice back from all pages.
#[utoipa::path(
    delete, path = "/ws/broadcast", tag = "players", operation_id = "takeBackNotice",
    responses((status = 200, description = "There is none, as there may have been none before.", body = Shown), Unmade),
)]
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

/// Sends a message to one page, on whichever node its connection is.
#[utoipa::path(
    post, path = "/ws/message", tag = "players", operation_id = "sendMessage",
    request_body = Said,
    responses(
        (status = 200, description = "The connection is of this node, and was sent it.", body = Sent),
        (status = 202, description = "The connection is of another node, which has been asked to send it.", body = Sent),
        (status = 404, description = "This is no id of a connection of a node that is there, or it has ended, or its client shows no messages."),
        Unmade,
    ),
)]
pub async fn say(
    caller: Caller,
    said: web::Json<Object<Said>>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Said { connection, text, severity } = said.into_inner().0;
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
    if !is_ours && !operators.nodes.knows(process) {
        return problem(StatusCode::NOT_FOUND, UNKNOWN_NODE);
    }
    let what = json!({ "connection": connection, "text": text, "severity": severity });
    let message = Message { connection, id: ulid(), text, severity };
    let mut was_sent = false;
    let done = change.make(&caller, "message", what, async || {
        was_sent = operators.say(&message).await?;
        Ok(())
    });
    match done.await {
        Ok(()) if was_sent => HttpResponse::Ok().json(Sent { id: message.id, asked: false }),
        Ok(()) if is_ours => {
            let text = "this connection has ended, or its client does not speak v=2, which messages are for";
            problem(StatusCode::NOT_FOUND, text)
        }
        Ok(()) => HttpResponse::Accepted().json(Sent { id: message.id, asked: true }),
        Err(refusal) => refusal,
    }
}
