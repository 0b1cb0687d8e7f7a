//! Which methods a path takes, and what every other one is told: 405 with `Allow` (RFC 9110 §15.5.6), and
//! 204 with the same for OPTIONS, by which HAProxy's plainest check asks whether the server is there.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard,
    http::{Method, header},
    web,
};

use crate::traffic::Route;

/// What is only read.
const READ: &str = "GET, HEAD, OPTIONS";

/// A resource that answers GET and HEAD (RFC 9110 §9.3.2).
pub fn get_or_head<F, Args>(path: &'static str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    allowing(READ, path).route(web::route().guard(reads).to(handler))
}

/// A resource without routes yet, which tells whoever asks with another method that it takes `methods`. Its requests are
/// counted under `path`, unless it is given another [`Route`].
pub fn allowing(methods: &'static str, path: &'static str) -> Resource {
    let tell = move |request: HttpRequest| async move { other_method(&request, methods) };
    web::resource(path).app_data(Route(path)).default_service(web::to(tell))
}

/// What somebody is told who asks for something that is only read with another method than GET or HEAD.
pub fn read_only(request: &HttpRequest) -> HttpResponse {
    other_method(request, READ)
}

fn other_method(request: &HttpRequest, methods: &'static str) -> HttpResponse {
    let mut response = if request.method() == Method::OPTIONS {
        HttpResponse::NoContent()
    } else {
        HttpResponse::MethodNotAllowed()
    };
    response.insert_header((header::ALLOW, methods));
    if request.method() == Method::OPTIONS {
        return response.finish();
    }
    response.content_type("text/plain; charset=utf-8").body(format!("this takes {methods}\n"))
}
