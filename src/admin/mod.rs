//! The operators' listener: metrics, health, copies of the board, boxes merged into it.
//!
//! Metrics and health answer whoever gets here, by whatever name: load balancers and scrapers use all kinds. So do the
//! files of the dashboard, which hold nothing of the board. All else stands behind the guard of [`door`], also a handler
//! that is added to [`routes::for_operators`].

mod audit;
pub mod backup;
mod blocks;
pub mod change;
mod connections;
mod dashboard;
pub mod door;
mod groups;
mod health;
mod lasting;
mod messages;
mod notices;
mod openapi;
mod people;
mod read_only;
mod reports;
mod rooms;
mod routes;
mod settings;
mod stats;
mod stream;
mod trace;
pub mod tokens;
mod limits;
mod metrics;

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_server::Server;
use actix_web::{
    App, HttpResponse, HttpServer, Scope, dev::Service as _, error::JsonPayloadError,
    http::StatusCode, middleware::from_fn, web,
};
use actors::node::Node;
use anyhow::Result;
use prometheus_client::registry::Registry;
use socket2::SockRef;
use tokio::net::TcpStream;

use self::{change::Change, dashboard::Dashboard, door::Door, stream::Places};
use crate::{
    admission::Admission,
    live::Following,
    operators::Operators,
    people::{People, talk::Talks},
    problem::problem,
    routes::headers,
    settings::InForce,
    traffic::Traffic,
};

/// Most bytes of a body of JSON.
const JSON_BYTES_MAX: usize = 16 * 1024;

/// Longest time for which a client may take nothing of an answer.
const UNREAD_MAX: Duration = Duration::from_secs(300);

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
    /// What is known of people.
    pub people: Arc<People>,
    /// What players say to each other.
    pub talks: Arc<Talks>,
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
        people,
        talks,
        live,
        keep_alive,
        traffic,
    } = admin;
    let (operators, change) = (web::Data::from(operators), web::Data::new(change));
    let settings = web::Data::from(settings);
    let (people, talks) = (web::Data::from(people), web::Data::from(talks));
    let (node, admission) = (web::Data::from(node), web::Data::from(admission));
    let (registry, door) = (web::Data::new(registry), web::Data::new(door));
    let (operations, live) = (web::Data::new(operations), web::Data::new(live));
    let (dashboard, places) = (web::Data::<Dashboard>::default(), web::Data::<Places>::default());
    let server = HttpServer::new(move || {
        let traffic = traffic.of("operators");
        let app = App::new()
            .app_data(registry.clone())
            .app_data(node.clone())
            .app_data(admission.clone())
            .app_data(operations.clone())
            .app_data(live.clone())
            .app_data(door.clone())
            .app_data(operators.clone())
            .app_data(settings.clone())
            .app_data(change.clone())
            .app_data(people.clone())
            .app_data(talks.clone())
            .app_data(dashboard.clone())
            .app_data(places.clone())
            .app_data(json(JSON_BYTES_MAX))
            .app_data(query())
            .app_data(path());
        let open = routes::for_all().into_iter().chain(routes::dashboard());
        let app = open.fold(app, |app, served| app.service(served.resource()));
        app.service(door::guarded(for_operators())).wrap(from_fn(headers::protected)).wrap_fn(
            move |request, app| traffic.counting(request.method().into(), app.call(request)),
        )
    });
    let server = server.on_connect(|stream, _| {
        // Whoever takes nothing for so long, an export too, gives its place back.
        if let Some(stream) = stream.downcast_ref::<TcpStream>() {
            // Fails only for a socket that is gone.
            let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_MAX));
        }
    });
    Ok(server.keep_alive(keep_alive).workers(1).disable_signals().listen(listener)?.run())
}

/// Whatever reads the board or writes to it, and every path that does not exist.
fn for_operators() -> Scope {
    let served = routes::for_operators().into_iter();
    let scope = served.fold(web::scope(""), |scope, served| scope.service(served.resource()));
    let elsewhere = routes::all_paths();
    scope.default_service(web::to(move || ready(problem(StatusCode::NOT_FOUND, &elsewhere))))
}

/// Bodies of JSON, and what is wrong with one.
fn json(bytes_max: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(bytes_max).error_handler(|error, _| {
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
        let refusal = match &error {
            JsonPayloadError::ContentType => {
                problem(status, "send JSON, with Content-Type: application/json")
            }
            error => problem(status, &error.to_string()),
        };
        actix_web::error::InternalError::from_response(error, refusal).into()
    })
}

/// What is wrong with a query.
fn query() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let refusal = problem(StatusCode::BAD_REQUEST, &error.to_string());
        actix_web::error::InternalError::from_response(error, refusal).into()
    })
}

/// What is wrong with a path that has a name in it: there is nothing of that name.
fn path() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _| {
        let refusal = problem(StatusCode::NOT_FOUND, &error.to_string());
        actix_web::error::InternalError::from_response(error, refusal).into()
    })
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
