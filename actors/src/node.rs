//! A running node: its threads, clock and counters, and the boards in play on it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::Recipient;
use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    clock::Clock,
    interest::Interest,
    limits::Limits,
    live::LiveSettings,
    messages::ToPost,
    protocol::Close,
    rules::{Free, Rules},
    settings::NodeSettings,
    stats::{Metrics, Stats},
    store::{Store, StoreError},
    table::{OpenError, Table, TableParts, Threads},
    talk::Talk,
    vital::{Fatal, Vital},
    wires::PostLink,
};

/// How far a board has come, from being loaded to being gone.
enum Stage {
    /// A board that is being loaded.
    Opening,
    /// One that may be found.
    InPlay(Arc<Table>),
    /// One that is being brought to rest and is not found any more.
    Closing(Arc<Table>),
}

impl Stage {
    fn table(&self) -> Option<&Arc<Table>> {
        match self {
            Self::Opening => None,
            Self::InPlay(table) | Self::Closing(table) => Some(table),
        }
    }
}

/// Keeps a name, and counters, for a board that is being loaded; if none comes of it they are given back.
struct Taken<'n> {
    node: &'n Node,
    name: &'n str,
    stats: Arc<Stats>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut tables = self.node.stages();
        if matches!(tables.get(self.name), Some(Stage::Opening)) {
            tables.remove(self.name);
            self.stats.forget();
        }
    }
}

/// One running node: what its workers and its operator share.
pub struct Node {
    /// Bounds and timings.
    pub settings: NodeSettings,
    /// Those that may change, as they are now.
    pub live: watch::Sender<LiveSettings>,
    /// Who may do how much.
    pub limits: Arc<Limits>,
    /// Counters of all boards.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// What must not end.
    pub fatal: Arc<Fatal>,
    /// The groups with members here.
    pub interest: Arc<Interest>,
    talk: OnceLock<Arc<dyn Talk>>,
    /// Of the worker threads, by their numbers.
    posts: Mutex<Vec<Arc<PostLink>>>,
    threads: Threads,
    main: Arc<Table>,
    /// By the names of their boards, the main one among them.
    tables: Mutex<BTreeMap<String, Stage>>,
    /// Told of each table that has been closed.
    closed: Notify,
    draining: AtomicBool,
}

impl Node {
    /// Starts the threads, and opens the main board, which every check is free on.
    ///
    /// # Errors
    /// If the board cannot be loaded.
    pub async fn start(
        settings: NodeSettings,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        limits: Arc<Limits>,
    ) -> Result<Arc<Self>, OpenError> {
        let (threads, fatal) = (Threads::start(settings.shards.threads), Arc::default());
        let stats = Arc::new(metrics.board(store.board().name()));
        let rules = Arc::new(Free);
        let parts = TableParts { settings, store, rules, stats, threads: &threads, fatal: &fatal };
        let main = Table::open(parts).await?;
        let name = main.board.name().to_owned();
        let tables = Mutex::new(BTreeMap::from([(name, Stage::InPlay(main.clone()))]));
        Ok(Arc::new(Self {
            settings,
            live: watch::Sender::new(settings.live),
            limits,
            metrics,
            clock: Clock::start(),
            fatal,
            interest: Arc::default(),
            talk: OnceLock::new(),
            posts: Mutex::default(),
            threads,
            main,
            tables,
            closed: Notify::new(),
            draining: AtomicBool::new(false),
        }))
    }

    /// The board that is meant where none is named.
    pub fn main(&self) -> &Arc<Table> {
        &self.main
    }

    /// Has what clients say in text understood by `talk`, on all threads that begin after this. Once: whether there was
    /// none before.
    pub fn set_talk(&self, talk: Arc<dyn Talk>) -> bool {
        self.talk.set(talk).is_ok()
    }

    /// Whoever understands what clients say in text.
    pub(crate) fn talk(&self) -> Option<&Arc<dyn Talk>> {
        self.talk.get()
    }

    /// The post of each worker thread that has one, by their numbers.
    pub fn posts(&self) -> Vec<Arc<PostLink>> {
        self.posts.lock().expect("nothing panics under this lock").clone()
    }

    /// A post must not end before the node does.
    pub(crate) fn vital_post(&self) -> Vital {
        Vital::new("a post", self.fatal.clone(), Arc::default())
    }

    /// A worker thread has a post now, which gets the next number.
    pub(crate) fn add_post(&self, inbox: Recipient<ToPost>) -> Arc<PostLink> {
        let mut posts = self.posts.lock().expect("nothing panics under this lock");
        let post = Arc::new(PostLink { number: posts.len(), inbox });
        posts.push(post.clone());
        post
    }

    fn stages(&self) -> MutexGuard<'_, BTreeMap<String, Stage>> {
        self.tables.lock().expect("nothing panics under this lock")
    }

    /// The board of this name, if it is in play.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        match self.stages().get(name) {
            Some(Stage::InPlay(table)) => Some(table.clone()),
            _ => None,
        }
    }

    /// All boards, those that are being closed among them.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.stages().values().filter_map(Stage::table).cloned().collect()
    }

    /// Opens another board on the threads there are, under the name that its store has for it.
    ///
    /// # Errors
    /// If it cannot be loaded, there is one of that name, or the node is being brought to rest.
    pub async fn open(
        &self,
        store: Arc<dyn Store>,
        rules: Arc<dyn Rules>,
    ) -> Result<Arc<Table>, OpenError> {
        let name = store.board().name().to_owned();
        match self.stages().entry(name.clone()) {
            Entry::Occupied(_) => return Err(OpenError::Taken(name)),
            Entry::Vacant(stage) => _ = stage.insert(Stage::Opening),
        }
        let stats = Arc::new(self.metrics.board(&name));
        let _taken = Taken { node: self, name: &name, stats: stats.clone() };
        let parts = TableParts {
            settings: self.settings,
            store,
            rules,
            stats,
            threads: &self.threads,
            fatal: &self.fatal,
        };
        let table = Table::open(parts).await?;
        let is_late = {
            let mut stages = self.stages();
            // Under the lock: who begins to drain after this finds the board.
            let is_late = self.is_draining();
            if !is_late {
                stages.insert(name.clone(), Stage::InPlay(table.clone()));
            }
            is_late
        };
        if is_late {
            // Nobody has found it.
            let closed = table.close_store().await;
            table.end().await;
            closed?;
            return Err(OpenError::Stopping);
        }
        Ok(table)
    }

    /// Closes a board: commits and announces what was accepted, ends its sessions with `close`, and gives its memory
    /// back. Not the main one, which ends with the node. Whether there was one of that name. Goes on to its end
    /// even if nobody waits for it any more.
    ///
    /// # Errors
    /// If a restart would not find all that was acknowledged on it.
    pub async fn close(self: &Arc<Self>, name: &str, close: Close) -> Result<bool, StoreError> {
        let table = match self.stages().get_mut(name) {
            Some(stage @ Stage::InPlay(_)) if name != self.main.board.name() => {
                let table = stage.table().expect("it is in play").clone();
                *stage = Stage::Closing(table.clone());
                table
            }
            _ => return Ok(false),
        };
        let (node, name) = (self.clone(), name.to_owned());
        let (told, saved) = oneshot::channel();
        self.threads.spawn(async move {
            table.drain(close).await;
            let saved = table.close_store().await;
            table.end().await;
            node.stages().remove(&name);
            node.closed.notify_waiters();
            // Whoever asked may have given up.
            let _ = told.send(saved);
        });
        let saved = saved.await;
        saved.unwrap_or_else(|_| Err(StoreError::Unavailable("the node has ended".into())))?;
        Ok(true)
    }

    /// WebSocket sessions open now, on all boards.
    pub fn connections_now(&self) -> u64 {
        self.tables().iter().map(|table| table.stats.connections_now()).sum()
    }

    /// Whether the node is being brought to rest: no client is read any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Refuses new sessions and stops reading the present ones.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
        for table in self.tables() {
            table.begin_draining();
        }
    }

    /// Commits and announces everything that was accepted, then ends every session with `close`.
    /// Returns when the closes have been queued; sessions end by themselves after that.
    pub async fn drain(&self, close: Close) {
        self.begin_draining();
        join_all(self.tables().iter().map(|table| table.drain(close))).await;
    }

    /// Closes the stores and stops the actors' threads, once the boards that are being closed are.
    ///
    /// # Errors
    /// A restart would not find all that was acknowledged. As long as that can still change, it is waited for.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.fatal.expect();
        loop {
            let closed = self.closed.notified();
            if !self.stages().values().any(|stage| matches!(stage, Stage::Closing(_))) {
                break;
            }
            closed.await;
        }
        let tables = self.tables();
        let saved = join_all(tables.iter().map(|table| table.close_store())).await;
        self.threads.stop();
        saved.into_iter().collect()
    }
}
