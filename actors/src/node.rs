//! A running node: its threads, clock and counters, and the boards in play on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    live::LiveSettings,
    protocol::Close,
    rules::{Free, Rules},
    settings::NodeSettings,
    stats::Metrics,
    store::{Store, StoreError},
    table::{OpenError, Table, TableParts, Threads},
    vital::Fatal,
};

const UNPOISONED: &str = "nothing panics under this lock";

/// One running node: what its workers and its operator share.
pub struct Node {
    /// Bounds and timings.
    pub settings: NodeSettings,
    /// Those that may change, as they are now.
    pub live: watch::Sender<LiveSettings>,
    /// Counters of all boards.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// What must not end.
    pub fatal: Arc<Fatal>,
    threads: Threads,
    main: Arc<Table>,
    /// By the names of their boards, the main one among them.
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Those that are taken, also by boards that are being opened or closed.
    names: Mutex<BTreeSet<String>>,
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
    ) -> Result<Arc<Self>, OpenError> {
        let (threads, fatal) = (Threads::start(settings.shards.threads), Arc::default());
        let stats = Arc::new(metrics.board(store.board().name()));
        let rules = Arc::new(Free);
        let parts = TableParts { settings, store, rules, stats, threads: &threads, fatal: &fatal };
        let main = Table::open(parts).await?;
        let tables = BTreeMap::from([(main.board.name().to_owned(), main.clone())]);
        Ok(Arc::new(Self {
            settings,
            live: watch::Sender::new(settings.live),
            metrics,
            clock: Clock::start(),
            fatal,
            threads,
            main,
            names: Mutex::new(tables.keys().cloned().collect()),
            tables: RwLock::new(tables),
            draining: AtomicBool::new(false),
        }))
    }

    /// The board that is meant where none is named.
    pub fn main(&self) -> &Arc<Table> {
        &self.main
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().expect(UNPOISONED)
    }

    /// The board of this name, if it is in play.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.read().expect(UNPOISONED).get(name).cloned()
    }

    /// All boards in play.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.read().expect(UNPOISONED).values().cloned().collect()
    }

    /// Opens another board on the threads there are, under the name that its store has for it.
    ///
    /// # Errors
    /// If it cannot be loaded, or there is one of that name.
    pub async fn open(
        &self,
        store: Arc<dyn Store>,
        rules: Arc<dyn Rules>,
    ) -> Result<Arc<Table>, OpenError> {
        let name = store.board().name().to_owned();
        if !self.names().insert(name.clone()) {
            return Err(OpenError::Taken(name));
        }
        let (settings, stats) = (self.settings, Arc::new(self.metrics.board(&name)));
        let (threads, fatal) = (&self.threads, &self.fatal);
        let parts = TableParts { settings, store, rules, stats, threads, fatal };
        let opened = Table::open(parts).await;
        match &opened {
            Ok(table) => {
                self.tables.write().expect(UNPOISONED).insert(name, table.clone());
                if self.is_draining() {
                    table.begin_draining();
                }
            }
            Err(_) => _ = self.names().remove(&name),
        }
        opened
    }

    /// Closes a board: commits and announces what was accepted, ends its sessions with `close`, and gives its memory
    /// back. Not the main one, which ends with the node. Whether there was one of that name.
    ///
    /// # Errors
    /// If a restart would not find all that was acknowledged on it.
    pub async fn close(&self, name: &str, close: Close) -> Result<bool, StoreError> {
        if name == self.main.board.name() {
            return Ok(false);
        }
        let table = self.tables.write().expect(UNPOISONED).remove(name);
        let Some(table) = table else { return Ok(false) };
        table.drain(close).await;
        let saved = table.close_store().await;
        table.end().await;
        self.names().remove(name);
        saved.map(|()| true)
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

    /// Closes the stores and stops the actors' threads.
    ///
    /// # Errors
    /// A restart would not find all that was acknowledged. As long as that can still change, it is waited for.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.fatal.expect();
        let tables = self.tables();
        let saved = join_all(tables.iter().map(|table| table.close_store())).await;
        self.threads.stop();
        saved.into_iter().collect()
    }
}
