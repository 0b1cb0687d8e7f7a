//! The port through which a board reaches its durable copy. Implementations live outside this
//! crate (an embedded database, a Redis Cluster); the shards know only this trait.
//!
//! A store never flips a bit itself: what it has is loaded once, and what it learns later (from
//! other nodes, or from its own disk after a failure) arrives through [`Feed`].

pub mod batch;
pub mod credits;

use std::{future::Future, pin::Pin, sync::Arc};

use thiserror::Error;

use self::batch::OpenBatch;
use crate::board::{Board, Offset, ShardIndex};

/// A boxed future that may be awaited on any thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The words of one shard's bitmap: box at offset `o` is bit `o % 64` of word `o / 64`, so that the
/// little-endian bytes of the words are the wire order of the protocol.
pub type Words = Vec<u64>;

/// Number of words that hold `boxes` boxes.
pub fn words_for(boxes: u32) -> usize {
    boxes.div_ceil(64) as usize
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The store cannot take checks now; it repairs itself and the caller may try again later.
    #[error("storage unavailable: {0}")]
    Unavailable(Arc<str>),
    /// What is stored cannot be used as it is. The message names the file and what to do.
    #[error("{0}")]
    Unusable(Arc<str>),
    /// Another process has it. The message names the file and what to do.
    #[error("{0}")]
    InUse(Arc<str>),
}

/// Whether a store takes checks, for readiness and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    /// Checks are being committed.
    Up,
    /// Checks are refused for the reason given.
    Down(Arc<str>),
}

/// How a store reaches the board in memory: what it learns by itself goes through the shard's `learn`.
///
/// Called from the store's own thread or tasks. Nothing here blocks: an implementation answers when
/// the message has been taken in, so that waiting for the answer bounds what is under way.
pub trait Feed: Send + Sync + 'static {
    /// Boxes of `shard` that are known to be durable. Ready when the shard has passed them on.
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()>;

    /// The bits of `shard` as they are in memory now; `None` once the node is ending.
    fn snapshot(&self, shard: ShardIndex) -> BoxFuture<Option<Words>>;

    /// The board was reset: forgets every box, announces 0 and ends every session (1012). The one
    /// exception to grow-only.
    ///
    /// The store refuses commits and delivers nothing from before this is called until it is ready;
    /// a commit that succeeded before and was not learned yet is forgotten with the rest.
    fn reset(&self) -> BoxFuture<()>;
}

/// The durable copy of a board.
pub trait Store: Send + Sync + 'static {
    /// The board whose boxes are kept.
    fn board(&self) -> &Board;

    /// Reads one shard completely. Called once per shard, before any commit.
    ///
    /// The result has [`words_for`] the shard's boxes; bits past the last box are 0.
    fn load(&self, shard: ShardIndex) -> BoxFuture<Result<Words, StoreError>>;

    /// Makes boxes of one shard durable: those in `batch` when the store closes it. `Ok` means they survive the
    /// death of this process.
    ///
    /// After an error any part of the batch may or may not be durable, and nothing was promised.
    /// Offsets may repeat, and may already be stored.
    ///
    /// Each box that a user is credited with adds one to the user's counter of that day
    /// ([`credits`]), in the same transaction, and only if it was not durable before. The caller does its part: a user's
    /// check comes only for a box that was neither loaded, nor committed with `Ok`, nor learned. What else was
    /// durable before, the store finds out: boxes of other nodes, and of commits that failed.
    fn commit(&self, shard: ShardIndex, batch: OpenBatch) -> BoxFuture<Result<(), StoreError>>;

    /// Tells the store where to send what it learns by itself. Called once, after all loads.
    fn feed(&self, feed: Arc<dyn Feed>);

    /// Whether checks are being taken.
    fn state(&self) -> StoreState;

    /// Finishes what was accepted and releases files or connections. Commits fail afterwards.
    ///
    /// An error: a restart would not find all that was acknowledged. As long as that can still change, it is
    /// not ready; whoever cannot wait drops it.
    fn close(&self) -> BoxFuture<Result<(), StoreError>>;
}
