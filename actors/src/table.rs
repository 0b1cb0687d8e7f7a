//! A board in play: its geometry, rules, store, shards, broadcaster and census, and the hubs that hand its news out.
//!
//! A node has one or more. They share its threads and its clock and know nothing of each other: each is opened,
//! drained, reset and closed by itself.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use actix::{Actor, Arbiter, ArbiterHandle};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    billboard::Billboard,
    board::{Board, BoxId, Generation, Offset, ShardIndex},
    broadcaster::{
        Broadcaster,
        census::{Census, Overview},
    },
    messages::{
        Drain, EndSessions, ForgetBoard, ForgetBoxes, LearnBoxes, Leave, ReadWords, SendFrame,
    },
    protocol::Close,
    rules::{Forbidden, Rules},
    settings::NodeSettings,
    shard::{Shard, ShardParts, bitmap::Bitmap, gate::Gate},
    stats::Stats,
    store::{BoxFuture, Feed, Store, StoreError, Words},
    vital::{Fatal, Vital},
    wires::{BroadcasterLink, HubLink, ShardDirectory, ShardLink},
};

/// Why a board could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store returned something else than the shard's boxes.
    #[error("the store returned a bitmap that does not fit shard {0} of {1}")]
    Misfit(u32, Board),
    /// There is one of that name.
    #[error("there is a board '{0}' already")]
    Taken(String),
    /// The node is being brought to rest.
    #[error("the server is stopping")]
    Stopping,
}

/// The threads that boards share: one for broadcasters, one or more for shards.
#[derive(Debug)]
pub(crate) struct Threads {
    broadcasters: Arbiter,
    shards: Vec<Arbiter>,
    /// Shards that were ever started, which go to the threads in turn.
    started: AtomicUsize,
}

impl Threads {
    /// As many for shards as `shards`, at least one.
    pub(crate) fn start(shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Arbiter::new()).collect();
        Self { broadcasters: Arbiter::new(), shards, started: AtomicUsize::new(0) }
    }

    fn of_next_shard(&self) -> ArbiterHandle {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.shards[number % self.shards.len()].handle()
    }

    /// Runs something that outlives whoever wants it done, beside the broadcasters.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Only a node that has ended does not take it.
        self.broadcasters.spawn(work);
    }

    /// Ends all of them.
    pub(crate) fn stop(&self) {
        self.broadcasters.stop();
        for shards in &self.shards {
            shards.stop();
        }
    }
}

/// What a board in play is made from.
pub(crate) struct TableParts<'p> {
    pub(crate) settings: NodeSettings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rules: Arc<dyn Rules>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) threads: &'p Threads,
    pub(crate) fatal: &'p Arc<Fatal>,
}

/// A board in play.
pub struct Table {
    /// Its geometry.
    pub board: Arc<Board>,
    /// Its counters.
    pub stats: Arc<Stats>,
    /// Which checks it takes.
    pub rules: Arc<dyn Rules>,
    store: Arc<dyn Store>,
    shards: ShardDirectory,
    broadcaster: Arc<BroadcasterLink>,
    overview: watch::Receiver<Arc<Overview>>,
    hubs: Mutex<Vec<Arc<HubLink>>>,
    billboard: Arc<Billboard>,
    draining: AtomicBool,
    /// Shards refuse checks.
    read_only: Arc<AtomicBool>,
    /// Its actors may end.
    ending: Arc<AtomicBool>,
    closed: watch::Sender<bool>,
    /// [`Generation`] of the board, raised when a reset begins.
    generation: Arc<AtomicU32>,
}

/// Passes what the store says to the shards, and a reset to everybody.
struct FeedToTable {
    shards: ShardDirectory,
    broadcaster: Arc<BroadcasterLink>,
    generation: Arc<AtomicU32>,
}

impl Feed for FeedToTable {
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()> {
        let Some(shards) = self.shards.get() else { return Box::pin(async {}) };
        let taken = shards[shard.index()].learned.send(LearnBoxes(offsets));
        Box::pin(async move {
            // A shard that is gone takes the node down, or the board is closed.
            let _ = taken.await;
        })
    }

    fn snapshot(&self, shard: ShardIndex) -> BoxFuture<Option<Words>> {
        let Some(shards) = self.shards.get() else { return Box::pin(async { None }) };
        let words = shards[shard.index()].words.send(ReadWords);
        Box::pin(async move { words.await.ok() })
    }

    fn reset(&self) -> BoxFuture<()> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let shards = self.shards.get().into_iter().flatten();
        let shards = join_all(shards.map(|shard| shard.forget.send(ForgetBoxes)));
        let broadcaster = self.broadcaster.clone();
        Box::pin(async move {
            // What is gone takes the node down, or the board is closed. The order matters: the last flips of the old board
            // reach the broadcaster before it forgets them.
            shards.await;
            let _ = broadcaster.forget.send(ForgetBoard).await;
        })
    }
}

/// The bits of all shards, as the store has them.
async fn load(store: &dyn Store) -> Result<Vec<Bitmap>, OpenError> {
    let board = store.board();
    let loaded = try_join_all(board.shard_indexes().map(|shard| store.load(shard))).await?;
    let shards = board.shard_indexes().zip(loaded);
    let bitmaps = shards.map(|(shard, words)| {
        let misfit = || OpenError::Misfit(shard.0, board.clone());
        Bitmap::from_words(words, board.boxes_in(shard)).ok_or_else(misfit)
    });
    bitmaps.collect()
}

impl Table {
    /// Loads the board from its store and starts the shards and the broadcaster.
    pub(crate) async fn open(parts: TableParts<'_>) -> Result<Arc<Self>, OpenError> {
        let TableParts { settings, store, rules, stats, threads, fatal } = parts;
        let board = Arc::new(store.board().clone());
        let bitmaps = load(&*store).await?;
        let ending = Arc::new(AtomicBool::new(false));
        let vital =
            |what: String| Vital::new(format!("{what} of {board}"), fatal.clone(), ending.clone());
        let census = Census::of(&board, &bitmaps);
        // Here, because the broadcaster begins on its own thread, maybe after this is first read.
        stats.announced.set(i64::from(census.total()));
        let (publisher, overview) = watch::channel(Arc::new(census.overview(&board)));

        let broadcaster = {
            let (stats, board) = (stats.clone(), board.clone());
            let vital = vital("the broadcaster".into());
            let addr = Broadcaster::start_in_arbiter(&threads.broadcasters.handle(), move |_| {
                Broadcaster::new(settings.broadcaster, stats, board, census, publisher, vital)
            });
            BroadcasterLink::new(&addr)
        };
        let shards = ShardDirectory::default();
        let read_only = Arc::new(AtomicBool::new(false));
        let mut links = Vec::new();
        for (index, bitmap) in board.shard_indexes().zip(bitmaps) {
            let gate = Arc::new(Gate::new(settings.shards.queue_checks, stats.shard_queue.clone()));
            let parts = ShardParts {
                index,
                board: board.clone(),
                settings: settings.shards,
                stats: stats.clone(),
                store: store.clone(),
                broadcaster: broadcaster.clone(),
                directory: shards.clone(),
                gate: gate.clone(),
                read_only: read_only.clone(),
                bitmap,
                vital: vital(format!("shard {}", index.0)),
            };
            let addr =
                Shard::start_in_arbiter(&threads.of_next_shard(), move |_| Shard::new(parts));
            links.push(ShardLink::new(&addr, gate));
        }
        // Set once, here: nobody else has the directory yet.
        let _ = shards.set(links);
        let generation = Arc::new(AtomicU32::new(0));
        store.feed(Arc::new(FeedToTable {
            shards: shards.clone(),
            broadcaster: broadcaster.clone(),
            generation: generation.clone(),
        }));
        Ok(Arc::new(Self {
            board,
            stats,
            rules,
            store,
            shards,
            broadcaster,
            overview,
            hubs: Mutex::default(),
            billboard: Arc::default(),
            draining: AtomicBool::new(false),
            read_only,
            ending,
            closed: watch::channel(false).0,
            generation,
        }))
    }

    /// How to reach a shard.
    pub fn shard(&self, index: ShardIndex) -> &ShardLink {
        &self.shards.get().expect("set before the board is in play")[index.index()]
    }

    /// Which board this is, of those that resets have made.
    pub(crate) fn generation(&self) -> Generation {
        Generation::after(self.generation.load(Ordering::Acquire))
    }

    /// How to reach all of the shards.
    pub(crate) fn directory(&self) -> &ShardDirectory {
        &self.shards
    }

    /// How to reach the broadcaster.
    pub(crate) fn broadcaster(&self) -> &Arc<BroadcasterLink> {
        &self.broadcaster
    }

    /// A hub of this board must not end before the board does.
    pub(crate) fn vital_hub(&self, fatal: &Arc<Fatal>) -> Vital {
        Vital::new(format!("a hub of {}", self.board), fatal.clone(), self.ending.clone())
    }

    /// A worker has a hub now.
    pub(crate) fn add_hub(&self, hub: Arc<HubLink>) {
        self.hubs.lock().expect("nothing panics under this lock").push(hub);
    }

    /// The notice of an operator.
    pub(crate) fn billboard(&self) -> &Arc<Billboard> {
        &self.billboard
    }

    pub(crate) fn hubs(&self) -> Vec<Arc<HubLink>> {
        self.hubs.lock().expect("nothing panics under this lock").clone()
    }

    /// Why a check of this box is not taken, if it is not: the board is read-only, or its rules say so.
    pub fn forbid(&self, id: BoxId) -> Option<Forbidden> {
        if self.is_read_only() { Some(Forbidden::ReadOnly) } else { self.rules.forbid(id) }
    }

    /// Whether checks and imports are refused for now.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// Refuses checks from now on, or takes them again. Where it refuses them it is ready when no check is
    /// acknowledged any more: those that were accepted before have been committed and published, or refused.
    /// What other nodes check goes on being learned.
    pub async fn set_read_only(&self, is_read_only: bool) {
        self.read_only.store(is_read_only, Ordering::Release);
        if is_read_only {
            self.settle().await;
        }
    }

    /// Waits until the shards have committed or refused every check that they had, and the hubs have handed out
    /// every flip.
    async fn settle(&self) {
        let shards = self.shards.get().into_iter().flatten();
        // An error means that actor is gone already, with what it had to pass on.
        join_all(shards.map(|shard| shard.drain.send(Drain))).await;
        let _ = self.broadcaster.drain.send(Drain).await;
    }

    /// The store, for its state.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// How full every tile is, at most a second old.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.borrow().clone()
    }

    /// Whether it is being brought to rest: no client is read any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Stops reading the present sessions.
    pub(crate) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Commits and announces everything that was accepted, then ends every session with `close`.
    /// Returns when the closes have been queued; sessions end by themselves after that.
    pub(crate) async fn drain(&self, close: Close) {
        self.begin_draining();
        let hubs = self.hubs();
        // An error means that actor is gone already, with what it had to pass on.
        join_all(hubs.iter().map(|hub| hub.drain.send(Drain))).await;
        self.settle().await;
        join_all(hubs.iter().map(|hub| hub.end.send(EndSessions(close)))).await;
    }

    /// Sends all `v=2` sessions a complete frame that says which notice there is, newcomers as well, or that there is
    /// none any more. Ready when every hub has passed it on.
    pub async fn set_notice(&self, frame: Bytes, is_up: bool) {
        self.billboard.set(frame.clone(), is_up);
        let send = SendFrame { are_meant: Arc::new(|_| true), frame };
        let hubs = self.hubs();
        join_all(hubs.iter().map(|hub| hub.frames.send(send.clone()))).await;
    }

    /// Closes the store. From here on its actors may end.
    pub(crate) async fn close_store(&self) -> Result<(), StoreError> {
        self.ending.store(true, Ordering::Release);
        self.store.close().await
    }

    /// Has its actors end: shards and broadcaster at once, each hub when its last session has.
    pub(crate) async fn end(&self) {
        let shards = self.shards.get().into_iter().flatten();
        join_all(shards.map(|shard| shard.leave.send(Leave))).await;
        let _ = self.broadcaster.leave.send(Leave).await;
        join_all(self.hubs().iter().map(|hub| hub.leave.send(Leave))).await;
        self.stats.forget();
        self.closed.send_replace(true);
    }

    /// Whether it has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until it has been closed.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closed = self.closed.subscribe();
        async move {
            // The sender's end is one, too.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }
}
