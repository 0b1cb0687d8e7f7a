//! The operators' listener: metrics, health, copies of the board.
//!
//! Anything it serves beyond metrics and health answers only those who ask it by a name that no web page can
//! have given it. Otherwise a page whose own name is made to lead to 127.0.0.1 would be of the same origin
//! as this listener (DNS rebinding), and the operator's browser would let it read and write.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_server::Server;
use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    web,
};
use actors::node::Node;
use anyhow::Result;
use prometheus_client::registry::Registry;

use crate::{
    admission::Admission,
    routes::{
        backup, health,
        methods::{allowing, get_or_head},
        metrics,
    },
};

/// What anybody may ask who gets here, by whatever name: load balancers and scrapers use all kinds.
const FOR_ALL: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

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
    /// `admin.hosts`.
    pub hosts: Vec<String>,
    /// Longest time a connection may be idle.
    pub keep_alive: Duration,
}

/// Serves operators on one thread.
///
/// # Errors
/// If the listener cannot be used.
pub fn serve(listener: std::net::TcpListener, admin: Admin) -> Result<Server> {
    let Admin { node, admission, registry, operations, hosts, keep_alive } = admin;
    let (node, admission) = (web::Data::from(node), web::Data::from(admission));
    let registry = web::Data::new(registry);
    let (operations, hosts) = (web::Data::new(operations), web::Data::new(hosts));
    let server = HttpServer::new(move || {
        let export = web::route().guard(guard::Get()).to(backup::export);
        let import = web::route().guard(guard::Post()).to(backup::import);
        App::new()
            .wrap(from_fn(only_known_hosts))
            .app_data(registry.clone())
            .app_data(node.clone())
            .app_data(admission.clone())
            .app_data(operations.clone())
            .app_data(hosts.clone())
            .service(allowing("GET, OPTIONS", "/export").route(export))
            .service(allowing("POST, OPTIONS", "/import").route(import))
            .service(get_or_head("/store", backup::store))
            .service(get_or_head("/metrics", metrics::metrics))
            .service(get_or_head("/healthz", health::healthz))
            .service(get_or_head("/readyz", health::readyz))
            .default_service(web::to(nothing_here))
    });
    Ok(server.keep_alive(keep_alive).workers(1).disable_signals().listen(listener)?.run())
}

async fn nothing_here() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body("operators find /metrics, /healthz, /readyz, /store, /export and /import here\n")
}

async fn only_known_hosts<B: MessageBody + 'static>(
    hosts: web::Data<Vec<String>>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if FOR_ALL.contains(&request.path()) || host.is_some_and(|host| is_known(host, &hosts)) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    log::debug!("an operator's request for Host {host:?} was refused");
    let response = HttpResponse::build(StatusCode::MISDIRECTED_REQUEST)
        .content_type("text/plain; charset=utf-8")
        .body("ask by address or as localhost, or add this name to admin.hosts\n");
    Ok(request.into_response(response).map_into_right_body())
}

/// Whether a `Host` is an address, `localhost` or one of `names`, on whatever port.
fn is_known(host: &str, names: &[String]) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.trim_end_matches('.').eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_listed_names_are_known_and_nothing_else() {
        let names = ["node-1".to_owned(), "Node-2.example.org".to_owned()];
        for known in [
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "[fd00::1]",
            "localhost:1",
            "LocalHost",
            "localhost.:9090",
            "node-1:9090",
            "node-2.example.org",
        ] {
            assert!(is_known(known, &names), "{known}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example:9090",
            "localhost.evil.example",
            "evil.localhost",
            "node-1:x",
            "node-1.evil.example",
            "[::1",
            "localhost@evil.example",
        ] {
            assert!(!is_known(other, &names), "{other}");
        }
    }
}
