//! The operators' listener: metrics, health, copies of the board, boxes merged into it.
//!
//! Metrics and health answer whoever gets here, by whatever name: load balancers and scrapers use all kinds. All
//! else stands behind the guard of [`door`], also a handler that is added to [`for_operators`].

mod audit;
pub mod backup;
mod blocks;
pub mod change;
mod connections;
pub mod door;
mod notices;
mod read_only;
mod settings;
mod stats;
mod trace;
pub mod tokens;
mod limits;
mod metrics;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_server::Server;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Scope, dev::Service as _, error::JsonPayloadError,
    guard, http::StatusCode, middleware::from_fn, web,
};
use actors::node::Node;
use anyhow::Result;
use prometheus_client::registry::Registry;

use self::{change::Change, door::Door};
use crate::{
    admission::Admission,
    live::Following,
    operators::Operators,
    problem::problem,
    routes::{
        headers, health,
        methods::{allowing, get_or_head, read_only},
    },
    settings::InForce,
    traffic::{Route, Traffic},
};

/// Most bytes of a body of JSON.
const JSON_BYTES_MAX: usize = 16 * 1024;

/// What the listener serves, and to whom.
pub struct Admin {
    /// The node that is asked about.
    pub node: Arc<Node>,
    /// Whether it takes newcomers.
    pub admission: Arc<Admission>,
    /// Its metrics.
    pub registry: Registry,
    /// Export and import.
    pub operations: backup::Operations,
    /// Who is let in.
    pub door: Door,
    /// What operators have decided.
    pub operators: Arc<Operators>,
    /// The settings in force.
    pub settings: Arc<Mutex<InForce>>,
    /// How changes are made.
    pub change: Change,
    /// Settings that may change: `admin.hosts`.
    pub live: Following,
    /// Longest time a connection may be idle.
    pub keep_alive: Duration,
    /// Where requests are counted.
    pub traffic: Traffic,
}

/// Serves operators on one thread.
///
/// # Errors
/// If the listener cannot be used.
pub fn serve(listener: std::net::TcpListener, admin: Admin) -> Result<Server> {
    let Admin {
        node,
        admission,
        registry,
        operations,
        door,
        operators,
        settings,
        change,
        live,
        keep_alive,
        traffic,
    } = admin;
    let (operators, change) = (web::Data::from(operators), web::Data::new(change));
    let settings = web::Data::from(settings);
    let (node, admission) = (web::Data::from(node), web::Data::from(admission));
    let (registry, door) = (web::Data::new(registry), web::Data::new(door));
    let (operations, live) = (web::Data::new(operations), web::Data::new(live));
    let server = HttpServer::new(move || {
        let traffic = traffic.of("operators");
        App::new()
            .app_data(registry.clone())
            .app_data(node.clone())
            .app_data(admission.clone())
            .app_data(operations.clone())
            .app_data(live.clone())
            .app_data(door.clone())
            .app_data(operators.clone())
            .app_data(settings.clone())
            .app_data(change.clone())
            .app_data(json())
            .service(get_or_head("/metrics", metrics::metrics))
            .service(get_or_head("/healthz", health::healthz))
            .service(get_or_head("/readyz", health::readyz))
            .service(web::resource("/").app_data(Route("/")).guard(guard::Options()).to(is_there))
            .service(door::guarded(for_operators()))
            .wrap(from_fn(headers::protected))
            .wrap_fn(move |request, app| {
                traffic.counting(request.method().into(), app.call(request))
            })
    });
    Ok(server.keep_alive(keep_alive).workers(1).disable_signals().listen(listener)?.run())
}

/// Whatever reads the board or writes to it, and every path that does not exist.
fn for_operators() -> Scope {
    let export = web::route().guard(guard::Get()).to(backup::export);
    let import = web::route().guard(guard::Post()).to(backup::import);
    web::scope("")
        .service(allowing("GET, OPTIONS", "/export").route(export))
        .service(allowing("POST, OPTIONS", "/import").route(import))
        .service(get_or_head("/store", backup::store))
        .service(get_or_head("/limits/why", limits::why))
        .service(get_or_head("/audit", audit::audit))
        .service(get_or_head("/settings", settings::settings))
        .service(get_or_head("/ws/stats", stats::stats))
        .service(get_or_head("/ws/health", stats::health))
        .service(
            allowing("GET, HEAD, POST, DELETE, OPTIONS", "/board/read-only")
                .route(web::get().to(read_only::show))
                .route(web::head().to(read_only::show))
                .route(web::post().to(read_only::begin))
                .route(web::delete().to(read_only::end)),
        )
        .service(
            allowing("GET, HEAD, POST, DELETE, OPTIONS", "/blocks")
                .route(web::get().to(blocks::show))
                .route(web::head().to(blocks::show))
                .route(web::post().to(blocks::block))
                .route(web::delete().to(blocks::unblock)),
        )
        .service(
            allowing("GET, HEAD, POST, DELETE, OPTIONS", "/ws/broadcast")
                .route(web::get().to(notices::show))
                .route(web::head().to(notices::show))
                .route(web::post().to(notices::put_up))
                .route(web::delete().to(notices::take_back)),
        )
        .service(allowing("POST, OPTIONS", "/ws/message").route(web::post().to(notices::say)))
        .service(get_or_head("/connections", connections::list))
        .service(
            allowing("DELETE, OPTIONS", "/connections/{id}")
                .route(web::delete().to(connections::end)),
        )
        .service(allowing("GET, OPTIONS", "/trace/{connection}").route(web::get().to(trace::trace)))
        .default_service(web::to(nothing_here))
}

/// Bodies of JSON, and what is wrong with one.
fn json() -> web::JsonConfig {
    web::JsonConfig::default().limit(JSON_BYTES_MAX).error_handler(|error, _| {
        let status = match &error {
            JsonPayloadError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            JsonPayloadError::Deserialize(error) if error.is_data() => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let refusal = problem(status, &error.to_string());
        actix_web::error::InternalError::from_response(error, refusal).into()
    })
}

/// `OPTIONS /`, by which HAProxy's plainest check asks whether anybody is there.
async fn is_there(request: HttpRequest) -> HttpResponse {
    read_only(&request)
}

async fn nothing_here() -> HttpResponse {
    problem(
        StatusCode::NOT_FOUND,
        "operators find /metrics, /healthz, /readyz, /store, /limits/why, /audit, /blocks, /connections, /settings, /ws/stats, /ws/health, /ws/broadcast, /ws/message, /trace, /board/read-only, /export and /import here",
    )
}

/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 200;

/// Refuses a reason that is too long, or not one line of text.
fn judge_reason(reason: &str) -> Result<(), String> {
    if reason.chars().count() <= REASON_CHARS_MAX && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("reason: at most {REASON_CHARS_MAX} characters, and no control characters"))
}

/// Refuses an operator's request, and logs that.
fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    log::info!("refused: {reason}");
    problem(status, reason)
}
