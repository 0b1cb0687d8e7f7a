//! The players' listener: one service per worker thread, HTTP requests and upgrades decided by the same
//! App, and how long a connection stays with HTTP.
//!
//! A connection is kept for its next request for `server.keep_alive_s`. It ends idle for that long, or after
//! an answer that says `Connection: close`, as does each answer to a connection of that age and each answer
//! of a worker that has many connections. Only a client that does not read is cut off within an answer.

use std::{
    cell::RefCell,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use actix_codec::Framed;
use actix_files::Files;
use actix_http::{ConnectionType, HttpService, Request, body::BoxBody, h1};
use actix_service::{
    Service, ServiceFactory, ServiceFactoryExt, apply_fn, boxed, fn_factory, fn_service, map_config,
};
use actix_web::{
    App, Error,
    dev::{AppConfig, HttpServiceFactory, ServiceResponse},
    error::ErrorInternalServerError,
    guard,
    http::uri::PathAndQuery,
    middleware::{Compress, Condition, DefaultHeaders, from_fn},
    web,
};
use actors::{node::Node, worker::Worker};
use futures_util::StreamExt;
use log::debug;
use prometheus_client::metrics::gauge::Gauge;
use socket2::SockRef;
use tokio::{io::ReadBuf, net::TcpStream, time::timeout};

use crate::{
    admission::Admission,
    limits::requests,
    line::Line,
    live::Following,
    people::{self, People},
    places::{PLACES_MAX, Place, Places},
    routes::{assets, headers, health, methods::get_or_head, missing, overview, page},
    traffic::{Route, Traffic},
    unread::{self, holding},
    ws::{self, AppService},
};

/// Time for a client to begin its first request, and then to send the whole of its head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to read the last answer of a connection. Until then the kernel gives up clients that take
/// nothing at all; what remains are those that read a byte now and then, for which actix-http has no limit.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a first request that are looked at before HTTP reads them; browsers send about 600.
const HEAD_LOOKED_AT: usize = 4096;

/// What every worker builds its App from.
#[derive(Clone)]
pub struct Shared {
    /// The node that is played on.
    pub node: web::Data<Node>,
    /// Who may connect.
    pub admission: web::Data<Admission>,
    /// The page.
    pub page: web::Data<page::Page>,
    /// The overview as it was sent last.
    pub overview: web::Data<overview::Latest>,
    /// The folder of the page's files, unless they are compiled in.
    pub statics: Option<PathBuf>,
    /// `server.base_path`, without a slash at its end.
    pub base: String,
    /// Longest time a connection may be idle.
    pub keep_alive: Duration,
    /// Settings that may change.
    pub live: Following,
    /// Connections that are with HTTP now.
    pub connections: Gauge,
    /// Where requests are counted.
    pub traffic: Traffic,
    /// Who they are from.
    pub people: web::Data<People>,
}

/// Connections that a worker may keep for their next request, if all workers together are to leave half
/// of the descriptors that players leave, and of its own places half for newcomers.
pub fn kept_max(descriptors_spare: usize, workers: usize) -> usize {
    (descriptors_spare / 2 / workers).clamp(1, PLACES_MAX / 2)
}

/// The service of one worker thread.
pub fn serve(
    shared: Shared,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> {
    let thread = Rc::new(Thread::new(shared));
    let (upgrading, asking) = (thread.clone(), thread.clone());
    let upgrades = fn_factory(move || {
        let thread = upgrading.clone();
        async move {
            Ok::<_, ()>(fn_service(move |(request, framed): (Request, Framed<Line, h1::Codec>)| {
                framed.io_ref().place.asked();
                // A session looks after its own writes.
                thread.clone().upgrade(request, framed.into_map_io(|line| line.stream))
            }))
        }
    });
    let requests = fn_factory(move || {
        let thread = asking.clone();
        async move {
            let app = thread.app().await?;
            Ok::<_, ()>(apply_fn(app, move |request, app: &AppService| {
                answer(&thread, request, app)
            }))
        }
    });
    let http = HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .keep_alive(thread.shared.keep_alive)
        .on_connect_ext(|line: &Line, data| _ = data.insert(line.place.clone()))
        .upgrade(upgrades)
        .h1(requests.map_err(|error: Error| error.error_response()));
    fn_factory(move || {
        let (http, thread) = (http.new_service(()), thread.clone());
        async move {
            let http = Rc::new(http.await?);
            Ok(fn_service(move |stream| serve_connection(stream, http.clone(), thread.clone())))
        }
    })
}

/// What the connections of one worker share. Not in a thread_local: on exit actix-web would touch a
/// destroyed pool.
struct Thread {
    shared: Shared,
    app: RefCell<Option<AppService>>,
    worker: RefCell<Option<Rc<Worker>>>,
    places: Rc<Places>,
}

impl Thread {
    fn new(shared: Shared) -> Self {
        let (live, gauge) = (shared.live.clone(), shared.connections.clone());
        let places = Rc::new(Places::new(live, shared.keep_alive, gauge));
        Self { shared, app: RefCell::default(), worker: RefCell::default(), places }
    }

    /// The worker's App, built by whoever asks first.
    async fn app(&self) -> Result<AppService, ()> {
        if let Some(app) = &*self.app.borrow() {
            return Ok(app.clone());
        }
        let app = build_app(&self.shared).await?;
        Ok(self.app.borrow_mut().get_or_insert(app).clone())
    }

    /// Has the App decide about a request that wants to leave HTTP.
    async fn upgrade(
        self: Rc<Self>,
        request: Request,
        framed: Framed<TcpStream, h1::Codec>,
    ) -> Result<(), Error> {
        let app = self.app().await.map_err(|()| ErrorInternalServerError("there is no App"))?;
        let node = || self.shared.node.clone().into_inner();
        let worker = self.worker.borrow_mut().get_or_insert_with(|| Worker::start(node())).clone();
        ws::upgrade(app, worker, request, framed).await
    }

    /// The same for the first request of a connection, of which HTTP would not see that it wants that.
    async fn upgrade_first(self: Rc<Self>, stream: TcpStream) {
        let peer = stream.peer_addr().ok();
        let mut framed = Framed::new(stream, h1::Codec::default());
        let first = timeout(REQUEST_TIMEOUT, framed.next()).await;
        if let Ok(Some(Ok(h1::Message::Item(mut request)))) = first {
            request.head_mut().peer_addr = peer;
            if let Err(error) = self.upgrade(request, framed).await {
                debug!("a client could not be answered: {error}");
            }
        }
    }
}

/// One connection, until it ends or becomes a session, or has to give up its place.
async fn serve_connection<S, E>(stream: TcpStream, http: Rc<S>, thread: Rc<Thread>) -> Result<(), E>
where
    S: Service<(Line, Option<SocketAddr>), Response = (), Error = E>,
{
    // It has none if it is gone already.
    let Ok(peer) = stream.peer_addr() else { return Ok(()) };
    let place = thread.places.take(peer.ip()).await;
    tokio::select! {
        served = keep_serving(stream, peer, http, place.clone(), thread) => served,
        () = place.given_up() => Ok(()),
    }
}

/// HTTP has 16 KB of buffers for each connection, so it is given only those that have something to say: when
/// everybody comes back at once, thousands wait, and those who never speak take next to nothing.
async fn keep_serving<S, E>(
    stream: TcpStream,
    peer: SocketAddr,
    http: Rc<S>,
    place: Rc<Place>,
    thread: Rc<Thread>,
) -> Result<(), E>
where
    S: Service<(Line, Option<SocketAddr>), Response = (), Error = E>,
{
    if !matches!(timeout(REQUEST_TIMEOUT, stream.readable()).await, Ok(Ok(()))) {
        return Ok(());
    }
    place.spoke();
    // Fails only for a socket that is gone, which HTTP finds out as well.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(LAST_ANSWER_TIMEOUT));
    if offers_websocket_among_others(&stream) {
        place.asked();
        thread.upgrade_first(stream).await;
        return Ok(());
    }
    let keep_alive = thread.shared.keep_alive;
    let served = http.call((Line::new(stream, place), Some(peer)));
    // An answer just before it is old, a last question just before it has been idle for too long.
    timeout(2 * keep_alive + LAST_ANSWER_TIMEOUT, served).await.unwrap_or(Ok(()))
}

/// Has the App answer, and says so if the connection ends with this. On a node that is about to stop each answer is the
/// last one of its connection: a balancer that keeps connections would still use this one at the moment it is cut.
fn answer(
    thread: &Rc<Thread>,
    mut request: Request,
    app: &AppService,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<> {
    let place = request.conn_data::<Rc<Place>>();
    let opened = place.map_or_else(Instant::now, |place| {
        place.asked();
        place.opened
    });
    let unread = unread::take(&mut request);
    let (thread, answer) = (thread.clone(), app.call(request));
    async move {
        let mut response = answer.await?.map_body(|_, body| holding(body, unread));
        if thread.places.ends(opened.elapsed()) || thread.shared.admission.is_ending() {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        Ok(response)
    }
}

/// Whether the first request of a connection offers WebSocket among other protocols in one line
/// (`Upgrade: h2c, websocket`, RFC 9110 §7.8), of which actix-http takes no notice. Looked for in what has
/// arrived, without taking it; a head that comes in pieces, or later on its connection, is not found.
fn offers_websocket_among_others(stream: &TcpStream) -> bool {
    let mut bytes = [0; HEAD_LOOKED_AT];
    let mut arrived = ReadBuf::new(&mut bytes);
    // Whoever waits for the next bytes will say so itself.
    let mut nobody = Context::from_waker(Waker::noop());
    if !matches!(stream.poll_peek(&mut nobody, &mut arrived), Poll::Ready(Ok(_))) {
        return false;
    }
    let arrived = arrived.filled();
    let end = arrived.windows(4).position(|four| four == b"\r\n\r\n");
    let head = end.and_then(|end| str::from_utf8(&arrived[..end]).ok()).unwrap_or_default();
    head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).any(|(name, value)| {
        let mut offers = value.split(',').map(str::trim);
        name.eq_ignore_ascii_case("upgrade")
            && value.contains(',')
            && offers.any(|offer| offer.eq_ignore_ascii_case("websocket"))
    })
}

fn build_app(shared: &Shared) -> impl Future<Output = Result<AppService, ()>> + use<> {
    let pages = web::scope("").wrap(Compress::default()).service(get_or_head("/", page::index));
    let app = App::new()
        .app_data(shared.node.clone())
        .app_data(shared.admission.clone())
        .app_data(web::Data::new(shared.live.clone()))
        .app_data(shared.page.clone())
        .app_data(shared.overview.clone())
        .app_data(shared.people.clone())
        // Resources, not routes: they answer another method with 405 instead of 404.
        .service(get_or_head("/ws", ws::connect))
        .service(get_or_head("/ws/why", ws::why))
        .service(get_or_head("/overview", overview::overview))
        .service(
            get_or_head("/static/{hash:[0-9a-f]{16}}/{file}", assets::asset)
                .app_data(Route("/static/{hash}/{file}")),
        )
        .service(get_or_head("/favicon.ico", assets::icon))
        .service(get_or_head("/robots.txt", page::robots))
        .service(get_or_head("/manifest.webmanifest", page::manifest))
        .service(get_or_head("/healthz", health::healthz))
        .service(get_or_head("/readyz", health::readyz));
    let app = people::routes::all().into_iter().fold(app, App::service);
    #[cfg(feature = "echo")]
    let app = app.service(get_or_head("/echo", ws::echo));
    let files = files_by_name(shared.statics.as_deref());
    let app = app.service(files).service(pages).default_service(web::to(missing::missing));
    // Around all of it: a path that does not exist counts as well.
    let app = app.wrap(from_fn(requests::limited)).wrap(from_fn(headers::protected));
    let traffic = shared.traffic.of("players");
    let app = app
        .wrap_fn(move |request, app| traffic.counting(request.method().into(), app.call(request)));
    let factory = map_config(app, |()| AppConfig::default());
    let service = ServiceFactory::<Request>::new_service(&factory, ());
    let base = shared.base.clone();
    async move {
        let routed = apply_fn(service.await?, move |mut request: Request, app| {
            route_to_root(&mut request, &base);
            app.call(request)
        });
        Ok(Rc::new(boxed::service(routed)))
    }
}

/// The page's files under their own names: those in `folder`, or those that are compiled in.
fn files_by_name(folder: Option<&Path>) -> impl HttpServiceFactory + use<> {
    const FILE: Route = Route("/static/{file}");
    let files = web::scope("/static").app_data(FILE);
    let files = match folder {
        Some(folder) => files.service(
            Files::new("/", folder)
                // There is none, so that a folder is answered like a missing file.
                .index_file("index.html")
                .guard(guard::Any(guard::Get()).or(guard::Head()))
                .default_handler(fn_service(missing::missing_file)),
        ),
        None => files.service(get_or_head("/{file}", assets::by_name).app_data(FILE)),
    };
    let headers = DefaultHeaders::new().add(("Cache-Control", "no-cache"));
    // Those that are compiled in have their compressed forms.
    files.wrap(headers).wrap(Condition::new(folder.is_some(), Compress::default()))
}

/// Takes `base` from the front of a request's path, as a proxy does that strips it; requests without it
/// are left alone. `OPTIONS *`, which is about the server as a whole, asks what the page would.
fn route_to_root(request: &mut Request, base: &str) {
    let asked = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let below = match asked {
        "*" => "",
        _ if base.is_empty() => return,
        _ => match asked.strip_prefix(base) {
            Some(below) if below.is_empty() || below.starts_with(['/', '?']) => below,
            _ => return,
        },
    };
    let slash = if below.starts_with('/') { "" } else { "/" };
    // What was part of a legal path and query is one.
    if let Ok(legal) = format!("{slash}{below}").parse() {
        *request.uri_mut() = legal;
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn routed(asked: &str, base: &str) -> String {
        let mut request = TestRequest::with_uri(asked).to_request();
        route_to_root(&mut request, base);
        request.uri().to_string()
    }

    #[test]
    fn a_path_below_the_base_is_routed_with_it_and_without() {
        for (asked, found) in [
            ("/boxes", "/"),
            ("/boxes/", "/"),
            ("/boxes?x=1", "/?x=1"),
            ("/boxes/ws?v=2", "/ws?v=2"),
            ("/boxes/boxes/ws", "/boxes/ws"),
            ("/boxesque", "/boxesque"),
            ("/ws?v=2", "/ws?v=2"),
            ("*", "/"),
        ] {
            assert_eq!(routed(asked, "/boxes"), found, "{asked}");
        }
        assert_eq!(routed("/a/b/static/x.js", "/a/b"), "/static/x.js");
        assert_eq!(routed("/ws", ""), "/ws");
    }

    #[test]
    fn idle_connections_leave_descriptors_and_places_to_others() {
        assert_eq!(kept_max(usize::MAX, 2), PLACES_MAX / 2);
        assert_eq!(kept_max(1000, 2), 250, "20,000 files, 19,000 players");
        assert_eq!(kept_max(0, 4), 1);
    }
}
