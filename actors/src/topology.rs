//! The only place where actors are started and wired, and where a node is brought to rest.
//!
//! Threads: the shards share `shards.threads` arbiters, the broadcaster has one of its own, and each
//! HTTP worker thread gets a [`Worker`]: its hub, its read buffer and its sessions.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr, Arbiter};
use futures_util::future::{join_all, try_join_all};
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::{
    board::{Board, Offset, ShardIndex},
    broadcaster::{
        Broadcaster, BroadcasterSettings,
        census::{Census, Overview},
    },
    hub::{Hub, HubSettings, roster::Roster},
    messages::{Drain, EndSessions, ForgetBoard, ForgetBoxes, LearnBoxes, ReadWords},
    protocol::Close,
    session::{Connection, Session, SessionSettings},
    shard::{
        Shard, ShardDirectory, ShardLink, ShardParts, ShardSettings, bitmap::Bitmap,
        courier::Courier, gate::Gate,
    },
    stats::Stats,
    store::{BoxFuture, Feed, Store, StoreError, Words},
};

/// The bounds and timings of every actor of a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeSettings {
    /// Of sessions.
    pub session: SessionSettings,
    /// Of shards.
    pub shards: ShardSettings,
    /// Of the broadcaster.
    pub broadcaster: BroadcasterSettings,
    /// Of hubs.
    pub hub: HubSettings,
}

/// Why a node could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store returned something else than the shard's boxes.
    #[error("the store returned a bitmap that does not fit shard {0} of the {1}")]
    Misfit(u32, Board),
}

/// The node's clock: starts at 1 second, so that 0 can mean "never".
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// Whole seconds.
    pub fn now_s(self) -> u32 {
        self.0.elapsed().as_secs() as u32 + 1
    }

    /// Nanoseconds.
    pub fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// A duration in the clock's unit; what does not fit is longer than any node runs.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX / 2).min(u32::MAX / 2)
}

/// Reports the first actor that ended although nobody asked it to.
#[derive(Debug, Default)]
pub struct Fatal {
    first: Mutex<Option<String>>,
    raised: Notify,
    /// Set when the node is being brought to rest: from then on actors may end.
    expected: AtomicBool,
}

impl Fatal {
    /// Reports that `what` cannot go on, unless the node is ending anyway.
    pub fn raise(&self, what: &str) {
        if self.expected.load(Ordering::Acquire) {
            return;
        }
        let mut first = self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert_with(|| what.to_owned());
        drop(first);
        self.raised.notify_one();
    }

    /// What has ended, if anything has.
    pub fn get(&self) -> Option<String> {
        self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Waits until something that the node cannot do without has ended, and names it.
    pub async fn wait(&self) -> String {
        loop {
            if let Some(what) = self.get() {
                return what;
            }
            self.raised.notified().await;
        }
    }
}

/// Held by an actor that the node cannot do without: its drop reports the actor's end.
#[derive(Debug)]
pub struct Vital {
    what: String,
    fatal: Arc<Fatal>,
}

impl Vital {
    /// Reports to `fatal` that `what` has ended.
    pub(crate) fn new(what: impl Into<String>, fatal: Arc<Fatal>) -> Self {
        Self { what: what.into(), fatal }
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        self.fatal.raise(&self.what);
    }
}

/// Counts resets of the board, so that what was made durable on the old one is not taken for the new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// The board was reset.
    pub(crate) fn advance(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

/// One running node: what its workers and its operator share.
pub struct Node {
    /// The board it serves.
    pub board: Arc<Board>,
    /// Bounds and timings.
    pub settings: NodeSettings,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Time.
    pub clock: Clock,
    /// What must not end.
    pub fatal: Arc<Fatal>,
    store: Arc<dyn Store>,
    shards: ShardDirectory,
    broadcaster: Addr<Broadcaster>,
    overview: watch::Receiver<Arc<Overview>>,
    hubs: Mutex<Vec<Addr<Hub>>>,
    draining: AtomicBool,
    /// [`Generation`] of the board, raised when a reset begins.
    generation: Arc<AtomicU32>,
    arbiters: Vec<Arbiter>,
}

/// Passes what the store says to the shards, and a reset to everybody.
struct FeedToNode {
    shards: ShardDirectory,
    broadcaster: Addr<Broadcaster>,
    generation: Arc<AtomicU32>,
}

impl Feed for FeedToNode {
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()> {
        let Some(shards) = self.shards.get() else { return Box::pin(async {}) };
        let taken = shards[shard.index()].addr.send(LearnBoxes(offsets));
        Box::pin(async move {
            // A shard that is gone takes the node down.
            let _ = taken.await;
        })
    }

    fn snapshot(&self, shard: ShardIndex) -> BoxFuture<Option<Words>> {
        let Some(shards) = self.shards.get() else { return Box::pin(async { None }) };
        let words = shards[shard.index()].addr.send(ReadWords);
        Box::pin(async move { words.await.ok() })
    }

    fn reset(&self) -> BoxFuture<()> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let shards = self.shards.get().into_iter().flatten();
        let shards = join_all(shards.map(|shard| shard.addr.send(ForgetBoxes)));
        let broadcaster = self.broadcaster.clone();
        Box::pin(async move {
            // What is gone takes the node down. The order matters: the last flips of the old board
            // reach the broadcaster before it forgets them.
            shards.await;
            let _ = broadcaster.send(ForgetBoard).await;
        })
    }
}

impl Node {
    /// Loads the board from its store and starts the shards and the broadcaster.
    pub async fn start(
        settings: NodeSettings,
        store: Arc<dyn Store>,
        stats: Arc<Stats>,
    ) -> Result<Arc<Self>, StartError> {
        let board = Arc::new(store.board().clone());
        let fatal = Arc::new(Fatal::default());
        let vital = |what: String| Vital::new(what, fatal.clone());

        let loads = board.shard_indexes().map(|shard| store.load(shard));
        let mut bitmaps = Vec::new();
        for (shard, words) in board.shard_indexes().zip(try_join_all(loads).await?) {
            let bitmap = Bitmap::from_words(words, board.boxes_in(shard))
                .ok_or_else(|| StartError::Misfit(shard.0, (*board).clone()))?;
            bitmaps.push(bitmap);
        }
        let census = Census::of(&board, &bitmaps);
        // Here, because the broadcaster begins on its own thread, maybe after this is first read.
        stats.announced.set(i64::from(census.total()));
        let (publisher, overview) = watch::channel(Arc::new(census.overview(&board)));

        let mut arbiters = vec![Arbiter::new()];
        let broadcaster = {
            let (stats, board) = (stats.clone(), board.clone());
            let vital = vital("the broadcaster".to_owned());
            Broadcaster::start_in_arbiter(&arbiters[0].handle(), move |_| {
                Broadcaster::new(settings.broadcaster, stats, board, census, publisher, vital)
            })
        };

        arbiters.extend((0..settings.shards.threads.max(1)).map(|_| Arbiter::new()));
        let shards = ShardDirectory::default();
        let mut links = Vec::new();
        for (index, bitmap) in board.shard_indexes().zip(bitmaps) {
            let gate = Arc::new(Gate::new(settings.shards.queue_checks));
            let parts = ShardParts {
                index,
                board: board.clone(),
                settings: settings.shards,
                stats: stats.clone(),
                store: store.clone(),
                broadcaster: broadcaster.clone(),
                directory: shards.clone(),
                gate: gate.clone(),
                bitmap,
                vital: vital(format!("shard {}", index.0)),
            };
            let arbiter = &arbiters[1 + index.index() % (arbiters.len() - 1)];
            let addr = Shard::start_in_arbiter(&arbiter.handle(), move |_| Shard::new(parts));
            links.push(ShardLink { addr, gate });
        }
        // Set once, here: nobody else has the directory yet.
        let _ = shards.set(links);
        let generation = Arc::new(AtomicU32::new(0));
        store.feed(Arc::new(FeedToNode {
            shards: shards.clone(),
            broadcaster: broadcaster.clone(),
            generation: generation.clone(),
        }));

        Ok(Arc::new(Self {
            board,
            settings,
            stats,
            clock: Clock::new(),
            fatal,
            store,
            shards,
            broadcaster,
            overview,
            hubs: Mutex::default(),
            draining: AtomicBool::new(false),
            generation,
            arbiters,
        }))
    }

    /// How to reach a shard.
    pub fn shard(&self, index: ShardIndex) -> &ShardLink {
        &self.shards.get().expect("set before the node exists")[index.index()]
    }

    /// Which board this is, of those that resets have made.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// The store, for its state.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// How full every tile is, at most a second old.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.borrow().clone()
    }

    /// Whether the node is being brought to rest: no client is read any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Refuses new sessions and stops reading the present ones.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Commits and announces everything that was accepted, then ends every session with `close`.
    /// Returns when the closes have been queued; sessions end by themselves after that.
    pub async fn drain(&self, close: Close) {
        self.begin_draining();
        let hubs = self.hubs.lock().expect("nothing panics under this lock").clone();
        // An error means that actor is gone already, with what it had to pass on.
        join_all(hubs.iter().map(|hub| hub.send(Drain))).await;
        let shards = self.shards.get().into_iter().flatten();
        join_all(shards.map(|shard| shard.addr.send(Drain))).await;
        let _ = self.broadcaster.send(Drain).await;
        join_all(hubs.iter().map(|hub| hub.send(EndSessions(close)))).await;
    }

    /// Closes the store and stops the actors' threads.
    ///
    /// # Errors
    /// A restart would not find all that was acknowledged. As long as that can still change, it is waited for.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.fatal.expected.store(true, Ordering::Release);
        let saved = self.store.close().await;
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        saved
    }
}

/// What the sessions of one worker thread share.
pub struct Worker {
    /// The node.
    pub node: Arc<Node>,
    /// The thread's hub.
    pub hub: Addr<Hub>,
    /// What that and its sessions share.
    pub(crate) roster: Rc<Roster>,
    /// Takes its sessions' checks to the shards.
    pub(crate) courier: Rc<Courier>,
    /// Where sockets are read into, one at a time.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Positions of the updates that concern the session at hand.
    pub(crate) picked: RefCell<Vec<u32>>,
}

impl Worker {
    /// Starts this thread's hub and attaches it to the broadcaster.
    pub fn start(node: Arc<Node>) -> Rc<Self> {
        let vital = Vital { what: "a hub".to_owned(), fatal: node.fatal.clone() };
        let roster = Rc::<Roster>::default();
        let (broadcaster, stats) = (node.broadcaster.clone(), node.stats.clone());
        let (settings, clock) = (node.settings, node.clock);
        let shards = node.shards.clone();
        let courier = Courier::new(shards, stats.clone(), settings.shards.gather, clock.0);
        let (members, checks) = (roster.clone(), courier.clone());
        let hub = Hub::new(settings.hub, clock, broadcaster, stats, members, checks, vital);
        let hub = hub.start();
        node.hubs.lock().expect("nothing panics under this lock").push(hub.clone());
        let buffer = vec![0; node.settings.session.read_buffer_bytes].into_boxed_slice();
        Rc::new(Self {
            node,
            hub,
            roster,
            courier,
            read_buffer: RefCell::new(buffer),
            picked: RefCell::new(Vec::new()),
        })
    }

    /// Turns an upgraded socket into a session on this thread.
    pub fn start_session(self: &Rc<Self>, connection: Connection) {
        Session::start_on(self.clone(), connection);
    }
}
