//! What players' listener answers about people: each handler translates between HTTP and a service, and decides nothing.

mod accounts;
mod leaderboard;
mod me;
mod teams;

use std::time::Duration;

use actix_web::{
    HttpResponse, Resource,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web::{self, delete, get, post, put},
};
use serde::Serialize;

use super::{Presented, cookie, identity::Identity};
use crate::{
    database::Trouble,
    problem::problem,
    routes::methods::{allowing, get_or_head},
};

/// All of them.
pub fn all() -> Vec<Resource> {
    const POST: &str = "POST, OPTIONS";
    let posting = |path| allowing(POST, path);
    vec![
        allowing("POST, DELETE, OPTIONS", "/me")
            .route(post().to(me::identify))
            .route(delete().to(accounts::delete)),
        posting("/me/register").route(post().to(accounts::register)),
        posting("/me/login").route(post().to(accounts::log_in)),
        posting("/me/reset").route(post().to(accounts::reset)),
        posting("/me/logout").route(post().to(me::log_out)),
        posting("/me/name").route(post().to(accounts::rename)),
        posting("/me/password").route(post().to(accounts::change_password)),
        posting("/me/export").route(post().to(accounts::export)),
        get_or_head("/leaderboard", leaderboard::show),
        posting("/teams").route(post().to(teams::create)),
        posting("/teams/join").route(post().to(teams::join)),
        posting("/teams/leave").route(post().to(teams::leave)),
        allowing("GET, HEAD, PUT, OPTIONS", "/teams/{id}")
            .route(get().to(teams::show))
            .route(web::head().to(teams::show))
            .route(put().to(teams::change)),
    ]
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

/// It is done, and there is nothing to say.
fn done() -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// Whoever asks, if that is certain.
///
/// # Errors
/// The answer: 401 for nobody in particular, 503 if it cannot be said yet.
fn known(from: Presented) -> Result<Identity, HttpResponse> {
    match from {
        Presented::Valid(identity) => Ok(identity),
        Presented::Nobody => Err(problem(StatusCode::UNAUTHORIZED, "sign in first")),
        Presented::Unknown => Err(not_yet()),
    }
}

/// Whether an identity holds cannot be said yet.
fn not_yet() -> HttpResponse {
    later("who has signed out is not known yet: come again in a moment")
}

/// The database did not do what an answer needs.
fn away(trouble: &Trouble) -> HttpResponse {
    log::debug!("people: {trouble}");
    later("the database of people is away: come again in a moment")
}

/// Nothing can be done now: `detail` says why.
fn later(detail: &str) -> HttpResponse {
    wait(StatusCode::SERVICE_UNAVAILABLE, detail, Duration::from_secs(2))
}

/// Nothing is done before so much time has passed.
fn wait(status: StatusCode, detail: &str, time: Duration) -> HttpResponse {
    let seconds = HeaderValue::from(time.as_millis().div_ceil(1000).max(1) as u64);
    let mut answer = problem(status, detail);
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}
