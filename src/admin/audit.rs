//! `GET /audit`: the newest lines of this node's audit.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::json;

use super::change::Change;
use crate::{
    problem::problem,
    routes::query::{expect_only, number},
};

/// Lines without `limit=`, and at most.
const LINES: (u32, u32) = (100, 1000);

/// `GET /audit?limit=N`.
pub async fn audit(request: HttpRequest, change: web::Data<Change>) -> HttpResponse {
    let query = request.query_string();
    let limit = match expect_only(query, &["limit"]).and_then(|()| number(query, "limit")) {
        Ok(limit) => limit.unwrap_or(LINES.0).min(LINES.1),
        Err(told) => return problem(StatusCode::BAD_REQUEST, told.trim_end()),
    };
    match change.0.newest(limit as usize).await {
        Ok(lines) => HttpResponse::Ok().json(json!({ "lines": lines })),
        Err(error) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the audit cannot be read: {error}"),
        ),
    }
}
