//! Errors over HTTP as problem details (RFC 9457): `application/problem+json`.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of all of them.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem<'a> {
    /// What kind of problem it is; of none in particular: `about:blank`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The name of the status.
    #[schema(examples("Not Found"))]
    pub title: &'a str,
    /// The status, once more.
    #[schema(minimum = 400, maximum = 599, examples(404))]
    pub status: u16,
    /// What is wrong and what to do, for people.
    #[schema(examples("this connection has ended"))]
    pub detail: &'a str,
}

/// An error that needs no type of its own: `detail` says what is wrong and what to do, in one sentence.
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    answer(status, &Problem { kind: "about:blank", title, status: status.as_u16(), detail })
}

/// An error whose `body` has the members of RFC 9457, and more if it needs them. Never cached.
pub fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_string(body).expect("strings and numbers have a form in JSON");
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(MEDIA_TYPE)
        .body(format!("{body}\n"))
}
