//! Builds the application from its settings, runs it, and brings it to rest.
//!
//! Order of a stop: unready, newcomers get 503, stop reading, commit, announce, Close 1001 to everybody,
//! drain outboxes, close the store. Each step is bounded by `server.shutdown_timeout_s` as a whole.

use std::{
    cell::RefCell,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_files::Files;
use actix_http::{HttpService, Request};
use actix_rt::task::spawn_blocking;
use actix_server::{Server, ServerHandle};
use actix_service::{
    Service, ServiceFactory, ServiceFactoryExt, boxed, fn_factory, fn_service, map_config,
};
use actix_web::{
    App, FromRequest, Handler, HttpServer, Responder,
    dev::AppConfig,
    guard,
    middleware::{Compress, DefaultHeaders},
    web,
};
use actors::{
    board::grouped,
    protocol::Close,
    stats::Stats,
    topology::{Node, Worker},
};
use anyhow::{Context, Result, bail};
use futures_util::future::try_join;
use log::{info, warn};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    listen::{BACKLOG, listen, reached},
    logging,
    routes::{assets, backup, health, metrics, overview, page},
    settings::Settings,
    store::Opened,
    telemetry, usage,
    ws::{self, Admission, AppService},
};

/// Time for a client to begin its first request, and then to send the whole of its head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest life of a connection that stays with HTTP; sessions have left it by then. Bounds clients
/// that send requests and never read the answers, which actix-http would serve for ever.
const HTTP_LIFETIME: Duration = Duration::from_secs(60);

/// HTTP connections of one worker at once; beyond them the others wait to be accepted.
const HTTP_CONNECTIONS: usize = 2048;

/// Between two looks at how many files are open.
const DESCRIPTOR_CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// Descriptors for everything but players: listeners, store, workers, page requests.
const DESCRIPTORS_RESERVED: usize = 256;

/// Descriptors that are open before anybody comes: so many …
const DESCRIPTORS_OWN: usize = 26;

/// … and so many for each worker and each thread of shards (both counted in /proc/self/fd).
const DESCRIPTORS_PER_THREAD: usize = 4;

/// Of the shutdown time, kept back for closing the store.
const STORE_CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why [`Application::run_until_stopped`] returned.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// By a signal; everything accepted was saved.
    Asked,
    /// Something the node cannot do without has ended.
    Failed,
}

/// A server that listens.
pub struct Application {
    server: Server,
    admin: Server,
    address: SocketAddr,
    admin_address: SocketAddr,
    node: Arc<Node>,
    shutdown_timeout: Duration,
    signals: Signals,
}

/// Opens the store and loads the board.
async fn load(settings: &Settings, stats: &Arc<Stats>) -> Result<(Opened, Arc<Node>)> {
    let began = Instant::now();
    let store = Opened::open(settings).await?;
    let node = Node::start(settings.node(), store.store(), stats.clone()).await?;
    info!(
        "loaded {} with {} checked in {:.0} ms",
        node.board,
        grouped(stats.announced.get().unsigned_abs()),
        began.elapsed().as_secs_f64() * 1e3
    );
    Ok((store, node))
}

/// Reads and compresses the page's files, beside the board: it takes as long as loading a full one.
async fn load_page(settings: &Settings) -> Result<page::Page> {
    let settings = settings.page.clone();
    spawn_blocking(move || page::Page::load(&settings)).await.context("the page")?
}

/// What every worker builds its App from.
#[derive(Clone)]
struct Shared {
    node: web::Data<Node>,
    admission: web::Data<Admission>,
    page: web::Data<page::Page>,
    overview: web::Data<overview::Latest>,
    statics: PathBuf,
    /// Connections that are with HTTP now.
    http_connections: Gauge,
}

impl Application {
    /// Opens the store, loads the board, starts the actors and binds both listeners; `None` if a signal
    /// came first.
    pub async fn build(settings: &Settings) -> Result<Option<Self>> {
        // First: a cluster may be waited for long.
        let mut signals = Signals::new()?;
        let stats = Arc::new(Stats::default());
        telemetry::count_panics(stats.clone());
        // Ports first: a port in use is found before a large board is loaded.
        let listeners = async {
            let players = listen("server.address", &settings.server.address).await?;
            Ok::<_, anyhow::Error>((
                players,
                listen("admin.address", &settings.admin.address).await?,
            ))
        };
        let (listener, admin_listener) = tokio::select! {
            listeners = listeners => listeners?,
            signal = signals.next() => {
                info!("{signal}: nothing has been served yet");
                return Ok(None);
            }
        };
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);

        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let connections_max = connections_within_descriptors(settings, workers)?;

        let loaded = try_join(load(settings, &stats), load_page(settings));
        let ((store, node), page) = tokio::select! {
            loaded = loaded => loaded?,
            signal = signals.next() => {
                info!("{signal}: nothing has been served yet");
                return Ok(None);
            }
        };
        let http_connections = Gauge::default();
        let registry = telemetry::registry(&stats, &store, &http_connections, connections_max);
        let shared = Shared {
            node: web::Data::from(node.clone()),
            admission: web::Data::from(Admission::new(&settings.server, connections_max)),
            page: web::Data::new(page),
            overview: web::Data::default(),
            statics: settings.page.path.join("static"),
            http_connections,
        };
        let server = Server::build()
            .workers(workers)
            .backlog(BACKLOG)
            .max_concurrent_connections(HTTP_CONNECTIONS)
            .disable_signals()
            .listen("players", listener, move || serve(shared.clone()))?
            .run();
        let operations =
            backup::Operations::new(store.spool(settings), store.identity(), store.file(settings)?);
        let admin = serve_admin(admin_listener, node.clone(), registry, operations)?;
        let shutdown_timeout = Duration::from_secs(settings.server.shutdown_timeout_s);
        Ok(Some(Self { server, admin, address, admin_address, node, shutdown_timeout, signals }))
    }

    /// Serves until a signal or a failure, then brings the node to rest.
    pub async fn run_until_stopped(self) -> Result<Stopped> {
        let Self { server, admin, node, shutdown_timeout, mut signals, .. } = self;
        let (handle, admin_handle) = (server.handle(), admin.handle());
        actix_rt::spawn(server);
        actix_rt::spawn(admin);
        actix_rt::spawn(watch_descriptors(node.clone()));
        let (shown, from) = reached(self.address);
        info!("listening on http://{shown}{from}");
        let (shown, from) = reached(self.admin_address);
        info!("metrics on http://{shown}/metrics{from}; /export and /import are there, too");
        if !self.admin_address.ip().to_canonical().is_loopback() {
            warn!(
                "admin.address reaches beyond this machine: who reaches it may take the board away and \
                 check every box, so keep it off the internet"
            );
        }

        let stopped = tokio::select! {
            signal = signals.next() => {
                info!("{signal}: finishing");
                Stopped::Asked
            }
            what = node.fatal.wait() => {
                logging::fatal(format_args!("{what} ended unexpectedly: stopping the node"));
                Stopped::Failed
            }
        };
        actix_rt::spawn(async move {
            let signal = signals.next().await;
            warn!("{signal} again: exiting at once");
            std::process::exit(1);
        });
        come_to_rest(&node, &handle, &admin_handle, shutdown_timeout).await;
        Ok(stopped)
    }
}

async fn come_to_rest(
    node: &Node,
    server: &ServerHandle,
    admin: &ServerHandle,
    shutdown_timeout: Duration,
) {
    let end = tokio::time::Instant::now() + shutdown_timeout;
    let deadline = end - STORE_CLOSE_TIME.min(shutdown_timeout);
    node.begin_draining();
    let rest = async {
        // Newcomers are still accepted, to be told 503 and when to come back.
        node.drain(Close::GOING_AWAY).await;
        let mut check = tokio::time::interval(Duration::from_millis(10));
        while node.stats.connections_now() > 0 {
            check.tick().await;
        }
    };
    if tokio::time::timeout_at(deadline, rest).await.is_err() {
        let left = node.stats.connections_now();
        warn!("{left} sessions did not end in time and were cut");
    }
    // The store first: once it is closed, nothing can be lost by whatever else takes long. All the time that is
    // left is its own: a file that was lost is made again before the end.
    if tokio::time::timeout_at(end, node.stop()).await.is_err() {
        warn!("the store did not close in time; it recovers at the next start");
    }
    server.stop(false).await;
    admin.stop(false).await;
    info!("stopped");
}

/// The signals that ask the process to end.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Says when open files come close to their limit, and when they are far from it again. Players are
/// limited to what it allows from the start: this is about everything else.
async fn watch_descriptors(node: Arc<Node>) {
    let Some(max) = usage::descriptors_max() else { return };
    let mut watch = usage::DescriptorWatch::new(max);
    let mut check = tokio::time::interval(DESCRIPTOR_CHECK_INTERVAL);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        check.tick().await;
        let Some(open) = usage::descriptors_open() else { return };
        let players = node.stats.connections_now();
        match watch.look(open) {
            None => {}
            Some(usage::Descriptors::Short) => warn!(
                "files are running out: {open} of {max} are open, {players} of them players; beyond \
                 that nobody can connect (raise LimitNOFILE or ulimit -n, or lower \
                 server.max_connections)"
            ),
            Some(usage::Descriptors::Enough) => {
                info!("files suffice again: {open} of {max} are open, {players} of them players");
            }
        }
    }
}

/// Raises the limit of open files as far as it goes; how many players that leaves room for.
fn connections_within_descriptors(settings: &Settings, workers: usize) -> Result<usize> {
    let wanted = settings.server.max_connections;
    let files = usage::raise_descriptors_max().unwrap_or(usize::MAX);
    let threads = workers + settings.shards.threads;
    let needed = DESCRIPTORS_OWN + DESCRIPTORS_PER_THREAD * threads;
    let possible = files.saturating_sub(needed.max(DESCRIPTORS_RESERVED.min(files / 2)));
    if possible == 0 {
        bail!(
            "only {files} files may be open, and {threads} threads of server.workers and \
             shards.threads need {needed} before the first player comes: raise the limit with \
             ulimit -n or LimitNOFILE, or take fewer threads"
        );
    }
    if possible < wanted {
        warn!(
            "server.max_connections = {wanted}, but only {files} files may be open: taking \
             {possible} players (raise the limit with ulimit -n or LimitNOFILE)"
        );
    }
    Ok(wanted.min(possible))
}

/// The service of one worker thread: HTTP requests and upgrades, decided by the same App.
fn serve(
    shared: Shared,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> {
    // Per worker, and not in a thread_local: on exit actix-web would touch a destroyed pool.
    let app: Rc<RefCell<Option<AppService>>> = Rc::default();
    let worker: Rc<RefCell<Option<Rc<Worker>>>> = Rc::default();
    let upgrades = {
        let (app, worker, shared) = (app.clone(), worker.clone(), shared.clone());
        fn_factory(move || {
            let (app, worker, shared) = (app.clone(), worker.clone(), shared.clone());
            async move {
                let app = app_of(&app, &shared).await?;
                let node = shared.node.clone().into_inner();
                let worker = worker.borrow_mut().get_or_insert_with(|| Worker::start(node)).clone();
                Ok::<_, ()>(fn_service(move |(request, framed)| {
                    ws::upgrade(app.clone(), worker.clone(), request, framed)
                }))
            }
        })
    };
    let http_connections = shared.http_connections.clone();
    let requests = fn_factory(move || {
        let (app, shared) = (app.clone(), shared.clone());
        async move { app_of(&app, &shared).await }
    });
    let http = HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .upgrade(upgrades)
        .h1(requests.map_err(|error: actix_web::Error| error.error_response()))
        .tcp();
    fn_factory(move || {
        let (http, open) = (http.new_service(()), http_connections.clone());
        async move {
            let http = Rc::new(http.await?);
            Ok(fn_service(move |stream| serve_connection(stream, http.clone(), open.clone())))
        }
    })
}

/// One connection, until it ends or becomes a session.
///
/// HTTP has 16 KB of buffers for each, so it is given only those that have something to say: when
/// everybody comes back at once, thousands wait, and those who never speak take next to nothing.
async fn serve_connection<S, E>(
    stream: TcpStream,
    http: Rc<S>,
    open: Gauge,
) -> std::result::Result<(), E>
where
    S: Service<TcpStream, Response = (), Error = E>,
{
    let _counted = Counted::new(open);
    if !matches!(timeout(REQUEST_TIMEOUT, stream.readable()).await, Ok(Ok(()))) {
        return Ok(());
    }
    timeout(HTTP_LIFETIME, http.call(stream)).await.unwrap_or(Ok(()))
}

/// Is counted by a gauge as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The worker's App, built by whoever asks first.
async fn app_of(
    slot: &Rc<RefCell<Option<AppService>>>,
    shared: &Shared,
) -> std::result::Result<AppService, ()> {
    if let Some(app) = &*slot.borrow() {
        return Ok(app.clone());
    }
    let app = build_app(shared).await?;
    Ok(slot.borrow_mut().get_or_insert(app).clone())
}

fn build_app(shared: &Shared) -> impl Future<Output = std::result::Result<AppService, ()>> + use<> {
    let pages =
        web::scope("").wrap(Compress::default()).service(get_or_head("/", page::index)).service(
            web::scope("/static")
                .wrap(
                    DefaultHeaders::new()
                        .add(("Cache-Control", "no-cache"))
                        .add(("X-Content-Type-Options", "nosniff")),
                )
                .service(Files::new("/", &shared.statics)),
        );
    let app = App::new()
        .app_data(shared.node.clone())
        .app_data(shared.admission.clone())
        .app_data(shared.page.clone())
        .app_data(shared.overview.clone())
        // Resources, not routes: they answer another method with 405 instead of 404.
        .service(get_or_head("/ws", ws::connect))
        .service(get_or_head("/overview", overview::overview))
        .service(get_or_head("/static/{hash:[0-9a-f]{16}}/{file}", assets::asset))
        .service(get_or_head("/healthz", health::healthz))
        .service(get_or_head("/readyz", health::readyz));
    #[cfg(feature = "echo")]
    let app = app.service(get_or_head("/echo", ws::echo));
    let factory = map_config(app.service(pages), |()| AppConfig::default());
    let service = ServiceFactory::<Request>::new_service(&factory, ());
    async move {
        let service = service.await?;
        Ok(Rc::new(boxed::service(service)))
    }
}

/// A resource that answers GET and HEAD (RFC 9110 §9.3.2), and 405 to anything else.
fn get_or_head<F, Args>(path: &str, handler: F) -> actix_web::Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path).route(web::route().guard(reads).to(handler))
}

fn serve_admin(
    listener: std::net::TcpListener,
    node: Arc<Node>,
    registry: Registry,
    operations: backup::Operations,
) -> Result<Server> {
    let registry = web::Data::new(registry);
    let operations = web::Data::new(operations);
    let node = web::Data::from(node);
    let admin = HttpServer::new(move || {
        App::new()
            .app_data(registry.clone())
            .app_data(node.clone())
            .app_data(operations.clone())
            .service(web::resource("/export").route(web::get().to(backup::export)))
            .service(web::resource("/import").route(web::post().to(backup::import)))
            .service(get_or_head("/metrics", metrics::metrics))
            .service(get_or_head("/healthz", health::healthz))
            .service(get_or_head("/readyz", health::readyz))
    });
    Ok(admin.workers(1).disable_signals().listen(listener)?.run())
}
