//! Errors over HTTP as problem details (RFC 9457): `application/problem+json`.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

/// The media type of all of them.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error that needs no type of its own: `detail` says what is wrong and what to do, in one sentence.
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    answer(
        status,
        &json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail }),
    )
}

/// An error whose `body` has the members of RFC 9457, and more if it needs them. Never cached.
pub fn answer(status: StatusCode, body: &Value) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(MEDIA_TYPE)
        .body(format!("{body}\n"))
}
