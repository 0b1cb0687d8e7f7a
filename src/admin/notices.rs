//! `GET`, `POST` and `DELETE /ws/broadcast`: the notice that all pages show.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    lasting::Lasting,
};
use crate::{
    object::Object,
    operators::{
        Operators,
        envelope::ulid,
        model::{Notice, Severity},
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

/// Refuses what is no text for people: nothing, too much, or with control characters besides line breaks.
pub fn judge(text: &str) -> Result<(), HttpResponse> {
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
