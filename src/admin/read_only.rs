//! `GET`, `POST` and `DELETE /board/read-only`: whether the board takes checks.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{change::Change, door::Caller, judge_reason};
use crate::{
    operators::{Operators, model::ReadOnly},
    problem::problem,
    wall::now_ms,
};

/// What `POST` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// For other operators.
    #[serde(default)]
    reason: String,
}

fn shown(operators: &Operators) -> Value {
    let read_only = operators.decisions().read_only.clone();
    json!({ "read_only": read_only.is_some(), "decision": read_only })
}

/// `GET /board/read-only`.
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// `POST /board/read-only`: after the answer no check is acknowledged on this node, and within a second on all.
pub async fn begin(
    caller: Caller,
    wanted: web::Json<Wanted>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let reason = wanted.into_inner().reason;
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

/// `DELETE /board/read-only`: checks are taken again.
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
