//! `/metrics` in the OpenMetrics text format, on the admin listener.

use actix_web::{HttpResponse, Responder, web};
use prometheus_client::{encoding::text::encode, registry::Registry};

/// `GET /metrics`.
pub async fn metrics(registry: web::Data<Registry>) -> impl Responder {
    let mut body = String::new();
    match encode(&mut body, &registry) {
        Ok(()) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(body),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
}
