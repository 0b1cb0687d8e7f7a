//! What players' listener answers about people: each handler translates between HTTP and a service, and decides nothing.

mod me;

use actix_web::{HttpResponse, Resource, http::header, web};
use serde::Serialize;

use super::cookie;
use crate::routes::methods::allowing;

/// All of them.
pub fn all() -> Vec<Resource> {
    vec![allowing("POST, OPTIONS", "/me").route(web::post().to(me::identify))]
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
