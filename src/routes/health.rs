//! `/healthz`: the process answers. `/readyz`: it should be sent players.

use actix_web::{HttpRequest, HttpResponse, Responder, web};
use actors::{node::Node, store::StoreState};
use serde::Serialize;

use super::query::switch;
use crate::admission::Admission;

/// `GET /healthz`: 200 as long as anything works at all.
pub async fn healthz() -> impl Responder {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    board: &'static str,
    shards: &'static str,
    draining: bool,
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_problem: Option<String>,
}

/// `GET /readyz`: 200 if the board is loaded, the shards live and the node is not draining, else 503.
/// A store that is down is told but does not take the readers away, unless `?store=1`.
pub async fn readyz(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
) -> impl Responder {
    let store_counts = match switch(request.query_string(), "store") {
        Ok(counts) => counts,
        Err(told) => return HttpResponse::BadRequest().content_type("text/plain").body(told),
    };
    let dead = node.fatal.get();
    let (store, store_problem) = match node.main().store().state() {
        StoreState::Up => ("up", None),
        StoreState::Down(reason) => ("down", Some(reason.to_string())),
    };
    let draining = admission.is_ending();
    let serving = dead.is_none() && !draining;
    let readiness = Readiness {
        ready: serving && (!store_counts || store == "up"),
        // The listener opens after the board was loaded.
        board: "loaded",
        shards: if dead.is_none() { "alive" } else { "dead" },
        draining,
        store,
        store_problem,
    };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}
