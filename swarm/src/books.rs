//! The bookkeeping of a run: which check was sent when, which total announced which id, and what one plain connection may
//! be told next. Pure: no sockets and no clock; shared by all threads through atomics. Time comes in as microseconds
//! since the run began, never 0.
//!
//! Exactly once, in one table: totals on a plain connection rise by one, a total has one id (`announced`) and an id has
//! one total (`Check::total`). So a listener that went from its hello to the final total without a gap has been told
//! each id exactly once, and no listener needs a list of its own.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::faults::{Fault, Faults};
use crate::shuffle::{Shuffle, mix64};

/// Boxes of a tile: the unit of a range request.
pub(crate) const TILE_BOXES: u32 = 100_000;

/// Everything all threads must agree on.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) shuffle: Shuffle,
    /// Total before the run; announced totals are above it.
    pub(crate) base: u32,
    /// Nobody else plays on this board.
    pub(crate) exclusive: bool,
    /// By `total - base - 1`: the id in the low half; in the high half when its check was sent, or 0 if not measured.
    announced: Chunks<AtomicU64>,
    /// By place in the shuffle.
    checks: Chunks<Check>,
    /// What was announced of each tile, for those who watch only some.
    tiles: Vec<TileSum>,
    /// Ids announced that nobody here had checked, and under which total.
    strangers: Mutex<HashMap<u32, u32>>,
    highest: AtomicU32,
    sent: AtomicU64,
    ours_announced: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    /// Checks sent before this moment are warm-up: delivered and booked, but not measured.
    measure_from_us: AtomicU32,
}

/// The life of one check.
#[derive(Debug, Default)]
struct Check {
    /// 0: not sent.
    sent_us: AtomicU32,
    /// The total that announced it; 0: none yet.
    total: AtomicU32,
    answer: AtomicU8,
}

const NO_ANSWER: u8 = 0;
const ACKNOWLEDGED: u8 = 1;
const REFUSED: u8 = 2;

/// How many ids of a tile were announced, and a sum that no other set of ids is likely to have.
#[derive(Debug, Default)]
struct TileSum {
    count: AtomicU32,
    sum: AtomicU64,
    /// The one announced last; 0: none.
    last: AtomicU32,
}

/// Why an answer to a check does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misanswered {
    NeverAsked,
    Twice,
}

impl Books {
    pub(crate) fn new(shuffle: Shuffle, base: u32, exclusive: bool) -> Self {
        let boxes = shuffle.boxes();
        Self {
            announced: Chunks::for_len(boxes),
            checks: Chunks::for_len(boxes),
            tiles: (0..boxes.div_ceil(TILE_BOXES)).map(|_| TileSum::default()).collect(),
            strangers: Mutex::default(),
            highest: AtomicU32::new(base),
            sent: AtomicU64::new(0),
            ours_announced: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            measure_from_us: AtomicU32::new(0),
            shuffle,
            base,
            exclusive,
        }
    }

    /// Ends the warm-up at `us`, which may lie ahead.
    pub(crate) fn measure_from(&self, us: u32) {
        self.measure_from_us.store(us, Relaxed);
    }

    /// A check or request sent at `us` counts as measured.
    pub(crate) fn is_measured(&self, us: u32) -> bool {
        us >= self.measure_from_us.load(Relaxed)
    }

    /// The check at `place` is about to be written. Must come before the write: its update may be read at once.
    pub(crate) fn send(&self, place: u32, now_us: u32) {
        debug_assert!(now_us > 0, "0 means not sent");
        // Release pairs with the Acquire of whichever thread first reads the update.
        self.checks.make(place).sent_us.store(now_us, Release);
        self.sent.fetch_add(1, Relaxed);
    }

    /// Total `total` was announced with `id`. Says when its check was sent (0: not measured), or what does not fit.
    #[inline]
    pub(crate) fn see(&self, total: u32, id: u32) -> Result<u32, Clash> {
        // A total at or below the base wraps to an index that no board has.
        let index = total.wrapping_sub(self.base).wrapping_sub(1);
        if let Some(entry) = self.announced.get(index) {
            let known = entry.load(Relaxed);
            if known as u32 == id && id != 0 {
                return Ok((known >> 32) as u32);
            }
        }
        self.see_first(index, total, id)
    }

    /// The slow path of `see`: once per update, not once per listener.
    fn see_first(&self, index: u32, total: u32, id: u32) -> Result<u32, Clash> {
        if id == 0 || id > self.shuffle.boxes() || index >= self.shuffle.boxes() {
            return Err(Clash::Stranger);
        }
        let place = self.shuffle.place(id);
        let check = self.checks.get(place).filter(|check| check.sent_us.load(Acquire) > 0);
        let sent_us = check.map_or(0, |check| check.sent_us.load(Relaxed));
        let measured_us = if self.is_measured(sent_us) { sent_us } else { 0 };
        let entry = u64::from(measured_us) << 32 | u64::from(id);
        match self.announced.make(index).compare_exchange(0, entry, Relaxed, Relaxed) {
            Ok(_) => {}
            Err(known) if known as u32 == id => return Ok((known >> 32) as u32),
            Err(known) => return Err(Clash::OtherId(known as u32)),
        }
        self.highest.fetch_max(total, Relaxed);
        let before = match check {
            Some(check) => check.total.swap(total, Relaxed),
            None => {
                let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
                strangers.insert(id, total).unwrap_or(0)
            }
        };
        if before == 0 {
            let tile = &self.tiles[((id - 1) / TILE_BOXES) as usize];
            tile.count.fetch_add(1, Relaxed);
            tile.sum.fetch_add(mix64(u64::from(id)), Relaxed);
            tile.last.store(id, Relaxed);
        }
        match before {
            0 if check.is_some() => {
                self.ours_announced.fetch_add(1, Relaxed);
                Ok(measured_us)
            }
            0 if self.exclusive => Err(Clash::Stranger),
            0 => Ok(0),
            earlier => Err(Clash::OtherTotal(earlier)),
        }
    }

    /// The check of `id` was acknowledged; says when it was sent.
    pub(crate) fn acknowledge(&self, id: u32) -> Result<u32, Misanswered> {
        self.answer(id, ACKNOWLEDGED)
    }

    /// The check of `id` was refused; says when it was sent.
    pub(crate) fn refuse(&self, id: u32) -> Result<u32, Misanswered> {
        self.answer(id, REFUSED)
    }

    fn answer(&self, id: u32, answer: u8) -> Result<u32, Misanswered> {
        if id == 0 || id > self.shuffle.boxes() {
            return Err(Misanswered::NeverAsked);
        }
        let check = self.checks.get(self.shuffle.place(id)).ok_or(Misanswered::NeverAsked)?;
        match check.sent_us.load(Acquire) {
            0 => Err(Misanswered::NeverAsked),
            sent_us => {
                // The first answer stands.
                let fresh = check.answer.compare_exchange(NO_ANSWER, answer, Relaxed, Relaxed);
                fresh.map_err(|_| Misanswered::Twice)?;
                self.answered.fetch_add(1, Relaxed);
                self.refused.fetch_add(u64::from(answer == REFUSED), Relaxed);
                Ok(sent_us)
            }
        }
    }

    /// Somebody here sent a check of `id`, a box of the board.
    pub(crate) fn was_sent(&self, id: u32) -> bool {
        self.checks.get(self.shuffle.place(id)).is_some_and(|check| check.sent_us.load(Acquire) > 0)
    }

    /// How many checks got an answer of their own, an acknowledgement or a refusal.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// How many checks were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Checks acknowledged by their update: those at `places` that were announced at or below `told`, the last total of
    /// the plain connection that sent them.
    pub(crate) fn acknowledge_up_to(&self, places: impl Iterator<Item = u32>, told: u32) {
        for check in places.filter_map(|place| self.checks.get(place)) {
            let total = check.total.load(Relaxed);
            if total > 0 && total <= told && check.sent_us.load(Relaxed) > 0 {
                check.answer.store(ACKNOWLEDGED, Relaxed);
            }
        }
    }

    /// The highest total anyone was told.
    pub(crate) fn highest(&self) -> u32 {
        self.highest.load(Relaxed)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many of our checks were announced.
    pub(crate) fn ours_announced(&self) -> u64 {
        self.ours_announced.load(Relaxed)
    }

    /// How many ids of `tile` were announced, and their sum.
    pub(crate) fn tile(&self, tile: u32) -> (u32, u64) {
        let tile = &self.tiles[tile as usize];
        (tile.count.load(Relaxed), tile.sum.load(Relaxed))
    }

    /// The id of `tile` that was announced last, if any was.
    pub(crate) fn last_of_tile(&self, tile: u32) -> Option<u32> {
        Some(self.tiles[tile as usize].last.load(Relaxed)).filter(|id| *id > 0)
    }

    /// Every check that was sent: its id, its total (0: not announced) and its answer.
    pub(crate) fn all_sent(&self) -> impl Iterator<Item = Sent> + '_ {
        self.checks.iter().filter(|(_, check)| check.sent_us.load(Relaxed) > 0).map(
            |(place, check)| Sent {
                id: self.shuffle.id(place),
                total: check.total.load(Relaxed),
                acknowledged: check.answer.load(Relaxed) == ACKNOWLEDGED,
                refused: check.answer.load(Relaxed) == REFUSED,
            },
        )
    }
}

/// A check that was sent, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: u32,
    pub(crate) total: u32,
    pub(crate) acknowledged: bool,
    pub(crate) refused: bool,
}

/// What does not fit about an announced `(total, id)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clash {
    /// The total was announced before, with this id.
    OtherId(u32),
    /// The id was announced before, under this total.
    OtherTotal(u32),
    /// Nobody here checked it, and nobody else plays; or it is not on the board, or below the base.
    Stranger,
}

impl Clash {
    #[cold]
    pub(crate) fn note(self, total: u32, id: u32, faults: &mut Faults) {
        match self {
            Self::OtherId(other) => faults
                .note(Fault::TotalsDisagree, || format!("total {total}: ids {other} and {id}")),
            Self::OtherTotal(other) => {
                faults.note(Fault::IdTwice, || format!("id {id}: totals {other} and {total}"))
            }
            Self::Stranger => faults.note(Fault::Stranger, || format!("total {total}, id {id}")),
        }
    }
}

/// What one plain connection was told last, and so what it must be told next.
#[derive(Debug, Default)]
pub(crate) struct PlainView {
    told: u32,
    greeted: bool,
}

/// What an 8-byte message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A newly checked box, whose check was sent at that time (0: not measured).
    Update(u32),
    /// An answer to this connection's own check of a box that was checked before.
    Answer,
    /// It does not fit; noted.
    Nonsense,
}

impl PlainView {
    pub(crate) fn greeted(&self) -> bool {
        self.greeted
    }

    pub(crate) fn told(&self) -> u32 {
        self.told
    }

    /// A 4-byte message: the hello if it is the first, and what we were told already if not.
    pub(crate) fn total(&mut self, total: u32, faults: &mut Faults) {
        if self.greeted && total != self.told {
            faults.note(Fault::TotalMoved, || format!("total {total} after {}", self.told));
        }
        self.greeted = true;
        self.told = total;
    }

    #[inline]
    pub(crate) fn update(
        &mut self,
        total: u32,
        id: u32,
        books: &Books,
        faults: &mut Faults,
    ) -> Heard {
        if total != self.told.wrapping_add(1) || !self.greeted {
            return self.out_of_turn(total, id, faults);
        }
        self.told = total;
        match books.see(total, id) {
            Ok(sent_us) => Heard::Update(sent_us),
            Err(clash) => {
                clash.note(total, id, faults);
                Heard::Nonsense
            }
        }
    }

    /// Notes the fault and goes on from `total`, so that one gap is one fault.
    #[cold]
    fn out_of_turn(&mut self, total: u32, id: u32, faults: &mut Faults) -> Heard {
        if !self.greeted {
            faults.note(Fault::NoHello, || format!("total {total}, id {id} before any hello"));
        } else if total == self.told {
            return Heard::Answer;
        } else if total < self.told {
            faults.note(Fault::Repeat, || {
                format!("total {total}, id {id} after total {}", self.told)
            });
        } else {
            faults.note(Fault::Gap, || format!("total {total}, id {id} after total {}", self.told));
        }
        self.told = total;
        self.greeted = true;
        Heard::Nonsense
    }
}

/// An array as long as the board of which only touched parts take memory: 65,536 entries at a time.
#[derive(Debug)]
struct Chunks<T> {
    chunks: Vec<OnceLock<Box<[T]>>>,
}

const CHUNK_BITS: u32 = 16;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

impl<T: Default> Chunks<T> {
    fn for_len(len: u32) -> Self {
        Self { chunks: (0..len.div_ceil(CHUNK_LEN as u32)).map(|_| OnceLock::new()).collect() }
    }

    #[inline]
    fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index >> CHUNK_BITS) as usize)?.get()?;
        chunk.get(index as usize & (CHUNK_LEN - 1))
    }

    fn make(&self, index: u32) -> &T {
        let chunk = self.chunks[(index >> CHUNK_BITS) as usize]
            .get_or_init(|| std::iter::repeat_with(T::default).take(CHUNK_LEN).collect());
        &chunk[index as usize & (CHUNK_LEN - 1)]
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.get()?))).flat_map(
            |(at, chunk)| {
                chunk
                    .iter()
                    .enumerate()
                    .map(move |(offset, entry)| ((at * CHUNK_LEN + offset) as u32, entry))
            },
        )
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
