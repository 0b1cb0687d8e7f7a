//! The one guard around all handlers that read the board, or change something.
//!
//! It answers only requests for a name that no web page can have given this listener. Otherwise a page whose own
//! name is made to lead to 127.0.0.1 would be of the same origin as this listener (DNS rebinding), and the
//! operator's browser would let it read and write. It answers no page of another origin. And it answers only who is
//! known: by a token of `admin.token_file`, or, where there is no such file, by being on this machine.
//!
//! A wrong token is answered late, and from one address only so often. A right one never waits for that.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Scope,
    body::{EitherBody, MessageBody},
    dev::{HttpServiceFactory, Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};
use actors::{
    limits::{
        keyed::{Key, KeyedBuckets},
        rate::Rate,
    },
    node::Node,
    player::{Address, IPV6_PREFIX},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

use super::tokens::{Role, Token, Tokens};
use crate::{live::Following, problem::problem};

/// How late the answer to a wrong token is. With [`WRONG_PER_SECOND`] an address tries 86,400 tokens a day, of 2^256.
const WRONG_DELAY: Duration = Duration::from_millis(500);

/// Wrong tokens that an address may present: so many a second, and so many at once.
const WRONG_PER_SECOND: f64 = 1.0;
const WRONG_BURST: u32 = 5;

/// Addresses whose wrong tokens are counted apart, 24 bytes each. Beyond them newcomers share one bucket.
const WRONG_ADDRESSES: usize = 1 << 14;

/// Late answers under way at once. Beyond them a wrong token is refused with 429 at once.
const LATE_MAX: usize = 64;

/// The header for clients that cannot send `Authorization`.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers by which proxies say that they ask for somebody else.
const FORWARDING: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// Who sent a request, as the guard knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, or `loopback`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where the request came from.
    pub ip: IpAddr,
}

impl Caller {
    /// Refuses a viewer what only operators may read.
    ///
    /// # Errors
    /// The answer to a viewer (403), by `what` it wanted.
    pub fn demand_operator(&self, what: &str) -> Result<(), HttpResponse> {
        if self.role >= Role::Operator {
            return Ok(());
        }
        let text = format!("this token is a viewer's: {what} takes an operator's");
        Err(problem(StatusCode::FORBIDDEN, &text))
    }
}

impl FromRequest for Caller {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        std::future::ready(caller.ok_or_else(|| {
            actix_web::error::ErrorInternalServerError(
                "a handler outside of the guard asks who is there",
            )
        }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What the guard knows: tokens, and who presented wrong ones.
pub struct Door {
    /// `None`: there is no `admin.token_file`, and whoever is on this machine may do all.
    tokens: Option<watch::Receiver<Arc<Tokens>>>,
    wrong: KeyedBuckets,
    late: Semaphore,
    refused: Family<Reason, Counter>,
}

impl Door {
    /// For the holders of `tokens`, or for this machine.
    pub fn new(tokens: Option<watch::Receiver<Arc<Tokens>>>) -> Self {
        Self {
            tokens,
            wrong: KeyedBuckets::with_slots(WRONG_ADDRESSES),
            late: Semaphore::new(LATE_MAX),
            refused: Family::default(),
        }
    }

    /// Adds its counter to `registry`, with every reason.
    pub fn register(&self, registry: &mut Registry) {
        for reason in ["host", "page", "no_token", "wrong_token", "role", "not_local"] {
            drop(self.refused.get_or_create(&Reason { reason }));
        }
        registry.register(
            "admin_refused",
            "Requests on the operators' listener that were refused, by reason",
            self.refused.clone(),
        );
    }

    /// For a stream to a caller who was let in with these headers.
    pub fn pass(&self, headers: &HeaderMap) -> Pass {
        Pass(self.tokens.clone().map(|tokens| {
            let token = presented(headers).and_then(|secret| tokens.borrow().find(secret).cloned());
            (tokens, token)
        }))
    }

    fn count(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Who asks, if it may ask anything.
    async fn caller(
        &self,
        node: &Node,
        ip: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Caller, HttpResponse> {
        let Some(tokens) = &self.tokens else {
            if ip.is_loopback() && !is_forwarded(headers) {
                return Ok(Caller { name: "loopback".to_owned(), role: Role::Operator, ip });
            }
            self.count("not_local");
            return Err(problem(
                StatusCode::FORBIDDEN,
                "without admin.token_file only this machine itself may ask this, and not through a proxy: \
                 make a token with `billion admin token`",
            ));
        };
        let Some(secret) = presented(headers) else {
            self.count("no_token");
            return Err(unauthorized(
                "send a token, as Authorization: Bearer TOKEN or X-API-Key: TOKEN",
            ));
        };
        let found = tokens.borrow().find(secret).cloned();
        match found {
            Some(Token { name, role, .. }) => Ok(Caller { name, role, ip }),
            None => Err(self.wrong_token(node, ip).await),
        }
    }

    async fn wrong_token(&self, node: &Node, ip: IpAddr) -> HttpResponse {
        self.count("wrong_token");
        let address = Address::of(ip, IPV6_PREFIX);
        let key = Key { subject: address.number(), class: 0 };
        let rate = Rate::new(WRONG_PER_SECOND, WRONG_BURST);
        let wait = match self.wrong.take(key, rate, 1, node.clock.now_ns(), false) {
            Ok(_) => {
                log::warn!("{ip} presents a wrong token to the operators' listener");
                if let Ok(_place) = self.late.try_acquire() {
                    sleep(WRONG_DELAY).await;
                    return unauthorized("the token is not valid here");
                }
                WRONG_DELAY
            }
            Err(wait) => wait,
        };
        let mut refusal = problem(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens from this address: a right one is answered at any time",
        );
        let seconds = crate::limits::answer::seconds_up(wait).max(1);
        refusal.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        refusal
    }
}

/// Tells a stream whether its caller would still be let in, in the same role. Without tokens it would.
pub struct Pass(Option<(watch::Receiver<Arc<Tokens>>, Option<Token>)>);

impl Pass {
    /// Whether its token is as it was.
    pub fn is_valid(&self) -> bool {
        self.0.as_ref().is_none_or(|(tokens, token)| {
            token.as_ref().is_some_and(|token| tokens.borrow().contains(token))
        })
    }
}

fn unauthorized(detail: &str) -> HttpResponse {
    let mut refusal = problem(StatusCode::UNAUTHORIZED, detail);
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

/// The token that a request carries in one of its headers.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, secret) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(secret)
    });
    bearer.or_else(|| headers.get(X_API_KEY).map(HeaderValue::as_bytes)).map(<[u8]>::trim_ascii)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(*name))
}

/// `handlers` behind the guard.
pub fn guarded(handlers: Scope) -> impl HttpServiceFactory {
    handlers.wrap(from_fn(only_operators))
}

async fn only_operators<B: MessageBody + 'static>(
    live: web::Data<Following>,
    door: web::Data<Door>,
    node: web::Data<Node>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match judge(&live, &door, &node, &request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(refusal) => Ok(request.into_response(refusal).map_into_right_body()),
    }
}

async fn judge(
    live: &Following,
    door: &Door,
    node: &Node,
    request: &ServiceRequest,
) -> Result<Caller, HttpResponse> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_known(host, &live.now().hosts)) else {
        log::debug!("an operator's request for Host {host:?} was refused");
        door.count("host");
        return Err(problem(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by address or as localhost, or add this name to admin.hosts",
        ));
    };
    if is_by_a_foreign_page(headers, host) {
        door.count("page");
        return Err(problem(StatusCode::FORBIDDEN, "pages of other origins may not ask this"));
    }
    let ip = request.peer_addr().map_or([0, 0, 0, 0].into(), |peer| peer.ip()).to_canonical();
    let caller = door.caller(node, ip, headers).await?;
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if reads || caller.role >= Role::Operator {
        return Ok(caller);
    }
    door.count("role");
    Err(problem(
        StatusCode::FORBIDDEN,
        "this token is a viewer's: to change something takes an operator's",
    ))
}

/// Whether a page of another origin made a browser ask. The browser names the origin of the page, or says how it
/// is related to this listener (Fetch Metadata, `Sec-Fetch-Site`).
fn is_by_a_foreign_page(headers: &HeaderMap, host: &str) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_foreign_site = site.is_some_and(|site| site != b"none" && site != b"same-origin");
    let is_own = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let authority =
            origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
    };
    is_foreign_site || !headers.get_all(header::ORIGIN).all(is_own)
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
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_pages_of_this_listener_are_answered() {
        for (sent, is_foreign) in [
            (&[][..], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://node-1:9090")], false),
            (&[("origin", "https://NODE-1:9090")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("origin", "http://node-1")], true),
            (&[("origin", "null")], true),
            (&[("origin", "node-1:9090")], true),
            (&[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], true),
        ] {
            assert_eq!(is_by_a_foreign_page(&headers(sent), "node-1:9090"), is_foreign, "{sent:?}");
        }
    }

    #[test]
    fn a_token_comes_in_either_header_and_nowhere_else() {
        for (sent, secret) in [
            (&[][..], None),
            (&[("authorization", "Bearer abc")], Some("abc")),
            (&[("authorization", "bearer  abc ")], Some("abc")),
            (&[("x-api-key", "abc")], Some("abc")),
            (&[("authorization", "Basic abc")], None),
            (&[("authorization", "Basic abc"), ("x-api-key", "def")], Some("def")),
            (&[("authorization", "Bearer abc"), ("x-api-key", "def")], Some("abc")),
            (&[("authorization", "Bearer")], None),
        ] {
            assert_eq!(presented(&headers(sent)), secret.map(str::as_bytes), "{sent:?}");
        }
        let request = TestRequest::get().uri("/store?token=abc").to_srv_request();
        assert_eq!(presented(request.headers()), None);
    }

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
