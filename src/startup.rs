//! Builds the application from its settings, runs it, and brings it to rest.
//!
//! Order of a stop: unready; after `server.drain_delay_s`, in which players, newcomers and pages are served as ever:
//! newcomers get 503, stop reading, commit, announce, Close 1001 to everybody, drain outboxes, close the store.
//! What comes after the delay is bounded by `server.shutdown_timeout_s` as a whole.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_rt::task::spawn_blocking;
use actix_server::{Server, ServerHandle};
use actix_web::web;
use actors::{
    limits::{Limits, lease::Leases},
    node::Node,
    protocol::Close,
    stats::Metrics,
    store::{StoreError, StoreState},
};
use anyhow::{Context, Result};
use futures_util::future::try_join;
use indicatif::HumanCount;
use log::{info, warn};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    admin::{self, Admin, backup, change::Change, door::Door, tokens::Tokens},
    admission::Admission,
    database::{Database, Target},
    followed::{self, Followed},
    http,
    limits::{
        Counts,
        blocks::Blocks,
        shared::{Shared, SharedStats},
    },
    listen::{BACKLOG, listen, reached},
    live::{Following, Live},
    logging,
    numbers::counted,
    operators::{Operators, audit::Audit},
    people::{
        People,
        credits::{Collector, CreditStats},
        keyring::Keyring,
        talk::{
            Talks,
            chat::{Accounted, Chat},
            rights::Memberships,
            words::Words,
        },
        totals::Totals,
    },
    places::{PLACES_MAX, WAITING_MAX},
    reload::Reload,
    room::Room,
    routes::{files::static_folder, page},
    settings::{InForce, Settings, Sources},
    signals::{Hangups, Signals},
    store::Opened,
    telemetry,
    traffic::Traffic,
    usage, wall,
};

/// Between two looks at how many files are open.
const DESCRIPTOR_CHECK_INTERVAL: Duration = Duration::from_secs(3);

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
    admission: Arc<Admission>,
    live: Following,
    signals: Signals,
    reload: Reload,
    hangups: Option<Hangups>,
    limits_shared: Option<Shared>,
    token_file: Option<Followed<Tokens>>,
    credits: Collecting,
}

/// The collector of credits, which goes on until the last check has been committed, and the database that it fills.
struct Collecting {
    database: Database,
    stop: oneshot::Sender<()>,
    task: actix_rt::task::JoinHandle<()>,
}

impl Collecting {
    fn start(collector: Collector, database: Database) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // The end of the sender is one, too.
            let _ = stopped.await;
        };
        Self { database, stop, task: actix_rt::spawn(collector.run(stopped)) }
    }

    /// Has it hand over what is left, waits for that, and closes the database.
    async fn end(self) {
        drop(self.stop);
        let _ = self.task.await;
        self.database.close().await;
    }
}

/// Opens the store and loads the board.
async fn load(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    limits: &Arc<Limits>,
) -> Result<(Opened, Arc<Node>)> {
    let began = Instant::now();
    let store = Opened::open(settings).await?;
    let node = Node::start(settings.node(), store.store(), metrics.clone(), limits.clone()).await?;
    let board = &node.main().board;
    info!(
        "loaded {board} of {} in {} with {} checked in {:.0} ms",
        counted(board.boxes().into(), "box", "boxes"),
        counted(board.shards().into(), "shard", "shards"),
        HumanCount(node.main().stats.announced.get().unsigned_abs()),
        began.elapsed().as_secs_f64() * 1e3
    );
    Ok((store, node))
}

/// Takes or reads the page's files and compresses them, beside the board: it takes as long as loading a full one.
async fn load_page(settings: &Settings) -> Result<page::Page> {
    let has_chat = settings.people.chat;
    let (settings, base) = (settings.page.clone(), settings.server.base().to_owned());
    let load = move || page::Page::load(&settings, &base, has_chat);
    spawn_blocking(load).await.context("the page")?
}

/// The token file, if there is one, and the tokens in it.
fn token_file(settings: &Settings) -> Result<Option<followed::Opened<Tokens>>> {
    let path = &settings.admin.token_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let opened = Followed::open_secret("admin.token_file", path, Tokens::parse);
    let opened = opened.map_err(anyhow::Error::msg).context("admin.token_file")?;
    if opened.1.borrow().len() == 0 {
        warn!("admin.token_file has no token yet: `billion admin token NAME ROLE` makes one");
    }
    Ok(Some(opened))
}

/// What the chat needs to know, and follows.
fn chat(settings: &Settings, people: &People, live: Following) -> Result<Chat> {
    let callings = Accounted { accounts: people.accounts.clone(), groups: people.groups.clone() };
    let path = &settings.people.words_file;
    let words = if path.as_os_str().is_empty() {
        watch::channel(Arc::new(Words::ours())).1
    } else {
        let opened = Followed::open("people.words_file", path, Words::parse);
        let (file, words) = opened.map_err(anyhow::Error::msg).context("people.words_file")?;
        actix_rt::spawn(file.follow());
        words
    };
    Ok(Chat::new(Arc::new(callings), words, move || live.now().slow_mode))
}

impl Application {
    /// Opens the store, loads the board, starts the actors and binds both listeners; `None` if a signal
    /// came first. The settings are those `in_force`, read from `sources`.
    pub async fn build(
        settings: &Settings,
        in_force: InForce,
        sources: Sources,
        mut signals: Signals,
    ) -> Result<Option<Self>> {
        let hangups = signals.hangups();
        let metrics = Arc::new(Metrics::default());
        telemetry::count_panics(metrics.clone());
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
            (signal, _) = signals.next() => {
                info!("{signal}: nothing has been served yet");
                return Ok(None);
            }
        };
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);

        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let room = Room::make(settings, workers)?;
        // Nodes that share a store share limits.
        let leases = settings.redis.is_used().then(Arc::<Leases>::default);
        let limits = Arc::new(Limits::new(leases));
        let blocks = Arc::<Blocks>::default();
        let live = Live::new(settings, &room, &Counts::of(&limits), &blocks);

        let loaded = try_join(load(settings, &metrics, &limits), load_page(settings));
        let ((store, node), page) = tokio::select! {
            loaded = loaded => loaded?,
            (signal, _) = signals.next() => {
                info!("{signal}: nothing has been served yet");
                return Ok(None);
            }
        };
        let (http_connections, connections_max) = (Gauge::default(), Gauge::default());
        connections_max.set(telemetry::gauge_of(live.rules.connections_max()));
        let mut registry =
            telemetry::registry(&metrics, &store, &http_connections, &connections_max);
        let credit_stats = CreditStats::default();
        credit_stats.register(registry.sub_registry_with_prefix("billion"));
        telemetry::register_limits(&limits, &mut registry);
        let traffic = Traffic::default();
        telemetry::register_traffic(&traffic, &mut registry);
        let shared = limits.leases().map(|leases| {
            let stats = SharedStats::default();
            telemetry::register_shared(&stats, &mut registry);
            Ok::<_, anyhow::Error>(Shared {
                leases: leases.clone(),
                access: settings.redis.access()?,
                prefix: settings.limits.prefix.clone(),
                clock: node.clock,
                stats,
            })
        });
        let limits_shared = shared.transpose()?;
        let channels = store.channels(settings, &mut registry)?;
        let bus = store.bus(settings)?;
        let (keyring, keys) = Keyring::open(settings, bus.clone()).await?;
        actix_rt::spawn(keys.follow());
        let target = Target::parse(&settings.database_url());
        let target = target.map_err(anyhow::Error::msg).context("database.url")?;
        if settings.redis.is_used() && matches!(target, Target::Sqlite(_)) {
            warn!(
                "accounts, teams and totals are in {}, which no other node of this board sees: set database.url to a \
                 MariaDB or PostgreSQL for all of them",
                target.shown()
            );
        }
        let database = Database::open(target, settings.database.connections)?;
        database.register(registry.sub_registry_with_prefix("billion"));
        let totals = Arc::new(Totals::new(database.clone(), node.main().board.name()));
        let collector = Collector::new(store.credits(), totals, wall::today, credit_stats);
        let credits = Collecting::start(collector, database.clone());
        let people = People::new(keyring, database, node.clone(), bus.clone())?;
        let people = web::Data::new(people);
        let people_here = people.clone().into_inner();
        let (kept_up, administered) = (people_here.clone(), people_here.clone());
        actix_rt::spawn(people_here.clone().follow());
        let rights = Arc::new(Memberships(people_here.groups.clone()));
        let (sender, live) = Following::begin(live);
        let chat = chat(settings, &people_here, live.clone())?;
        let talks = Talks::start(&node, channels, rights, people_here, chat);
        talks.register(&mut registry);
        actix_rt::spawn(talks.clone().follow(node.clone()));
        people.known().await;
        actix_rt::spawn(kept_up.keep_up(live.clone()));
        // In force before anybody is served.
        let decided = Operators::start(bus, node.clone(), blocks.clone(), live.clone()).await?;
        actix_rt::spawn(decided.clone().follow());
        let server = &settings.server;
        let admission = Arc::<Admission>::default();
        actix_rt::spawn(decided.clone().observe(admission.clone()));
        let keep_alive = Duration::from_secs(server.keep_alive_s);
        let shared = http::Shared {
            node: web::Data::from(node.clone()),
            admission: web::Data::from(admission.clone()),
            page: web::Data::new(page),
            overview: web::Data::default(),
            statics: settings.page.folder().map(static_folder),
            base: server.base().to_owned(),
            keep_alive,
            live: live.clone(),
            connections: http_connections,
            traffic: traffic.clone(),
            people,
        };
        let players = Server::build()
            .workers(workers)
            .backlog(BACKLOG)
            .max_concurrent_connections(PLACES_MAX + WAITING_MAX)
            .disable_signals()
            .listen("players", listener, move || http::serve(shared.clone()))?
            .run();
        let operations =
            backup::Operations::new(store.spool(settings), store.identity(), store.file(settings)?);
        let (token_file, tokens) = token_file(settings)?.unzip();
        let door = Door::new(tokens);
        door.register(registry.sub_registry_with_prefix("billion"));
        let in_force = Arc::new(Mutex::new(in_force));
        let operators = Admin {
            settings: in_force.clone(),
            door,
            operators: decided.clone(),
            change: Change(Audit::new(settings.audit_file())),
            people: administered,
            talks,
            node: node.clone(),
            admission: admission.clone(),
            registry,
            operations,
            live: live.clone(),
            keep_alive,
            traffic,
        };
        Ok(Some(Self {
            server: players,
            admin: admin::serve(admin_listener, operators)?,
            address,
            admin_address,
            node: node.clone(),
            admission,
            live,
            signals,
            reload: Reload { sources, in_force, room, blocks, node, live: sender, connections_max },
            hangups,
            limits_shared,
            token_file,
            credits,
        }))
    }

    /// Serves until a signal or a failure, then brings the node to rest.
    pub async fn run_until_stopped(self) -> Result<Stopped> {
        let Self {
            server,
            admin,
            node,
            admission,
            live,
            mut signals,
            reload,
            hangups,
            credits,
            ..
        } = self;
        if let Some(shared) = self.limits_shared {
            actix_rt::spawn(shared.run());
        }
        let has_tokens = self.token_file.is_some();
        if let Some(file) = self.token_file {
            actix_rt::spawn(file.follow());
        }
        let (handle, admin_handle) = (server.handle(), admin.handle());
        actix_rt::spawn(server);
        actix_rt::spawn(admin);
        actix_rt::spawn(watch_descriptors(node.clone()));
        // Apart from everything below: it may wait for a disk, which must not hold up a stop.
        if let Some(hangups) = hangups {
            actix_rt::spawn(reload.after_each(hangups));
        }
        let (shown, from) = reached(self.address);
        info!("listening on http://{shown}{from}");
        let (shown, from) = reached(self.admin_address);
        info!(
            "metrics on http://{shown}/metrics{from}; the dashboard, /export and /import are there, too"
        );
        let is_local = self.admin_address.ip().to_canonical().is_loopback();
        match (is_local, has_tokens) {
            (true, _) => {}
            (false, true) => warn!(
                "admin.address reaches beyond this machine and speaks HTTP in the clear: keep it off the internet"
            ),
            (false, false) => warn!(
                "admin.address reaches beyond this machine, and there is no admin.token_file: others get metrics and \
                 health there and nothing else. Keep it off the internet"
            ),
        }

        let stopped = tokio::select! {
            (signal, _) = signals.next() => {
                info!("{signal}: finishing");
                Stopped::Asked
            }
            what = node.fatal.wait() => {
                logging::fatal(format_args!("{what} ended unexpectedly: stopping the node"));
                Stopped::Failed
            }
        };
        actix_rt::spawn(async move {
            let (signal, _) = signals.next().await;
            warn!("{signal} again: exiting at once");
            logging::end();
            std::process::exit(1);
        });
        let live = live.now();
        if stopped == Stopped::Asked && !live.drain_delay.is_zero() {
            admission.end_soon();
            // Over at once if there is nothing left to be served by.
            let _ = timeout(live.drain_delay, node.fatal.wait()).await;
        }
        admission.close();
        let saved =
            come_to_rest(&node, &handle, &admin_handle, live.shutdown_timeout, credits).await;
        if let Err(error) = saved {
            logging::fatal(format_args!("a restart will not find all that was checked: {error}"));
            return Ok(Stopped::Failed);
        }
        Ok(stopped)
    }
}

async fn come_to_rest(
    node: &Node,
    server: &ServerHandle,
    admin: &ServerHandle,
    shutdown_timeout: Duration,
    credits: Collecting,
) -> Result<(), StoreError> {
    let end = tokio::time::Instant::now() + shutdown_timeout;
    let deadline = end - STORE_CLOSE_TIME.min(shutdown_timeout);
    node.begin_draining();
    let rest = async {
        // Newcomers are still accepted, to be told 503 and when to come back.
        node.drain(Close::GOING_AWAY).await;
        let mut check = tokio::time::interval(Duration::from_millis(10));
        while node.connections_now() > 0 {
            check.tick().await;
        }
    };
    if tokio::time::timeout_at(deadline, rest).await.is_err() {
        let left = counted(node.connections_now(), "session", "sessions");
        warn!("{left} did not end in time and were cut");
    }
    // What is not handed over in time is found at the next start.
    let _ = tokio::time::timeout_at(deadline, credits.end()).await;
    // The store first: once it is closed, nothing can be lost by whatever else takes long. All the time that is
    // left is its own: a file that was lost is made again before the end.
    let saved = tokio::time::timeout_at(end, node.stop()).await.unwrap_or_else(|_| {
        if let StoreState::Down(reason) = node.main().store().state() {
            return Err(StoreError::Unavailable(reason));
        }
        warn!("the store did not close in time; it recovers at the next start");
        Ok(())
    });
    server.stop(false).await;
    admin.stop(false).await;
    if saved.is_ok() {
        info!("stopped");
    }
    saved
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
        let players = node.connections_now();
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
