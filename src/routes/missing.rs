//! What is said where there is nothing: a page that leads to the board for people, a line for programs.

use actix_web::{
    Error, HttpRequest, HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    web,
};

use super::{methods::read_only, page::Page};

/// The same for a file that is not in `static/`.
pub async fn missing_file(request: ServiceRequest) -> Result<ServiceResponse, Error> {
    let page = request.app_data::<web::Data<Page>>().expect("every request has it").clone();
    let response = missing(request.request().clone(), page).await;
    Ok(request.into_response(response))
}

/// Any address without anything behind it.
pub async fn missing(request: HttpRequest, page: web::Data<Page>) -> HttpResponse {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return read_only(&request);
    }
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let mut response = HttpResponse::NotFound();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if !accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return response
            .content_type("text/plain; charset=utf-8")
            .body("there is nothing at this address\n");
    }
    let board = page.base();
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .body(format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>Nothing here</title>\n\
             <h1>There is nothing at this address</h1>\n\
             <p>The <a href=\"{board}/\">billion checkboxes</a> are elsewhere.</p>\n</html>\n"
        ))
}
