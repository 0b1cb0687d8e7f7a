//! `GET /audit`: the newest lines of this node's audit.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::change::Change;
use crate::{
    operators::audit::Line,
    problem::problem,
    routes::query::{expect_only, number},
};

/// Lines without `limit=`, and at most.
const LINES: (u32, u32) = (100, 1000);

/// Lines of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lines {
    /// Oldest first.
    lines: Vec<Line>,
}

/// Reads the newest lines of the audit of this node.
///
/// Who has changed what, when and from where.
#[utoipa::path(
    get, path = "/audit", tag = "changes", operation_id = "readAudit",
    params(("limit" = Option<u32>, Query, description = "How many lines: 100, and at most 1000", maximum = 4294967295u32, example = 10)),
    responses(
        (status = 200, description = "Lines, oldest first.", body = Lines),
        (status = 400, description = "The query is not understood."),
        (status = 500, description = "The audit cannot be read."),
    ),
)]
pub async fn audit(request: HttpRequest, change: web::Data<Change>) -> HttpResponse {
    let query = request.query_string();
    let limit = match expect_only(query, &["limit"]).and_then(|()| number(query, "limit")) {
        Ok(limit) => limit.unwrap_or(LINES.0).min(LINES.1),
        Err(told) => return problem(StatusCode::BAD_REQUEST, told.trim_end()),
    };
    match change.0.newest(limit as usize).await {
        Ok(lines) => HttpResponse::Ok().json(Lines { lines }),
        Err(error) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the audit cannot be read: {error}"),
        ),
    }
}
