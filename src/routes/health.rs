//! `/healthz`: the process answers. `/readyz`: it should be sent players.

use actix_web::{HttpResponse, Responder, web};
use actors::{store::StoreState, topology::Node};
use serde::{Deserialize, Serialize};

/// `GET /healthz`: 200 as long as anything works at all.
pub async fn healthz() -> impl Responder {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// `?store=1` makes the store's state decisive.
#[derive(Debug, Deserialize)]
pub struct Strictness {
    #[serde(default)]
    store: u8,
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
pub async fn readyz(node: web::Data<Node>, strictness: web::Query<Strictness>) -> impl Responder {
    let dead = node.fatal.get();
    let (store, store_problem) = match node.store().state() {
        StoreState::Up => ("up", None),
        StoreState::Down(reason) => ("down", Some(reason.to_string())),
    };
    let serving = dead.is_none() && !node.is_draining();
    let readiness = Readiness {
        ready: serving && (strictness.store == 0 || store == "up"),
        // The listener opens after the board was loaded.
        board: "loaded",
        shards: if dead.is_none() { "alive" } else { "dead" },
        draining: node.is_draining(),
        store,
        store_problem,
    };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}
