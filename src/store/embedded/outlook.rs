//! What callers on other threads see of the store's thread: its state, and the way to the board in memory.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use actors::{
    board::{Offset, ShardIndex},
    store::{Feed, StoreError, StoreState},
};

use super::disk::Disk;

/// What callers on other threads see of the worker.
pub struct Outlook {
    state: Mutex<StoreState>,
    feed: Mutex<FeedSlot>,
    log_bytes: AtomicU64,
    identity: Mutex<String>,
}

#[derive(Default)]
struct FeedSlot {
    feed: Option<Arc<dyn Feed>>,
    /// Learned before there was anyone to tell.
    waiting: Vec<(ShardIndex, Vec<Offset>)>,
}

impl Outlook {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(StoreState::Up),
            feed: Mutex::default(),
            log_bytes: AtomicU64::new(0),
            identity: Mutex::default(),
        }
    }

    pub fn identity(&self) -> String {
        lock(&self.identity).clone()
    }

    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub fn state(&self) -> StoreState {
        lock(&self.state).clone()
    }

    /// `Err` with the reason if commits are refused.
    pub fn ready(&self) -> Result<(), StoreError> {
        match &*lock(&self.state) {
            StoreState::Up => Ok(()),
            StoreState::Down(reason) => Err(StoreError::Unavailable(Arc::clone(reason))),
        }
    }

    pub fn set_feed(&self, feed: Arc<dyn Feed>) {
        let waiting = {
            let mut slot = lock(&self.feed);
            slot.feed = Some(Arc::clone(&feed));
            std::mem::take(&mut slot.waiting)
        };
        pass_on(&*feed, waiting);
    }

    pub fn set_state(&self, state: StoreState) {
        *lock(&self.state) = state;
    }

    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes over what is to be known of a database that was just opened.
    pub fn opened(&self, disk: &Disk) {
        self.set_log_bytes(disk.seal().log_bytes);
        *lock(&self.identity) = disk.identity();
    }

    pub fn learned(&self, learned: Vec<(ShardIndex, Vec<Offset>)>) {
        let feed = {
            let mut slot = lock(&self.feed);
            let Some(feed) = slot.feed.clone() else {
                slot.waiting.extend(learned);
                return;
            };
            feed
        };
        pass_on(&*feed, learned);
    }
}

/// Waits for the shards on the calling thread: they always make room.
fn pass_on(feed: &dyn Feed, learned: Vec<(ShardIndex, Vec<Offset>)>) {
    for (shard, offsets) in learned {
        futures_executor::block_on(feed.learned(shard, offsets));
    }
}

/// A panic elsewhere cannot leave these values half-written: each is replaced as a whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
