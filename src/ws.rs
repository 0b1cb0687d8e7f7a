//! The `/ws` route and the hand-over of its socket to a session actor.
//!
//! One App decides about every request. For `/ws` it checks handshake, origin, limits and draining
//! like any handler, and answers 101 or an ordinary HTTP error; the [`Grant`] in the response says
//! what was decided. The upgrade service writes that answer and, on 101, gives the socket away.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    ops::RangeInclusive,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_codec::Framed;
use actix_http::{
    Request,
    body::{BoxBody, to_bytes},
    h1,
};
use actix_service::{Service, boxed::BoxService};
use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, Responder,
    dev::ServiceResponse,
    http::{StatusCode, Version as HttpVersion, header},
    web,
};
use actors::{
    protocol::Version,
    session::Connection,
    topology::{Node, Worker},
};
use log::debug;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    client_address::{Hearsay, TrustedProxies},
    settings,
};

/// Who may connect, and how many.
#[derive(Debug)]
pub struct Admission {
    allowed_origins: Vec<String>,
    allow_missing_origin: bool,
    connections_max: usize,
    per_address_max: usize,
    trusted_proxies: TrustedProxies,
    open: AtomicUsize,
    /// By what [`counted_as`] makes of the client's address.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    /// The rules of `[server]`, for at most `connections_max` connections.
    pub fn new(server: &settings::Server, connections_max: usize) -> Arc<Self> {
        let validated = "validated when the settings were loaded";
        let trusted = server.trusted_proxies.iter();
        let trusted = trusted.map(|text| settings::network(text).expect(validated));
        Arc::new(Self {
            allowed_origins: server.allowed_origins.clone(),
            allow_missing_origin: server.allow_missing_origin,
            connections_max,
            per_address_max: server.max_connections_per_address,
            trusted_proxies: TrustedProxies::new(trusted),
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
        })
    }

    /// Takes a place for a connection from `address`, until the permit is dropped.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, StatusCode> {
        let max = self.connections_max;
        let enter = |open| (open < max).then_some(open + 1);
        if self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_err() {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut permit = Permit { admission: self.clone(), address: None };
        if self.per_address_max == 0 {
            return Ok(permit);
        }
        let address = counted_as(address);
        let mut by_address = self.by_address.lock().expect("nothing panics under this lock");
        let count = by_address.entry(address).or_default();
        if *count >= self.per_address_max {
            drop(by_address);
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        *count += 1;
        drop(by_address);
        permit.address = Some(address);
        Ok(permit)
    }

    /// Whether a page of `origin` may connect to the server it reached as `host`.
    fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return self.allow_missing_origin };
        if !self.allowed_origins.is_empty() {
            return self.allowed_origins.iter().any(|allowed| allowed == origin);
        }
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        match (own, host) {
            (Some(own), Some(host)) => own.eq_ignore_ascii_case(host),
            _ => false,
        }
    }
}

/// An IPv6 address stands for its network of 64 bits: that much belongs to one household at least,
/// and counted singly nobody would ever reach a limit.
fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// One admitted connection.
#[derive(Debug)]
struct Permit {
    admission: Arc<Admission>,
    /// Set where connections are counted by address.
    address: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::AcqRel);
        let Some(address) = self.address else { return };
        let mut by_address =
            self.admission.by_address.lock().expect("nothing panics under this lock");
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// Marks requests that came through the upgrade service, whose socket can be taken over.
struct Upgradable;

/// What the route decided about a connection, left in the 101 response.
struct Grant {
    purpose: Purpose,
    permit: Permit,
}

/// What a granted socket is for.
enum Purpose {
    /// A player's session.
    Play(Version),
    /// The conformance suite.
    #[cfg(feature = "echo")]
    Echo,
}

/// `GET /ws`: may this client play?
pub async fn connect(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
) -> impl Responder {
    let version = match query_version(request.query_string()) {
        Ok(version) => version,
        Err(response) => return response,
    };
    decide(&request, &node, &admission, Purpose::Play(version))
}

/// `GET /echo`: the same framing with an echo behind it.
#[cfg(feature = "echo")]
pub async fn echo(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
) -> impl Responder {
    decide(&request, &node, &admission, Purpose::Echo)
}

fn query_version(query: &str) -> Result<Version, HttpResponse> {
    let mut version = Version::Plain;
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("v", "2")) => version = Version::V2,
            Some(("v", "1")) | None => {}
            Some(("v", _)) => {
                return Err(HttpResponse::BadRequest().body("protocol versions: v=1, v=2\n"));
            }
            Some(_) => {}
        }
    }
    Ok(version)
}

fn decide(
    request: &HttpRequest,
    node: &Node,
    admission: &Arc<Admission>,
    purpose: Purpose,
) -> HttpResponse {
    if let Err(response) = check_handshake(request) {
        node.stats.refused("handshake");
        return response;
    }
    if node.is_draining() {
        node.stats.refused("draining");
        return retry_later(StatusCode::SERVICE_UNAVAILABLE, "the server is going away\n");
    }
    let origin = header(request, header::ORIGIN);
    let one_origin = request.headers().get_all(header::ORIGIN).count() <= 1;
    if !one_origin || !admission.allows(origin, header(request, header::HOST)) {
        node.stats.refused("origin");
        return HttpResponse::Forbidden().body("this Origin may not connect\n");
    }
    let address = client_address(request, &admission.trusted_proxies);
    let permit = match admission.admit(address) {
        Ok(permit) => permit,
        Err(status) => {
            debug!("{address} was refused: too many connections ({status})");
            node.stats.refused("connections");
            return retry_later(status, "too many connections\n");
        }
    };
    match actix_web_actors::ws::handshake(request) {
        Ok(mut response) => {
            let mut response = response.finish();
            response.extensions_mut().insert(Grant { purpose, permit });
            response
        }
        // Checked above; whatever it still finds is the client's fault.
        Err(error) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}

fn client_address(request: &HttpRequest, trusted: &TrustedProxies) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let lines = |name| request.headers().get_all(name).map(header::HeaderValue::as_bytes).collect();
    let hearsay = Hearsay {
        x_forwarded_for: lines(header::X_FORWARDED_FOR),
        forwarded: lines(header::FORWARDED),
    };
    trusted.client(peer, &hearsay)
}

fn header(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// Seconds after which to come back. Spread, or all who were refused together would also come back
/// together; 10 s are enough to take a full node of 19,000 in again, at 2,000 handshakes a second.
const RETRY_AFTER_S: RangeInclusive<u32> = 5..=15;

fn retry_later(status: StatusCode, body: &'static str) -> HttpResponse {
    let seconds = rand::random_range(RETRY_AFTER_S);
    HttpResponse::build(status).insert_header((header::RETRY_AFTER, seconds)).body(body)
}

/// RFC 6455 §4.2.1, which the handshake of actix-web-actors checks only in part: it accepts
/// versions 7 and 8, keys of any length and HTTP/1.0.
fn check_handshake(request: &HttpRequest) -> Result<(), HttpResponse> {
    let upgrade_required = || {
        HttpResponse::UpgradeRequired()
            .insert_header((header::UPGRADE, "websocket"))
            .insert_header((header::CONNECTION, "Upgrade"))
            .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
            .body("this address speaks WebSocket, version 13\n")
    };
    let bad = |what: &'static str| Err(HttpResponse::BadRequest().body(what));
    let has_token = |name, token: &str| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    if !has_token(header::UPGRADE, "websocket") {
        return Err(upgrade_required());
    }
    if request.version() != HttpVersion::HTTP_11 || !has_token(header::CONNECTION, "upgrade") {
        return bad("a WebSocket handshake is HTTP/1.1 with Connection: Upgrade\n");
    }
    match header(request, header::SEC_WEBSOCKET_VERSION) {
        None => return bad("Sec-WebSocket-Version is missing\n"),
        Some("13") => {}
        Some(_) => return Err(upgrade_required()),
    }
    let keys = request.headers().get_all(header::SEC_WEBSOCKET_KEY).count();
    let key = header(request, header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    if keys != 1 || !is_key(key) {
        return bad("Sec-WebSocket-Key must be 16 bytes in base64\n");
    }
    if !request.extensions().contains::<Upgradable>() {
        return bad("this request cannot be upgraded\n");
    }
    Ok(())
}

/// 16 bytes in base64: 22 characters and two of padding.
fn is_key(key: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    key.len() == 24 && key.ends_with("==") && key.as_bytes()[..22].iter().copied().all(legal)
}

/// The App as one service, shared by ordinary requests and upgrades of a worker.
pub type AppService = Rc<BoxService<Request, ServiceResponse<BoxBody>, Error>>;

/// Answers a request that wants to leave HTTP: the App decides, and on 101 the socket is given to a
/// session. Anything else is answered and closed.
pub async fn upgrade(
    app: AppService,
    worker: Rc<Worker>,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) -> Result<(), Error> {
    request.extensions_mut().insert(Upgradable);
    let response = app.call(request).await?;
    let (_request, mut response) = response.into_parts();
    let granted = response.extensions_mut().remove::<Grant>();
    let Some(Grant { purpose, permit }) = granted else {
        // The request's body, if any, is not read: the connection cannot be kept.
        let (mut response, body) = actix_http::Response::from(response).into_parts();
        response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
        let body = to_bytes(body).await.map_err(actix_web::error::ErrorInternalServerError)?;
        h1::SendResponse::new(framed, response.set_body(body)).await?;
        return Ok(());
    };
    let head = actix_http::Response::from(response).drop_body();
    let parts = h1::SendResponse::new(framed, head).await?.into_parts();
    let (stream, unread) = (parts.io, parts.read_buf.to_vec());
    if let Err(error) = prepare_socket(&stream, &worker) {
        debug!("a client was gone before its session began: {error}");
        return Ok(());
    }
    match purpose {
        Purpose::Play(version) => {
            worker.start_session(Connection { stream, unread, version, permit: Box::new(permit) });
        }
        #[cfg(feature = "echo")]
        Purpose::Echo => {
            actix_rt::spawn(async move {
                crate::echo::run(stream, unread).await;
                drop(permit);
            });
        }
    }
    Ok(())
}

/// With the kernel's default of up to 4 MB a stalled client would never make a write block, so no
/// limit of ours would ever act.
fn prepare_socket(stream: &TcpStream, worker: &Worker) -> std::io::Result<()> {
    let session = &worker.node.settings.session;
    let hub = &worker.node.settings.hub;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // The kernel doubles what it is told, to have room for its own bookkeeping (socket(7)).
    socket.set_send_buffer_size(session.send_buffer_bytes)?;
    socket.set_tcp_user_timeout(Some(hub.idle_timeout.max(Duration::from_secs(1))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(origins: &[&str], allow_missing: bool) -> Admission {
        Admission {
            allowed_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            allow_missing_origin: allow_missing,
            connections_max: 2,
            per_address_max: 1,
            trusted_proxies: TrustedProxies::default(),
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
        }
    }

    #[test]
    fn without_a_list_only_the_own_page_may_connect() {
        let own = admission(&[], false);
        assert!(own.allows(Some("http://localhost:8080"), Some("localhost:8080")));
        assert!(own.allows(Some("https://Example.org"), Some("example.org")));
        assert!(!own.allows(Some("http://localhost:8081"), Some("localhost:8080")));
        assert!(!own.allows(Some("null"), Some("localhost:8080")));
        assert!(!own.allows(Some("http://localhost:8080.evil.example"), Some("localhost:8080")));
        assert!(!own.allows(None, Some("localhost:8080")));
        assert!(admission(&[], true).allows(None, Some("localhost:8080")));
    }

    #[test]
    fn a_list_is_matched_exactly() {
        let listed = admission(&["https://a.example"], false);
        assert!(listed.allows(Some("https://a.example"), None));
        for other in ["http://a.example", "https://a.example:443", "https://b.example"] {
            assert!(!listed.allows(Some(other), Some("b.example")), "{other}");
        }
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Arc::new(admission(&[], false));
        let (a, b, c) = (IpAddr::from([1; 4]), IpAddr::from([2; 4]), IpAddr::from([3; 4]));
        let first = admission.admit(a).expect("room");
        assert_eq!(admission.admit(a).err(), Some(StatusCode::TOO_MANY_REQUESTS));
        let second = admission.admit(b).expect("room");
        assert_eq!(admission.admit(c).err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        drop((first, second));
        assert!(admission.admit(a).is_ok());
        assert!(admission.by_address.lock().expect("unpoisoned").is_empty());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let admission = Arc::new(admission(&[], false));
        let ip = |text: &str| text.parse().expect("an address");
        let first = admission.admit(ip("2001:db8:0:1::1")).expect("room");
        let neighbour = admission.admit(ip("2001:db8:0:1:ffff::2"));
        assert_eq!(neighbour.err(), Some(StatusCode::TOO_MANY_REQUESTS));
        let elsewhere = admission.admit(ip("2001:db8:0:2::1")).expect("room");
        drop((first, elsewhere));
        assert!(admission.by_address.lock().expect("unpoisoned").is_empty());
    }

    #[test]
    fn the_lines_of_a_header_are_taken_in_their_order() {
        let request = actix_web::test::TestRequest::default()
            .peer_addr(([10, 0, 0, 1], 4711).into())
            .append_header(("X-Forwarded-For", "192.0.2.1"))
            .append_header(("X-Forwarded-For", "192.0.2.2"))
            .to_http_request();
        let trusted = TrustedProxies::new(["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(client_address(&request, &trusted), IpAddr::from([192, 0, 2, 2]));
        let nobody = TrustedProxies::default();
        assert_eq!(client_address(&request, &nobody), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn only_keys_of_sixteen_bytes_are_keys() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in ["", "abc", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ!=="] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn the_query_chooses_the_protocol() {
        assert_eq!(query_version("").ok(), Some(Version::Plain));
        assert_eq!(query_version("x=1&v=2").ok(), Some(Version::V2));
        assert!(query_version("v=3").is_err());
    }
}
