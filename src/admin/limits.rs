//! `GET /limits/why?address=…`: how this node treats an address now, and why.

use std::{net::IpAddr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    limits::{Height, Kind, rate::Rate},
    node::Node,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::refuse;
use crate::{
    admission::Admission,
    limits::visitor::Visitor,
    live::{Following, Live},
    routes::query::{expect_only, text},
};

/// How an address is treated.
#[derive(Debug, Serialize, ToSchema)]
pub struct Treatment {
    /// The address that was asked about.
    #[schema(examples("203.0.113.7"))]
    address: String,
    /// As what it is counted: an IPv6 address as its network.
    #[schema(examples("203.0.113.7"))]
    counted_as: String,
    /// `usual`, `allowed`, `blocked`, `trusted proxy` or `unknown proxy`.
    #[schema(examples("usual"))]
    standing: &'static str,
    /// Its connections to this node.
    connections: usize,
    /// Most connections that it may have; 0: any number.
    connections_max: usize,
    /// Whether limits only count what they would refuse.
    shadow: bool,
    /// Whether all nodes count together; null where there is only one.
    shared: Option<bool>,
    /// Each limit that it meets.
    limits: Vec<Bucket>,
}

/// How much of a limit is left.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bucket {
    /// The name of the rule.
    #[schema(examples("address checks"))]
    rule: String,
    /// What comes back every second.
    per_second: f64,
    /// What there is at once.
    burst: u32,
    /// What is left of that.
    left: u64,
    /// Seconds until all of it is there again.
    full_in_s: f64,
    /// Seconds until one more is allowed; 0: at once.
    wait_s: f64,
    /// Of a rule for HTTP requests: whether it only counts what it would refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<bool>,
}

/// Says how this node treats an address now, and why.
#[utoipa::path(
    get, path = "/limits/why", tag = "players", operation_id = "explainLimits",
    params(("address" = String, Query, description = "An address", example = "203.0.113.7")),
    responses(
        (status = 200, description = "Its standing, and what is left of each limit.", body = Treatment),
        (status = 400, description = "The query names no address, or something else."),
    ),
)]
pub async fn why(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    live: web::Data<Following>,
) -> HttpResponse {
    let query = request.query_string();
    if let Err(why) = expect_only(query, &["address"]) {
        return refuse(StatusCode::BAD_REQUEST, why.trim_end());
    }
    let Ok(Some(Ok(ip))) =
        text(query, "address").map(|text| text.map(|text| text.parse::<IpAddr>()))
    else {
        return refuse(StatusCode::BAD_REQUEST, "name an address: /limits/why?address=203.0.113.7");
    };
    let live = live.now();
    let visitor = Visitor::at(ip, live.rules.trusted_proxies(), &live.limits);
    HttpResponse::Ok().json(told(&node, &admission, &live, &visitor))
}

fn told(node: &Node, admission: &Admission, live: &Live, visitor: &Visitor) -> Treatment {
    let (rates, now_ns) = (&live.limits.rates, node.clock.now_ns());
    let (who, limits) = (visitor.who(), &node.limits);
    let counted = [Height::Address, Height::Node].into_iter().flat_map(|height| {
        Kind::ALL.into_iter().filter_map(move |kind| {
            let full_in_ns = limits.full_in_ns(who, height, kind, rates, now_ns)?;
            let name = format!("{} {}", height.label(), kind.label());
            Some(bucket(&name, rates.of(height, kind), full_in_ns))
        })
    });
    let routes = live.limits.routes.iter().filter_map(|rule| {
        let (rate, key) = (rule.written.rate, rule.key_of_address(visitor)?);
        let mut told = bucket(&rule.name, rate, limits.key_full_in_ns(key, rate, now_ns));
        told.shadow = Some(rule.is_shadow);
        Some(told)
    });
    Treatment {
        address: visitor.ip.to_string(),
        counted_as: visitor.address.to_string(),
        standing: visitor.standing.label(),
        connections: admission.connections_of(visitor),
        connections_max: live.limits.connections_per_address,
        shadow: rates.is_shadow,
        shared: limits.leases().map(|leases| !leases.is_alone()),
        limits: counted.chain(routes).collect(),
    }
}

/// How full one bucket is.
fn bucket(name: &str, rate: Rate, full_in_ns: u64) -> Bucket {
    Bucket {
        rule: name.to_owned(),
        per_second: rate.per_second(),
        burst: rate.burst(),
        left: rate.left(full_in_ns),
        full_in_s: Duration::from_nanos(full_in_ns).as_secs_f64(),
        wait_s: Duration::from_nanos(rate.wait_ns(full_in_ns)).as_secs_f64(),
        shadow: None,
    }
}
