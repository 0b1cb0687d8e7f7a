//! `GET`, `POST` and `DELETE /board/read-only`: whether the board takes checks.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    judge_reason,
};
use crate::{
    object::Object,
    operators::{Operators, model::ReadOnly},
    problem::problem,
    wall::now_ms,
};

/// Why the board is to take no checks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MakeReadOnly)]
pub struct Wanted {
    /// For other operators: one line.
    #[serde(default)]
    #[schema(
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$",
        examples("upgrade until noon")
    )]
    reason: String,
}

/// Whether the board takes checks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoardState)]
pub struct State {
    /// Whether it refuses them.
    read_only: bool,
    /// Who has decided that, and why.
    decision: Option<ReadOnly>,
}

fn shown(operators: &Operators) -> State {
    let decision = operators.decisions().read_only.clone();
    State { read_only: decision.is_some(), decision }
}

/// Shows whether the board takes checks.
#[utoipa::path(
    get, path = "/board/read-only", tag = "board", operation_id = "showReadOnly",
    responses((status = 200, description = "Whether, and why not.", body = State)),
)]
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// Makes the board read-only, on all nodes.
///
/// After the answer no check is acknowledged on this node, and within a second on none. Reading goes on. It lasts over
/// restarts, until it is taken back. On a board that is read-only already it replaces the reason.
#[utoipa::path(
    post, path = "/board/read-only", tag = "board", operation_id = "makeReadOnly",
    request_body = Wanted,
    responses((status = 200, description = "The board is read-only.", body = State), Unmade),
)]
pub async fn begin(
    caller: Caller,
    wanted: web::Json<Object<Wanted>>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let reason = wanted.into_inner().0.reason;
    if let Err(why) = judge_reason(&reason) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &why);
    }
    let decision = ReadOnly { reason: reason.clone(), since_ms: now_ms(), by: caller.name.clone() };
    let done = change.make(&caller, "board.read_only", json!({ "reason": reason }), async || {
        operators.set_read_only(Some(decision)).await
    });
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}

/// Has the board take checks again, on all nodes.
#[utoipa::path(
    delete, path = "/board/read-only", tag = "board", operation_id = "makeWritable",
    responses((status = 200, description = "The board takes checks, as it may have done before.", body = State), Unmade),
)]
pub async fn end(
    caller: Caller,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let done = change
        .make(&caller, "board.writable", json!({}), async || operators.set_read_only(None).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}
