//! Limits of HTTP requests: around all that the players' listener serves.

use std::time::Duration;

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::HeaderName},
    middleware::Next,
    web,
};
use actors::{
    clock::Clock,
    limits::{Height, Kind, Limits, Patience, Permit, TICK, bucket::Taken},
    node::Node,
};
use log::debug;

use super::{
    answer::{self, Met},
    rules::{Asked, Rule, Rules},
    visitor::{Standing, Visitor},
};
use crate::{
    live::{Following, Live},
    people::{People, request::presented},
    wall::now_ms,
};

/// Decides about a request, and tells in its answer what is left.
pub async fn limited<B: MessageBody + 'static>(
    node: web::Data<Node>,
    live: web::Data<Following>,
    people: web::Data<People>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse, Error> {
    let live = live.now();
    let mut visitor = visitor(&request, &live);
    let presented = presented(&people, request.headers(), now_ms());
    visitor.user = presented.valid().map(|identity| identity.user);
    request.extensions_mut().insert(presented);
    request.extensions_mut().insert(visitor);
    match decide(&node, &live.limits, &visitor, &request).await {
        Ok(met) => {
            let mut answered = next.call(request).await?.map_into_boxed_body();
            if live.limits.headers {
                answer::tell(&met, answered.headers_mut());
            }
            Ok(answered)
        }
        Err(Over { mut refusal, none_left }) => {
            if let Some(none_left) = none_left.filter(|_| live.limits.headers) {
                answer::tell(&[none_left], refusal.headers_mut());
            }
            debug!("{} was refused {}: {}", visitor.ip, request.path(), refusal.status());
            Ok(request.into_response(refusal))
        }
    }
}

/// What routes are matched with: `/%6fverview` is `/overview` for them, too.
fn path(request: &ServiceRequest) -> &str {
    request.match_info().as_str()
}

/// Who sent a request.
fn visitor(request: &ServiceRequest, live: &Live) -> Visitor {
    let peer = request.peer_addr().map_or([0, 0, 0, 0].into(), |peer| peer.ip());
    Visitor::of(peer, request.headers(), live.rules.trusted_proxies(), &live.limits)
}

/// Why a request is not served.
struct Over {
    refusal: HttpResponse,
    /// What it is over, if those who ask are told.
    none_left: Option<Met>,
}

/// The limits that a request has met.
///
/// # Errors
/// If it is over one of them, or blocked: what to answer.
async fn decide(
    node: &Node,
    rules: &Rules,
    visitor: &Visitor,
    request: &ServiceRequest,
) -> Result<Vec<Met>, Over> {
    match visitor.standing {
        Standing::Blocked => return Err(Over { refusal: answer::blocked(), none_left: None }),
        Standing::Allowed => return Ok(Vec::new()),
        _ if rules.skips(path(request)) => return Ok(Vec::new()),
        _ => {}
    }
    let mut met = Vec::new();
    let (limits, now_ns) = (&node.limits, node.clock.now_ns());
    let who = visitor.who();
    let asked = limits.take(who, Kind::Requests, 1, &rules.rates, now_ns, Patience::Answer);
    match asked {
        Ok(permit) => {
            if let Some(taken) = permit.of_address() {
                met.push(Met {
                    name: Height::Address.label().to_owned(),
                    written: rules.requests,
                    left: taken.left(rules.requests.rate),
                    reset: Duration::from_nanos(taken.full_in_ns),
                });
            }
            let waited = wait_for(limits, node.clock, &permit).await;
            limits.conclude(&permit, Kind::Requests, waited.is_ok());
            waited.map_err(|wait| refused_at(Height::Address, rules, wait))?;
        }
        Err(refused) => return Err(refused_at(refused.height, rules, refused.wait)),
    }
    let header =
        |name: &HeaderName| request.headers().get(name).map(|value| value.as_bytes().to_vec());
    let asked = Asked { path: path(request), method: request.method(), header: &header };
    for rule in rules.routes.iter().filter(|rule| rule.is_about(&asked)) {
        met.extend(by_rule(node, rule, visitor, &asked).await?);
    }
    Ok(met)
}

/// What one rule says.
async fn by_rule(
    node: &Node,
    rule: &Rule,
    visitor: &Visitor,
    asked: &Asked<'_>,
) -> Result<Option<Met>, Over> {
    let rate = rule.written.rate;
    let Some(key) = rule.key(visitor, asked).filter(|_| !rate.is_unlimited()) else {
        return Ok(None);
    };
    let (limits, now_ns): (&Limits, _) = (&node.limits, node.clock.now_ns());
    let outcome = match limits.take_key(key, rate, 1, now_ns, Patience::Answer) {
        // Nobody waits for a rule that is only tried.
        Ok((taken, permit)) if !rule.is_shadow => {
            wait_for(limits, node.clock, &permit).await.map(|()| taken)
        }
        other => other.map(|(taken, _)| taken),
    };
    match outcome {
        Ok(taken) => {
            rule.counts.allowed(rate, taken);
            Ok((!rule.is_shadow).then(|| met(rule, taken)))
        }
        Err(_) if rule.is_shadow => {
            rule.counts.refused(true);
            debug!("{} would be refused {} by {}", visitor.ip, asked.path, rule.name);
            Ok(None)
        }
        Err(wait) => {
            rule.counts.refused(false);
            Err(Over {
                refusal: answer::refused(rule.status, &rule.name, &rule.text, wait),
                none_left: Some(Met {
                    name: rule.name.clone(),
                    written: rule.written,
                    left: 0,
                    reset: wait,
                }),
            })
        }
    }
}

fn met(rule: &Rule, taken: Taken) -> Met {
    Met {
        name: rule.name.clone(),
        written: rule.written,
        left: taken.left(rule.written.rate),
        reset: Duration::from_nanos(taken.full_in_ns),
    }
}

/// A request too many at `height`.
fn refused_at(height: Height, rules: &Rules, wait: Duration) -> Over {
    // For a node that has too much to do nobody who asks can do anything.
    let status =
        if height == Height::Node { StatusCode::SERVICE_UNAVAILABLE } else { rules.status };
    Over {
        refusal: answer::refused(status, height.label(), &rules.text, wait),
        none_left: (height == Height::Address).then(|| Met {
            name: height.label().to_owned(),
            written: rules.requests,
            left: 0,
            reset: wait,
        }),
    }
}

/// Somebody who waits for what was promised, and gives it up if it leaves before.
struct Waiting<'a> {
    limits: &'a Limits,
    permit: &'a Permit,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.limits.give_up(self.permit);
        }
    }
}

/// Waits until what was promised is there, or gives it up.
///
/// # Errors
/// If it does not come in time: other nodes have it.
pub async fn wait_for(limits: &Limits, clock: Clock, permit: &Permit) -> Result<(), Duration> {
    let began_ns = clock.now_ns();
    let longest_ns = Patience::Answer.longest().as_nanos() as u64;
    let mut waiting = Waiting { limits, permit, is_over: false };
    loop {
        let now_ns = clock.now_ns();
        match limits.due(permit, now_ns) {
            Ok(()) => {
                waiting.is_over = true;
                return Ok(());
            }
            Err(_) if now_ns - began_ns > longest_ns => return Err(TICK),
            Err(at_ns) => {
                tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns))).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actors::limits::{
        keyed::Key,
        lease::{Answer, Leases},
        rate::Rate,
    };
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_leaves_while_it_waits_gives_its_place_up() {
        let leases = Arc::new(Leases::default());
        leases.reached(1);
        let (limits, clock) = (Limits::new(Some(leases.clone())), Clock::start());
        let (key, rate) = (Key { subject: 1, class: 0 }, Rate::new(10.0, 4));
        let promised = || {
            let asked = limits.take_key(key, rate, 1, clock.now_ns(), Patience::Answer);
            asked.expect("nothing is known yet").1
        };
        let (first, second) = (promised(), promised());
        assert_eq!(wait_for(&limits, clock, &first).now_or_never(), None);
        assert_eq!(leases.tick(clock.now_ns()).len(), 1);
        leases.answered(key, Answer { granted: 1, full_in_ns: 0 }, clock.now_ns());
        assert_eq!(wait_for(&limits, clock, &second).await, Ok(()), "the first is not waited for");
    }
}
