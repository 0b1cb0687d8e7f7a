//! What players' listener answers about people: each handler translates between HTTP and a service, and decides nothing.

mod me;

use actix_web::{
    HttpResponse, Resource,
    http::{StatusCode, header},
    web,
};
use serde::Serialize;

use super::cookie;
use crate::{database::Trouble, problem::problem, routes::methods::allowing};

/// All of them.
pub fn all() -> Vec<Resource> {
    vec![
        allowing("POST, OPTIONS", "/me").route(web::post().to(me::identify)),
        allowing("POST, OPTIONS", "/me/logout").route(web::post().to(me::log_out)),
    ]
}

/// What is needed for an answer is away.
fn away(trouble: &Trouble) -> HttpResponse {
    log::debug!("people: {trouble}");
    later("the database of people is away: come again in a moment")
}

/// Nothing can be done now: `detail` says why.
fn later(detail: &str) -> HttpResponse {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
    answer
}

/// An answer about somebody: for them alone, and never kept. Has the browser keep `value` as our cookie, if there is one.
fn answer(body: &impl Serialize, value: Option<&str>, is_secure: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(value) = value {
        response.insert_header((header::SET_COOKIE, cookie::set(value, is_secure)));
    }
    response.json(body)
}
