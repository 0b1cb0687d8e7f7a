//! The `/ws` route and the hand-over of its socket to a session actor.
//!
//! One App decides about every request. For `/ws` it checks handshake, origin, limits and draining
//! like any handler, and answers 101 or an ordinary HTTP error; the [`Grant`] in the response says
//! what was decided. The upgrade service writes that answer and, on 101, gives the socket away.

use std::{net::IpAddr, ops::RangeInclusive, rc::Rc, sync::Arc, time::Duration};

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
    node::Node,
    player::Player,
    protocol::Version,
    seats::{Full, Seat},
    session::{Connection, Session},
    table::Table,
    worker::Worker,
};
use log::debug;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    admission::{Admission, Rules, Stranger},
    client_address::{Hearsay, TrustedProxies},
    live::Following,
    routes::query::table,
};

/// Marks requests that came through the upgrade service, whose socket can be taken over.
struct Upgradable;

/// What the route decided about a connection, left in the 101 response.
struct Grant {
    purpose: Purpose,
    player: Player,
    seat: Seat,
}

/// What a granted socket is for.
enum Purpose {
    /// A player's session on a board.
    Play(Version, Arc<Table>),
    /// The conformance suite.
    #[cfg(feature = "echo")]
    Echo,
}

/// `GET /ws`: may this client play?
pub async fn connect(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    live: web::Data<Following>,
) -> impl Responder {
    let query = request.query_string();
    let asked = query_version(query).and_then(|version| Ok((version, table(query, &node)?)));
    let rules = &live.now().rules;
    match asked {
        Ok((version, table)) => {
            decide(&request, &table.clone(), &admission, rules, Purpose::Play(version, table))
        }
        Err(response) => {
            // Of no board, so it counts as one of the main board's.
            refused(
                node.main(),
                client_address(&request, rules.trusted_proxies()),
                "handshake",
                &response,
            );
            response
        }
    }
}

/// Counts a handshake that is answered with `response`, and logs it for who follows such things.
fn refused(table: &Table, address: IpAddr, reason: &'static str, response: &HttpResponse) {
    table.stats.refused(reason);
    debug!("{address} was refused: {reason} ({})", response.status());
}

/// `GET /echo`: the same framing with an echo behind it.
#[cfg(feature = "echo")]
pub async fn echo(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    live: web::Data<Following>,
) -> impl Responder {
    decide(&request, node.main(), &admission, &live.now().rules, Purpose::Echo)
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
    table: &Table,
    admission: &Admission,
    rules: &Rules,
    purpose: Purpose,
) -> HttpResponse {
    let address = client_address(request, rules.trusted_proxies());
    if let Err(response) = check_handshake(request) {
        refused(table, address, "handshake", &response);
        return response;
    }
    if admission.is_closed() {
        let response = retry_later(StatusCode::SERVICE_UNAVAILABLE, "the server is going away\n");
        refused(table, address, "draining", &response);
        return response;
    }
    let origins: Vec<_> = request.headers().get_all(header::ORIGIN).collect();
    if let Err(stranger) = rules.allows(&origins, header(request, header::HOST)) {
        debug!("{address} was refused: {stranger}");
        table.stats.refused("origin");
        return forbidden(&stranger);
    }
    let (player, seat) = match admission.admit(address, rules) {
        Ok(admitted) => admitted,
        Err(full) => {
            let status = match full {
                Full::All => StatusCode::SERVICE_UNAVAILABLE,
                Full::Address => StatusCode::TOO_MANY_REQUESTS,
            };
            let response = retry_later(status, "too many connections\n");
            refused(table, address, "connections", &response);
            return response;
        }
    };
    debug!("session {} of {address} is let in", player.session);
    // What actix-http and actix-web-actors check of a handshake was checked above, and more.
    let mut accepted = actix_http::ws::handshake_response(request.head()).finish();
    accepted.extensions_mut().insert(Grant { purpose, player, seat });
    accepted.map_into_boxed_body().into()
}

/// Only this answer repeats what the client said, so nobody may take it for a page.
fn forbidden(stranger: &Stranger) -> HttpResponse {
    HttpResponse::Forbidden()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(format!("{stranger}\n"))
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

/// RFC 6455 §4.2.1, which actix-http checks only in part: it accepts versions 7 and 8, keys of any length
/// and HTTP/1.0, and looks at no more than one line of `Upgrade`.
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
    let Some(Grant { purpose, player, seat }) = granted else {
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
        debug!("session {}: the client was gone before it began: {error}", player.session);
        return Ok(());
    }
    match purpose {
        Purpose::Play(version, table) => {
            let connection = Connection { stream, unread, version, player, seat };
            Session::start_at(worker.desk(&table), connection);
        }
        #[cfg(feature = "echo")]
        Purpose::Echo => {
            actix_rt::spawn(async move {
                crate::echo::run(stream, unread).await;
                drop(seat);
            });
        }
    }
    Ok(())
}

/// With the kernel's default of up to 4 MB a stalled client would never make a write block, so no
/// limit of ours would ever act.
fn prepare_socket(stream: &TcpStream, worker: &Worker) -> std::io::Result<()> {
    let session = &worker.node.settings.session;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // The kernel doubles what it is told, to have room for its own bookkeeping (socket(7)).
    socket.set_send_buffer_size(session.send_buffer_bytes)?;
    socket.set_tcp_user_timeout(Some(worker.live().idle_timeout.max(Duration::from_secs(1))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
