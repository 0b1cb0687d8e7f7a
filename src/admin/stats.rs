//! `GET /ws/stats` and `GET /ws/health`: what the nodes of the board do, and whether this one is well.

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::{node::Node, player::SessionId, store::StoreState};
use serde_json::json;

use crate::{admission::Admission, operators::Operators};

/// `GET /ws/stats`: all nodes that were heard in the last five seconds, this one among them.
pub async fn stats(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "node": SessionId::process(), "nodes": operators.nodes.now() }))
}

/// `GET /ws/health`: 200 if this node takes players and their checks, else 503; with the reasons either way.
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
    HttpResponse::build(status).json(json!({
        "healthy": reasons.is_empty(),
        "reasons": reasons,
        "store": store_problem.map_or("up", |_| "down"),
        "actors": ended.map_or("alive", |_| "ended"),
        "draining": admission.is_ending(),
        "read_only": read_only.is_some(),
    }))
}
