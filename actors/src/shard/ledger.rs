//! What a shard knows and owes: its bits, checks on their way to the store, and news for everybody. Plain data:
//! checks, answers of the store and what is learned go in, batches and news come out.
//!
//! `learn` is the only way a bit flips, and no check is lost or answered twice: each leaves with the news, alone or
//! by the flip that answers it, or is given back refused.

use std::sync::Arc;

use bytes::BytesMut;

use super::{
    bitmap::{Bitmap, append_bits},
    commit::{Asker, CommitQueue},
    gate::Place,
};
use crate::{
    board::{BOXES_PER_TILE, Board, BoxId, BoxRange, Generation, Offset, ShardIndex},
    stats::Stats,
    store::batch::Checks,
};

/// What everybody is to be told, and the places in the gate that are held until somebody has taken it over.
#[derive(Debug)]
pub struct News<S> {
    /// Boxes whose bit flipped, in that order.
    pub flipped: Vec<BoxId>,
    /// Checks of boxes whose bit had flipped before, and who sent them.
    pub already: Vec<(BoxId, S)>,
    /// Of the checks that are answered by this.
    pub places: Vec<Place>,
}

impl<S> Default for News<S> {
    fn default() -> Self {
        Self { flipped: Vec::new(), already: Vec::new(), places: Vec::new() }
    }
}

impl<S> News<S> {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.flipped.is_empty() && self.already.is_empty()
    }
}

/// The state of one key range; `S` is whoever sent a check.
#[derive(Debug)]
pub struct Ledger<S> {
    index: ShardIndex,
    board: Arc<Board>,
    bitmap: Bitmap,
    /// Of each tile, how often a bit has flipped here: its version.
    flips: Box<[u32]>,
    queue: CommitQueue<S>,
    news: News<S>,
    generation: Generation,
}

impl<S> Ledger<S> {
    /// Of the key range `index`, with its bits as they were loaded.
    pub fn new(index: ShardIndex, board: Arc<Board>, bitmap: Bitmap) -> Self {
        let generation = Generation::default();
        Self {
            index,
            board,
            flips: vec![0; bitmap.boxes().div_ceil(BOXES_PER_TILE) as usize].into(),
            bitmap,
            queue: CommitQueue::default(),
            news: News::default(),
            generation,
        }
    }

    /// The bits.
    pub fn bitmap(&self) -> &Bitmap {
        &self.bitmap
    }

    /// Which board this is, of those that resets have made.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// A box of this key range.
    pub fn id(&self, offset: Offset) -> BoxId {
        self.board.id(self.index, offset)
    }

    /// Takes a check in. `joins` says whether it could still join the batch with the store.
    pub fn check(&mut self, asker: Asker<S>, joins: impl FnOnce(&Asker<S>) -> bool, stats: &Stats) {
        if self.bitmap.contains(asker.offset) {
            self.already(asker, stats);
        } else if joins(&asker) {
            self.queue.joined(asker);
        } else {
            self.queue.push(asker);
        }
    }

    /// The next batch for the store, of at most `most` boxes; `None` while one is with it or nothing waits.
    pub fn begin(&mut self, most: usize) -> Option<Checks> {
        self.queue.begin(most)
    }

    /// The store has answered about its batch. If it is `durable`, its boxes are learned; else those who sent the
    /// checks are given back, to be refused.
    pub fn finish(&mut self, durable: bool, stats: &Stats) -> Vec<Asker<S>> {
        let answered = self.queue.finish();
        if !durable {
            return answered;
        }
        for asker in answered {
            stats.checks_committed.inc();
            // Somebody else's check of the same box came first. Its public update is the answer
            // unless it was flushed by now, which the broadcaster knows.
            if self.learn(asker.offset) {
                self.news.places.push(asker.place);
            } else {
                self.already(asker, stats);
            }
        }
        self.overtake(stats);
        Vec::new()
    }

    /// Learns boxes that nobody's commit here brought; how many were unchecked.
    pub fn learn_all(&mut self, offsets: Vec<Offset>, stats: &Stats) -> u32 {
        let flipped = offsets.into_iter().map(|offset| u32::from(self.learn(offset))).sum();
        if flipped > 0 {
            self.overtake(stats);
        }
        flipped
    }

    /// The one way in: checks a box that is durable, and passes it on if its bit flipped.
    pub fn learn(&mut self, offset: Offset) -> bool {
        let flipped = self.bitmap.insert(offset);
        if flipped {
            self.flips[(offset.0 / BOXES_PER_TILE) as usize] += 1;
            let id = self.id(offset);
            self.news.flipped.push(id);
        }
        flipped
    }

    /// Whoever has a check of a box that is checked by now, waiting or with the store, is told in the same message
    /// as its flip, so that the public update is the one answer.
    fn overtake(&mut self, stats: &Stats) {
        if !self.queue.is_idle() {
            for asker in self.queue.overtaken(|offset| self.bitmap.contains(offset)) {
                self.already(asker, stats);
            }
        }
    }

    fn already(&mut self, asker: Asker<S>, stats: &Stats) {
        stats.checks_duplicate.inc();
        self.news.already.push((self.id(asker.offset), asker.session));
        self.news.places.push(asker.place);
    }

    /// The number in this key range, and the version, of the tile that `range` is all of.
    pub fn whole_tile(&self, range: BoxRange) -> Option<(u32, u32)> {
        let offset = range.first().get().checked_sub(self.board.first_id(self.index).get())?;
        let (tile, end) = (offset / BOXES_PER_TILE, offset + range.boxes());
        let is_whole = offset.is_multiple_of(BOXES_PER_TILE)
            && (range.boxes() == BOXES_PER_TILE || end == self.bitmap.boxes());
        Some((tile, *self.flips.get(tile as usize).filter(|_| is_whole)?))
    }

    /// Appends the part of `range` that lies here to `out`, which has what was before it; whether it ends here.
    pub fn read_part(&self, range: BoxRange, out: &mut BytesMut) -> bool {
        let start = self.board.first_id(self.index).get();
        let first = range.first().get().max(start);
        let end = start - 1 + self.bitmap.boxes();
        let last = range.last().get().min(end);
        let offset = Offset(first - start);
        let before = first - range.first().get();
        if before == 0 {
            self.bitmap.extract(offset, last - first + 1, out);
        } else {
            let mut part = BytesMut::new();
            self.bitmap.extract(offset, last - first + 1, &mut part);
            append_bits(out, before, &part);
        }
        last == range.last().get()
    }

    /// What is to be told, if there is anything.
    pub fn take_news(&mut self) -> Option<News<S>> {
        (!self.news.is_empty()).then(|| std::mem::take(&mut self.news))
    }

    /// Whether there is nothing to tell.
    pub fn has_no_news(&self) -> bool {
        self.news.is_empty()
    }

    /// Whether no check waits or is with the store.
    pub fn is_idle(&self) -> bool {
        self.queue.is_idle()
    }

    /// Whether no check waits for the next batch.
    pub fn nothing_waits(&self) -> bool {
        self.queue.nothing_waits()
    }

    /// Unchecks every box. Checks that wait go on: they are of the new board.
    pub fn forget(&mut self) {
        debug_assert!(self.news.is_empty(), "the last flips of the old board were told");
        self.bitmap.clear();
        self.generation.advance();
    }
}

#[cfg(test)]
mod tests;
