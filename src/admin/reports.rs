//! `GET /reports` and `POST /reports/{id}/close`: what players have reported, and that it was dealt with.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    people::refusal,
};
use crate::{
    people::{
        People,
        groups::GroupError,
        model::{GroupId, Report},
    },
    problem::problem,
    routes::query::{expect_only, number},
    wall::now_ms,
};

/// Reports without `limit=`, and at most: of 40 kB each.
const PAGE: (u32, u32) = (20, 100);

/// What a player has reported.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Report)]
pub struct Shown {
    /// Which.
    #[schema(examples("0123456789abcdef"))]
    id: String,
    /// Who reports; null once the account is gone.
    reporter: Option<String>,
    /// Who has written the last one of the messages.
    about: String,
    /// In the words of who reports; of the page `spam`, `abuse` or `other`.
    #[schema(examples("spam"))]
    reason: String,
    /// As members heard them: the one that is meant last, up to 19 before it.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Value>>)]
    messages: Vec<Value>,
    /// When, in milliseconds since 1970 (UTC).
    at_ms: u64,
}

/// Reports that are open.
#[derive(Debug, Serialize, ToSchema)]
pub struct Reports {
    /// The oldest first.
    reports: Vec<Shown>,
}

/// A report is closed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClosedReport)]
pub struct Closed {
    /// Which.
    closed: String,
}

impl From<Report> for Shown {
    fn from(report: Report) -> Self {
        let Report { id, reporter, what, at_ms } = report;
        Self {
            id: format!("{id:016x}"),
            reporter: reporter.map(|reporter| reporter.to_string()),
            about: what.about.to_string(),
            reason: what.reason,
            // Written by this server.
            messages: serde_json::from_str(&what.message).unwrap_or_default(),
            at_ms,
        }
    }
}

/// Lists reports of players that are open, the oldest first.
///
/// For operators, since it shows what players write.
#[utoipa::path(
    get, path = "/reports", tag = "people", operation_id = "listReports",
    params(("limit" = Option<u32>, Query, description = "How many: 20, and at most 100", maximum = 4294967295u32, example = 10)),
    responses(
        (status = 200, description = "Those that were reported longest ago.", body = Reports),
        (status = 400, description = "The query is not understood."),
        (status = 503, description = "The database of people is away."),
    ),
)]
pub async fn list(caller: Caller, request: HttpRequest, people: web::Data<People>) -> HttpResponse {
    if let Err(refusal) = caller.demand_operator("to read what was reported") {
        return refusal;
    }
    let query = request.query_string();
    let limit = match expect_only(query, &["limit"]).and_then(|()| number(query, "limit")) {
        Ok(limit) => limit.unwrap_or(PAGE.0).clamp(1, PAGE.1),
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    match people.groups.open_reports(limit.into()).await {
        Ok(reports) => {
            let reports = reports.into_iter().map(Shown::from).collect();
            HttpResponse::Ok().json(Reports { reports })
        }
        Err(error) => refusal(&error),
    }
}

/// Closes a report, which is forgotten 90 days later.
#[utoipa::path(
    post, path = "/reports/{id}/close", tag = "people", operation_id = "closeReport",
    params(("id" = String, Path, description = "As `GET /reports` has it", example = "0123456789abcdef")),
    responses(
        (status = 200, description = "It is closed.", body = Closed),
        (status = 404, description = "There is no such report, or it was closed before."),
        Unmade,
    ),
)]
pub async fn close(
    caller: Caller,
    id: web::Path<String>,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let unknown = || problem(StatusCode::NOT_FOUND, "there is no such report, or it was closed");
    // Its id is one by chance, as those of groups are.
    let Some(id) = GroupId::read(&id) else { return unknown() };
    let what = json!({ "report": id.to_string() });
    let make = async || people.groups.close_report(id.get(), &caller.name, now_ms()).await;
    match change.attempt(&caller, "report.close", what, make).await {
        Ok(()) => HttpResponse::Ok().json(Closed { closed: id.to_string() }),
        Err(failed) => failed.answer(|error| match error {
            GroupError::Unknown => unknown(),
            error => refusal(&error),
        }),
    }
}
