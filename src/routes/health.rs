//! `/healthz`: the process answers. `/readyz`: it should be sent players.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{node::Node, store::StoreState};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::switch;
use crate::admission::Admission;

/// `GET /healthz`: 200 as long as anything works at all.
pub async fn healthz() -> HttpResponse {
    alive()
}

/// Word that the process answers.
pub fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Whether a node should be sent players, and why not.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether it should.
    ready: bool,
    /// `loaded`: this listener opens after the board was loaded.
    board: &'static str,
    /// `alive`, or `dead` if one has ended.
    shards: &'static str,
    /// Whether the node stops.
    draining: bool,
    /// `up` or `down`.
    store: &'static str,
    /// Why the store is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_problem: Option<String>,
}

/// `GET /readyz`: 200 if the board is loaded, the shards live and the node is not draining, else 503.
/// A store that is down is told but does not take the readers away, unless `?store=1`.
pub async fn readyz(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
) -> HttpResponse {
    match Readiness::asked(request.query_string(), &node, &admission) {
        Ok(readiness) => readiness.answer(),
        Err(told) => HttpResponse::BadRequest().content_type("text/plain").body(told),
    }
}

impl Readiness {
    /// Of `node` now, as `query` asks.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn asked(query: &str, node: &Node, admission: &Admission) -> Result<Self, String> {
        let store_counts = switch(query, "store")?;
        let dead = node.fatal.get();
        let (store, store_problem) = match node.main().store().state() {
            StoreState::Up => ("up", None),
            StoreState::Down(reason) => ("down", Some(reason.to_string())),
        };
        let draining = admission.is_ending();
        let serving = dead.is_none() && !draining;
        Ok(Self {
            ready: serving && (!store_counts || store == "up"),
            board: "loaded",
            shards: if dead.is_none() { "alive" } else { "dead" },
            draining,
            store,
            store_problem,
        })
    }

    /// 200 or 503.
    pub fn answer(&self) -> HttpResponse {
        if self.ready {
            HttpResponse::Ok().json(self)
        } else {
            HttpResponse::ServiceUnavailable().json(self)
        }
    }
}
