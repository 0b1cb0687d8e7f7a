//! A running node: starts and wires its shards and its broadcaster, and brings them to rest.
//!
//! Threads: the shards share `shards.threads` arbiters, the broadcaster has one of its own, and each
//! HTTP worker thread brings its own hub and sessions ([`Worker`](crate::worker::Worker)).

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use actix::{Actor, Arbiter};
use futures_util::future::{join_all, try_join_all};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    board::{Board, Generation, Offset, ShardIndex},
    broadcaster::{
        Broadcaster,
        census::{Census, Overview},
    },
    clock::Clock,
    messages::{Drain, EndSessions, ForgetBoard, ForgetBoxes, LearnBoxes, ReadWords},
    protocol::Close,
    settings::NodeSettings,
    shard::{Shard, ShardParts, bitmap::Bitmap, gate::Gate},
    stats::Stats,
    store::{BoxFuture, Feed, Store, StoreError, Words},
    vital::{Fatal, Vital},
    wires::{BroadcasterLink, HubLink, ShardDirectory, ShardLink},
};

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
    broadcaster: Arc<BroadcasterLink>,
    overview: watch::Receiver<Arc<Overview>>,
    hubs: Mutex<Vec<Arc<HubLink>>>,
    draining: AtomicBool,
    /// [`Generation`] of the board, raised when a reset begins.
    generation: Arc<AtomicU32>,
    arbiters: Vec<Arbiter>,
}

/// Passes what the store says to the shards, and a reset to everybody.
struct FeedToNode {
    shards: ShardDirectory,
    broadcaster: Arc<BroadcasterLink>,
    generation: Arc<AtomicU32>,
}

impl Feed for FeedToNode {
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()> {
        let Some(shards) = self.shards.get() else { return Box::pin(async {}) };
        let taken = shards[shard.index()].learned.send(LearnBoxes(offsets));
        Box::pin(async move {
            // A shard that is gone takes the node down.
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
            // What is gone takes the node down. The order matters: the last flips of the old board
            // reach the broadcaster before it forgets them.
            shards.await;
            let _ = broadcaster.forget.send(ForgetBoard).await;
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
            let addr = Broadcaster::start_in_arbiter(&arbiters[0].handle(), move |_| {
                Broadcaster::new(settings.broadcaster, stats, board, census, publisher, vital)
            });
            BroadcasterLink::new(&addr)
        };

        arbiters.extend((0..settings.shards.threads.max(1)).map(|_| Arbiter::new()));
        let shards = ShardDirectory::default();
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
                bitmap,
                vital: vital(format!("shard {}", index.0)),
            };
            let arbiter = &arbiters[1 + index.index() % (arbiters.len() - 1)];
            let addr = Shard::start_in_arbiter(&arbiter.handle(), move |_| Shard::new(parts));
            links.push(ShardLink::new(&addr, gate));
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
            clock: Clock::start(),
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

    /// A worker has a hub now.
    pub(crate) fn add_hub(&self, hub: Arc<HubLink>) {
        self.hubs.lock().expect("nothing panics under this lock").push(hub);
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
        join_all(hubs.iter().map(|hub| hub.drain.send(Drain))).await;
        let shards = self.shards.get().into_iter().flatten();
        join_all(shards.map(|shard| shard.drain.send(Drain))).await;
        let _ = self.broadcaster.drain.send(Drain).await;
        join_all(hubs.iter().map(|hub| hub.end.send(EndSessions(close)))).await;
    }

    /// Closes the store and stops the actors' threads.
    ///
    /// # Errors
    /// A restart would not find all that was acknowledged. As long as that can still change, it is waited for.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.fatal.expect();
        let saved = self.store.close().await;
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        saved
    }
}
