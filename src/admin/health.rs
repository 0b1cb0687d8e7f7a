//! `/healthz` and `/readyz` as operators' machines ask for them.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::node::Node;

use crate::{
    admission::Admission,
    problem::problem,
    routes::health::{self, Readiness},
};

/// Says that the process answers.
///
/// As long as anything works at all. For a probe of liveness.
#[utoipa::path(
    get, path = "/healthz", tag = "watching", operation_id = "isAlive",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain", example = "ok\n")),
)]
pub async fn healthz() -> HttpResponse {
    health::alive()
}

/// Says whether the node should be sent players.
///
/// It should if the board is loaded, the shards live and the node does not stop. A store that is down does not take
/// the readers away, unless `store` is on. For load balancers and a probe of readiness.
#[utoipa::path(
    get, path = "/readyz", tag = "watching", operation_id = "isReady",
    params(("store" = Option<bool>, Query, description = "Whether a store that is down makes the node unready")),
    responses(
        (status = 200, description = "It should.", body = Readiness),
        (status = 503, description = "It should not.", body = Readiness),
        (status = 400, description = "`store` is neither on nor off."),
    ),
)]
pub async fn readyz(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
) -> HttpResponse {
    match Readiness::asked(request.query_string(), &node, &admission) {
        Ok(readiness) => readiness.answer(),
        Err(told) => problem(StatusCode::BAD_REQUEST, told.trim_end()),
    }
}
