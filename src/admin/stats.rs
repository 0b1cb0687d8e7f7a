//! `GET /ws/stats` and `GET /ws/health`: what the nodes of the board do, and whether this one is well.

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::{node::Node, player::SessionId, store::StoreState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admission::Admission,
    operators::{Operators, nodes::NodeStats},
};

/// The nodes of the board.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    /// The id of the node that was asked.
    #[schema(examples("5e1f09ab"))]
    node: String,
    /// All that were heard in the last five seconds.
    nodes: Vec<NodeStats>,
}

/// Shows what every node of the board does.
///
/// All nodes that were heard in the last five seconds, the one that is asked among them.
#[utoipa::path(
    get, path = "/ws/stats", tag = "watching", operation_id = "showStats",
    responses((status = 200, description = "One entry for each node.", body = Stats)),
)]
pub async fn stats(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(Stats { node: SessionId::process(), nodes: operators.nodes.now() })
}

/// Whether a node is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Whether it takes players and their checks.
    healthy: bool,
    /// Why it does not.
    reasons: Vec<String>,
    /// `up` or `down`.
    store: &'static str,
    /// `alive`, or `ended` if one has.
    actors: &'static str,
    /// Whether the node stops.
    draining: bool,
    /// Whether an operator has made the board read-only.
    read_only: bool,
}

/// Says whether this node is well, and why not.
///
/// It is if it takes players and their checks. For people and alerts; load balancers ask `/readyz`, because readers are
/// served by a node that takes no checks.
#[utoipa::path(
    get, path = "/ws/health", tag = "watching", operation_id = "showHealth",
    responses(
        (status = 200, description = "It is.", body = Health),
        (status = 503, description = "It is not.", body = Health),
    ),
)]
pub async fn health(
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    operators: web::Data<Operators>,
) -> HttpResponse {
    let mut reasons = Vec::new();
    let store_problem = match node.main().store().state() {
        StoreState::Up => None,
        StoreState::Down(reason) => Some(reason.to_string()),
    };
    reasons.extend(
        store_problem.as_ref().map(|reason| format!("the store takes no checks: {reason}")),
    );
    let ended = node.fatal.get();
    reasons.extend(ended.as_ref().map(|what| format!("{what} has ended")));
    if admission.is_ending() {
        reasons.push("the node is stopping".to_owned());
    }
    let read_only = operators.decisions().read_only.clone();
    reasons.extend(
        read_only
            .as_ref()
            .map(|decision| format!("an operator ({}) has made the board read-only", decision.by)),
    );
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Health {
        healthy: reasons.is_empty(),
        reasons,
        store: store_problem.map_or("up", |_| "down"),
        actors: ended.map_or("alive", |_| "ended"),
        draining: admission.is_ending(),
        read_only: read_only.is_some(),
    })
}
