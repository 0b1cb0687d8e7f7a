//! Group commit of one shard: checks that wait, and the batch that is with the store. Plain data.

use std::sync::Arc;

use crate::{board::Offset, link::SessionLink};

/// A check and who wants to know about it.
#[derive(Debug)]
pub struct Asker {
    /// The box within the shard.
    pub offset: Offset,
    /// Whom to tell if it is refused, or was checked already.
    pub session: Arc<SessionLink>,
}

/// Checks between a shard's mailbox and its bitmap.
#[derive(Default)]
pub struct CommitQueue {
    waiting: Vec<Asker>,
    with_store: Vec<Asker>,
}

impl CommitQueue {
    /// Adds a check to the next batch.
    pub fn push(&mut self, asker: Asker) {
        self.waiting.push(asker);
    }

    /// Adds a check that has joined the batch with the store.
    pub fn joined(&mut self, asker: Asker) {
        self.with_store.push(asker);
    }

    /// Whether no check waits for a batch.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing waits and nothing is with the store.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.with_store.is_empty()
    }

    /// Makes up to `most` waiting checks the batch with the store.
    pub fn begin(&mut self, most: usize) -> Vec<Offset> {
        debug_assert!(self.with_store.is_empty(), "one batch at a time");
        if self.waiting.len() <= most {
            std::mem::swap(&mut self.waiting, &mut self.with_store);
        } else {
            self.with_store.extend(self.waiting.drain(..most));
        }
        self.with_store.iter().map(|asker| asker.offset).collect()
    }

    /// Takes out waiting checks of boxes that are checked by now, which need no commit any more.
    pub fn overtaken(&mut self, is_checked: impl Fn(Offset) -> bool) -> Vec<Asker> {
        self.waiting.extract_if(.., |asker| is_checked(asker.offset)).collect()
    }

    /// The same of the batch with the store: somebody else's check of the box is durable already,
    /// whatever becomes of this one.
    pub fn overtaken_in_flight(&mut self, is_checked: impl Fn(Offset) -> bool) -> Vec<Asker> {
        self.with_store.extract_if(.., |asker| is_checked(asker.offset)).collect()
    }

    /// The batch the store has answered about, in the order its checks came.
    pub fn finish(&mut self) -> std::vec::Drain<'_, Asker> {
        self.with_store.drain(..)
    }
}
