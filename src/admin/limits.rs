//! `GET /limits/why?address=…`: how this node treats an address now, and why.

use std::{net::IpAddr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    limits::{Height, Kind, rate::Rate},
    node::Node,
};
use serde_json::{Value, json};

use super::refuse;
use crate::{
    admission::Admission,
    limits::visitor::Visitor,
    live::{Following, Live},
    routes::query::expect_only,
};

/// `GET /limits/why`.
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
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let Some(Ok(ip)) = pairs.next().map(|(_, text)| text.parse::<IpAddr>()) else {
        return refuse(StatusCode::BAD_REQUEST, "name an address: /limits/why?address=203.0.113.7");
    };
    let live = live.now();
    let visitor = Visitor::at(ip, live.rules.trusted_proxies(), &live.limits);
    HttpResponse::Ok().json(told(&node, &admission, &live, &visitor))
}

fn told(node: &Node, admission: &Admission, live: &Live, visitor: &Visitor) -> Value {
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
        told["shadow"] = rule.is_shadow.into();
        Some(told)
    });
    json!({
        "address": visitor.ip.to_string(),
        "counted_as": visitor.address.to_string(),
        "standing": visitor.standing.label(),
        "connections": admission.connections_of(visitor),
        "connections_max": live.limits.connections_per_address,
        "shadow": rates.is_shadow,
        "shared": limits.leases().map(|leases| !leases.is_alone()),
        "limits": counted.chain(routes).collect::<Vec<_>>(),
    })
}

/// How full one bucket is.
fn bucket(name: &str, rate: Rate, full_in_ns: u64) -> Value {
    json!({
        "rule": name,
        "per_second": rate.per_second(),
        "burst": rate.burst(),
        "left": rate.left(full_in_ns),
        "full_in_s": Duration::from_nanos(full_in_ns).as_secs_f64(),
        "wait_s": Duration::from_nanos(rate.wait_ns(full_in_ns)).as_secs_f64(),
    })
}
