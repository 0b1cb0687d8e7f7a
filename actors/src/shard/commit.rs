//! Group commit of one shard: checks that wait, and the batch that is with the store. Plain data.

use super::gate::Place;
use crate::{board::Offset, player::UserId, store::batch::Checks};

/// A check and who wants to know about it.
#[derive(Debug)]
pub struct Asker<S> {
    /// The box within the shard.
    pub offset: Offset,
    /// Who is credited with the box, if this check is what checks it: who the player was when it asked.
    pub user: Option<UserId>,
    /// Whom to tell if it is refused, or was checked already.
    pub session: S,
    /// Held until the check is answered.
    pub place: Place,
}

/// Checks between a shard's mailbox and its bitmap.
#[derive(Debug)]
pub struct CommitQueue<S> {
    waiting: Vec<Asker<S>>,
    with_store: Vec<Asker<S>>,
    /// A batch is with the store, though its checks may all have been overtaken.
    is_out: bool,
}

impl<S> Default for CommitQueue<S> {
    fn default() -> Self {
        Self { waiting: Vec::new(), with_store: Vec::new(), is_out: false }
    }
}

impl<S> CommitQueue<S> {
    /// Adds a check to the next batch.
    pub fn push(&mut self, asker: Asker<S>) {
        self.waiting.push(asker);
    }

    /// Adds a check that has joined the batch with the store.
    pub fn joined(&mut self, asker: Asker<S>) {
        debug_assert!(self.is_out, "there is a batch to be joined");
        self.with_store.push(asker);
    }

    /// Whether nothing waits and nothing is with the store.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.with_store.is_empty()
    }

    /// Whether nothing waits for the next batch.
    pub fn nothing_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Makes up to `most` waiting checks the batch with the store; `None` if there is one, or nothing waits.
    pub fn begin(&mut self, most: usize) -> Option<Checks> {
        if self.is_out || self.waiting.is_empty() {
            return None;
        }
        if self.waiting.len() <= most {
            std::mem::swap(&mut self.waiting, &mut self.with_store);
        } else {
            self.with_store.extend(self.waiting.drain(..most));
        }
        self.is_out = true;
        let mut checks = Checks::default();
        for asker in &self.with_store {
            checks.push(asker.offset, asker.user);
        }
        Some(checks)
    }

    /// Takes out checks of boxes that are checked by now: those that wait need no commit any more, and of those with
    /// the store somebody else's check is durable already, whatever becomes of this one.
    pub fn overtaken(&mut self, is_checked: impl Fn(Offset) -> bool) -> Vec<Asker<S>> {
        let mut overtaken: Vec<_> =
            self.waiting.extract_if(.., |asker| is_checked(asker.offset)).collect();
        overtaken.extend(self.with_store.extract_if(.., |asker| is_checked(asker.offset)));
        overtaken
    }

    /// The batch the store has answered about, in the order its checks came.
    pub fn finish(&mut self) -> Vec<Asker<S>> {
        self.is_out = false;
        std::mem::take(&mut self.with_store)
    }
}
