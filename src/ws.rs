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
    http::{StatusCode, header},
    web,
};
use actors::{
    limits::{Height, Kind, Patience, Refused},
    node::Node,
    player::{Player, SessionId},
    protocol::Version,
    seats::{Full, Seat},
    session::{Connection, Session},
    table::Table,
    worker::Worker,
};
use log::debug;
use serde_json::json;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    admission::{Admission, Rules, Stranger},
    extensions,
    handshake::{Upgradable, check_handshake, header},
    limits::{
        answer::{self, seconds_up},
        requests::wait_for,
        visitor::{Standing, Visitor},
    },
    live::{Following, Live},
    people::request::of,
    routes::query::table,
};

/// What the route decided about a connection, left in the 101 response.
struct Grant {
    purpose: Purpose,
    compression: bool,
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
    let visitor = visitor(&request);
    let query = request.query_string();
    let asked = query_version(query).and_then(|version| Ok((version, table(query, &node)?)));
    match asked {
        Ok((version, table)) => {
            let door =
                Door { node: &node, table: &table, admission: &admission, live: &live.now() };
            door.decide(&request, &visitor, Purpose::Play(version, table.clone())).await
        }
        Err(response) => {
            // Of no board, so it counts as one of the main board's.
            refused(node.main(), visitor.ip, "handshake", &response);
            response
        }
    }
}

/// `GET /ws/why`: how a handshake would be answered now, for pages, from which browsers hide the status of a refused
/// one. Takes no place and no token.
pub async fn why(
    request: HttpRequest,
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    live: web::Data<Following>,
) -> HttpResponse {
    let (live, visitor) = (live.now(), visitor(&request));
    let door = Door { node: &node, table: node.main(), admission: &admission, live: &live };
    let site = header(&request, SEC_FETCH_SITE);
    let has_origin = request.headers().contains_key(header::ORIGIN);
    // A page's own requests have no Origin. Browsers say where the request comes from where that can be trusted: by
    // TLS and on loopback. By plain HTTP they say nothing, and no page of another site can read the answer.
    let own_page = !has_origin && site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let refusal = door.refusal(&request, own_page).or_else(|| door.would_be_full(&visitor));
    let (status, reason, wait) = refusal.map_or((StatusCode::OK, "", None), |refusal| {
        (refusal.status(), refusal.label(), refusal.wait())
    });
    let seconds = wait.map(seconds_up);
    let body = json!({
        "status": status.as_u16(),
        "reason": reason,
        "retry_after_s": seconds,
        "node": SessionId::process(),
    });
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(seconds) = seconds {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    response.content_type(header::ContentType::json()).body(format!("{body}\n"))
}

const SEC_FETCH_SITE: header::HeaderName = header::HeaderName::from_static("sec-fetch-site");

/// Who asks, as it was found when the request came in.
fn visitor(request: &HttpRequest) -> Visitor {
    *request.extensions().get::<Visitor>().expect("every request passes the limits first")
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
    let (live, visitor) = (live.now(), visitor(&request));
    let door = Door { node: &node, table: node.main(), admission: &admission, live: &live };
    door.decide(&request, &visitor, Purpose::Echo).await
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

/// Why somebody may not connect who has shaken hands as one does.
enum Refusal {
    Draining,
    Stranger(Stranger),
    Full(Full),
    TooFast(Refused),
    Blocked,
}

impl Refusal {
    /// What counts it.
    fn label(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Stranger(_) => "origin",
            Self::Full(Full::All) => "full",
            Self::Full(Full::Address) => "connections",
            Self::TooFast(_) => "rate",
            Self::Blocked => "blocked",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Stranger(_) | Self::Blocked => StatusCode::FORBIDDEN,
            Self::Full(Full::Address) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooFast(refused) if refused.height != Height::Node => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Draining | Self::Full(Full::All) | Self::TooFast(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// When to come back, if that is of use.
    fn wait(&self) -> Option<Duration> {
        let spread =
            |s: RangeInclusive<u32>| Some(Duration::from_secs(rand::random_range(s).into()));
        match self {
            Self::Stranger(_) | Self::Blocked => None,
            Self::TooFast(refused) => Some(refused.wait),
            Self::Draining => spread(AFTER_DRAINING_S),
            Self::Full(_) => spread(RETRY_AFTER_S),
        }
    }

    fn answer(&self) -> HttpResponse {
        let text = match self {
            Self::Stranger(stranger) => return forbidden(stranger),
            Self::Blocked => return answer::blocked(),
            Self::TooFast(refused) => {
                let name = format!("{} connects", refused.height.label());
                return answer::refused(self.status(), &name, "", refused.wait);
            }
            Self::Draining => "the server is going away\n",
            Self::Full(_) => "too many connections\n",
        };
        let mut response = HttpResponse::build(self.status());
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(wait) = self.wait() {
            response.insert_header((header::RETRY_AFTER, seconds_up(wait)));
        }
        response.body(text)
    }
}

/// What decides about handshakes.
struct Door<'a> {
    node: &'a Node,
    table: &'a Table,
    admission: &'a Admission,
    live: &'a Live,
}

impl Door<'_> {
    /// Answers a handshake: 101 with a [`Grant`], or why not.
    async fn decide(
        &self,
        request: &HttpRequest,
        visitor: &Visitor,
        purpose: Purpose,
    ) -> HttpResponse {
        if let Err(response) = check_handshake(request) {
            refused(self.table, visitor.ip, "handshake", &response);
            return response;
        }
        let admitted = match self.refusal(request, false) {
            Some(refusal) => Err(refusal),
            None => self.admit(visitor).await,
        };
        let (player, seat) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let Refusal::Stranger(stranger) = &refusal {
                    debug!("{} was refused: {stranger}", visitor.ip);
                }
                let response = refusal.answer();
                refused(self.table, visitor.ip, refusal.label(), &response);
                return response;
            }
        };
        let origins: Vec<_> = request.headers().get_all(header::ORIGIN).collect();
        // Others may be allowed to play, and act for nobody.
        if Rules::is_own(&origins, header(request, header::HOST))
            && let Some(identity) = of(request).valid()
        {
            identity.take_over(&player);
        }
        debug!(connection:% = player.session; "{} is let in", visitor.ip);
        // What actix-http and actix-web-actors check of a handshake was checked above, and more.
        let mut accepted = actix_http::ws::handshake_response(request.head());
        let offers = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        let mut offers = offers.filter_map(|offer| offer.to_str().ok());
        let compression =
            self.live.compression.then(|| extensions::accepted(&mut offers)).flatten();
        if let Some(told) = compression {
            accepted.insert_header((header::SEC_WEBSOCKET_EXTENSIONS, told));
        }
        let compression = compression.is_some();
        let mut accepted = accepted.finish();
        accepted.extensions_mut().insert(Grant { purpose, compression, player, seat });
        accepted.map_into_boxed_body().into()
    }

    /// Why nobody of its kind may connect now, if so.
    fn refusal(&self, request: &HttpRequest, is_own_page: bool) -> Option<Refusal> {
        if self.admission.is_closed() {
            return Some(Refusal::Draining);
        }
        if is_own_page {
            return None;
        }
        let origins: Vec<_> = request.headers().get_all(header::ORIGIN).collect();
        let allowed = self.live.rules.allows(&origins, header(request, header::HOST));
        allowed.err().map(Refusal::Stranger)
    }

    /// A token first: whoever has none does not even look for a place.
    async fn admit(&self, visitor: &Visitor) -> Result<(Player, Seat), Refusal> {
        let (rates, now_ns) = (&self.live.limits.rates, self.node.clock.now_ns());
        let limits = &self.node.limits;
        let who = visitor.who();
        let taken = limits.take(who, Kind::Connects, 1, rates, now_ns, Patience::Answer);
        let permit = taken.map_err(Refusal::TooFast)?;
        let late = |wait| Refusal::TooFast(Refused { height: Height::Address, wait });
        let waited = wait_for(limits, self.node.clock, &permit).await;
        limits.conclude(&permit, Kind::Connects, waited.is_ok());
        waited.map_err(late)?;
        // An operator may have blocked it meanwhile, and found no session to end.
        if self.live.limits.blocks(visitor.ip) && visitor.standing != Standing::Allowed {
            return Err(Refusal::Blocked);
        }
        let per_address = self.live.limits.connections_per_address;
        let admitted = self.admission.admit(visitor, &self.live.rules, per_address);
        admitted.map_err(Refusal::Full)
    }

    /// Why there would be no place or token for a visitor, if so.
    fn would_be_full(&self, visitor: &Visitor) -> Option<Refusal> {
        let (rates, now_ns) = (&self.live.limits.rates, self.node.clock.now_ns());
        let who = visitor.who();
        if let Err(refused) = self.node.limits.would_take(who, Kind::Connects, rates, now_ns) {
            return Some(Refusal::TooFast(refused));
        }
        let per_address = self.live.limits.connections_per_address;
        let full = self.admission.full(visitor, &self.live.rules, per_address);
        full.map(Refusal::Full)
    }
}

/// Only this answer repeats what the client said: as text, so that nobody may take it for a page.
fn forbidden(stranger: &Stranger) -> HttpResponse {
    HttpResponse::Forbidden()
        .content_type("text/plain; charset=utf-8")
        .body(format!("{stranger}\n"))
}

/// Seconds after which to come back. Spread, or all who were refused together would also come back
/// together; 10 s are enough to take a full node of 19,000 in again, at 2,000 handshakes a second.
const RETRY_AFTER_S: RangeInclusive<u32> = 5..=15;

/// The same for those who came to a node that goes away: others are there already, or it is back in a moment.
const AFTER_DRAINING_S: RangeInclusive<u32> = 1..=3;

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
    let Some(Grant { purpose, compression, player, seat }) = granted else {
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
        let ip = player.ip;
        debug!(connection:% = player.session; "{ip} was gone before it began: {error}");
        return Ok(());
    }
    match purpose {
        Purpose::Play(version, table) => {
            let connection = Connection { stream, unread, version, compression, player, seat };
            Session::start_at(worker.desk(&table), connection);
        }
        #[cfg(feature = "echo")]
        Purpose::Echo => {
            actix_rt::spawn(async move {
                crate::echo::run(stream, unread, compression).await;
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
    fn the_query_chooses_the_protocol() {
        assert_eq!(query_version("").ok(), Some(Version::Plain));
        assert_eq!(query_version("x=1&v=2").ok(), Some(Version::V2));
        assert!(query_version("v=3").is_err());
    }
}
