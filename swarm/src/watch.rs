//! The bookkeeping of one `v=2` connection that watches tiles: it must get every update of those exactly once, none of
//! others, and totals that never fall. Pure, like `books.rs`, which knows what was announced of each tile.

use crate::board::{Bitmap, check_answer, tile_range};
use crate::books::{Books, TILE_BOXES};
use crate::faults::{Fault, Faults};
use crate::shuffle::mix64;

/// What one `v=2` connection was told.
#[derive(Debug)]
pub(crate) struct WatchView {
    told: u32,
    greeted: bool,
    boxes: u32,
    tiles: Vec<Watched>,
    /// How many of the tiles were answered the first time; answers come in the order of the requests.
    answered: usize,
    /// Set when it lagged and was resynced; from then on answers come unasked.
    resynced: bool,
    /// It joined when boxes had been checked already: the first answers are what it builds on.
    late: bool,
}

#[derive(Debug)]
struct Watched {
    tile: u32,
    count: u32,
    sum: u64,
    /// Joined late, or after a resync: all it was told of this tile since, answer and updates. Exactly once cannot be
    /// judged any more, since a box may be in the answer and come as an update too; completeness can. Updates may come
    /// before the answer, which then may lack them: the server registers first and reads later.
    known: Option<Box<Bitmap>>,
}

impl Watched {
    /// From now on what it is told is kept, box by box.
    fn keep_boxes(&mut self) -> &mut Bitmap {
        self.known.get_or_insert_with(|| Box::new(Bitmap::new(TILE_BOXES)))
    }

    /// Is told of the box at `index` within the tile, counted from 1.
    fn learn(&mut self, index: u32) {
        if let Some(known) = &mut self.known {
            known.set(index);
        }
    }
}

impl WatchView {
    pub(crate) fn new(tiles: impl IntoIterator<Item = u32>, boxes: u32) -> Self {
        let tiles =
            tiles.into_iter().map(|tile| Watched { tile, count: 0, sum: 0, known: None }).collect();
        Self { told: 0, greeted: false, boxes, tiles, answered: 0, resynced: false, late: false }
    }

    /// For who joins in the middle of a run.
    pub(crate) fn late(tiles: impl IntoIterator<Item = u32>, boxes: u32) -> Self {
        Self { late: true, ..Self::new(tiles, boxes) }
    }

    /// Whether it joined when boxes had been checked already.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    pub(crate) fn greeted(&self) -> bool {
        self.greeted
    }

    /// First and last box of each watched tile, in the order to be asked.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        self.tiles.iter().map(|watched| tile_range(watched.tile, self.boxes))
    }

    pub(crate) fn all_answered(&self) -> bool {
        self.answered == self.tiles.len()
    }

    /// A 4-byte total: the greeting, or the begin of a resync.
    pub(crate) fn hello(&mut self, total: u32, faults: &mut Faults) {
        if self.greeted || self.late {
            self.tiles.iter_mut().for_each(|watched| _ = watched.keep_boxes());
        }
        self.total(total, faults);
    }

    /// A total that came with something else, as a pulse.
    pub(crate) fn total(&mut self, total: u32, faults: &mut Faults) {
        if self.greeted && total < self.told {
            faults.note(Fault::TotalFell, || format!("total {total} after {}", self.told));
        }
        self.greeted = true;
        self.told = total;
    }

    /// Says when the check was sent (0: not measured), or `None` if the update does not fit.
    pub(crate) fn update(
        &mut self,
        total: u32,
        id: u32,
        books: &Books,
        faults: &mut Faults,
    ) -> Option<u32> {
        if !self.greeted {
            faults.note(Fault::NoHello, || format!("total {total}, id {id} before any hello"));
        }
        self.total(total, faults);
        let tile = id.wrapping_sub(1) / TILE_BOXES;
        let Some(watched) = self.tiles.iter_mut().find(|watched| watched.tile == tile && id != 0)
        else {
            faults.note(Fault::OutsideWatch, || format!("total {total}, id {id} of tile {tile}"));
            return None;
        };
        watched.count += 1;
        watched.sum = watched.sum.wrapping_add(mix64(u64::from(id)));
        if id <= self.boxes {
            watched.learn(id - tile * TILE_BOXES);
        }
        books.see(total, id).inspect_err(|clash| clash.note(total, id, faults)).ok()
    }

    /// A range answer: to one of our requests, or part of a resync. Says whether a resync began with it.
    pub(crate) fn answer(&mut self, first: u32, mask: &[u8], faults: &mut Faults) -> bool {
        if let Some(watched) = self.tiles.get_mut(self.answered) {
            self.answered += 1;
            match check_answer(tile_range(watched.tile, self.boxes), first, mask) {
                Ok(()) => {
                    if let Some(known) = &mut watched.known {
                        known.add(mask);
                    }
                }
                Err(fault) => faults.note(Fault::BadRange, || fault),
            }
            return false;
        }
        let boxes = self.boxes;
        let Some(watched) =
            self.tiles.iter_mut().find(|watched| tile_range(watched.tile, boxes).0 == first)
        else {
            faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            return false;
        };
        if let Err(fault) = check_answer(tile_range(watched.tile, boxes), first, mask) {
            faults.note(Fault::BadRange, || fault);
            return false;
        }
        watched.keep_boxes().add(mask);
        !std::mem::replace(&mut self.resynced, true)
    }

    /// As far as counting can tell, everything announced so far has arrived.
    pub(crate) fn caught_up(&self, books: &Books) -> bool {
        let caught_up = |watched: &Watched| match (self.late, &watched.known) {
            // Updates come in order, so who knows the last one has been sent all before it.
            (true, Some(known)) => books
                .last_of_tile(watched.tile)
                .is_none_or(|id| known.get(id - watched.tile * TILE_BOXES)),
            (true, None) => false,
            (false, _) => watched.count >= books.tile(watched.tile).0,
        };
        self.resynced || self.all_answered() && self.tiles.iter().all(caught_up)
    }

    /// At the end, when all is at rest: compares with everything announced.
    pub(crate) fn audit(&self, books: &Books, faults: &mut Faults) {
        for watched in &self.tiles {
            let (count, sum) = books.tile(watched.tile);
            match &watched.known {
                None if (watched.count, watched.sum) == (count, sum) => {}
                None => faults.note(Fault::MissedInWatch, || {
                    format!(
                        "tile {}: {} updates of {count}{}",
                        watched.tile,
                        watched.count,
                        same_count(watched.count, count)
                    )
                }),
                Some(known) => {
                    let of_tile = books.all_sent().filter(|sent| {
                        sent.total > 0 && (sent.id - 1) / TILE_BOXES == watched.tile
                    });
                    for sent in
                        of_tile.filter(|sent| !known.get(sent.id - watched.tile * TILE_BOXES))
                    {
                        faults.note(Fault::MissedInWatch, || {
                            format!("id {}, by one that came late or was resynced", sent.id)
                        });
                    }
                }
            }
        }
    }
}

fn same_count(got: u32, announced: u32) -> &'static str {
    if got == announced { ", but not the same ones" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shuffle::Shuffle;

    const BOXES: u32 = 1_000_000;

    /// Books that announced `count` checks as totals 1, 2, …; and those `(total, id)` that are of `tile`.
    fn announced(count: u32, tile: u32) -> (Books, Vec<(u32, u32)>) {
        let books = Books::new(Shuffle::new(BOXES, 5), 0, true);
        let mut of_tile = Vec::new();
        for place in 0..count {
            books.send(place, 1);
            let (total, id) = (place + 1, books.shuffle.id(place));
            books.see(total, id).unwrap();
            of_tile.extend(((id - 1) / TILE_BOXES == tile).then_some((total, id)));
        }
        (books, of_tile)
    }

    fn watching(tile: u32) -> WatchView {
        let mut view = WatchView::new([tile], BOXES);
        let mut faults = Faults::default();
        view.hello(0, &mut faults);
        view.answer(tile * TILE_BOXES + 1, &[0; 12_500], &mut faults);
        assert!(faults.is_empty() && view.all_answered() && view.greeted());
        view
    }

    fn hear(view: &mut WatchView, books: &Books, told: &[(u32, u32)]) -> Vec<(Fault, u64)> {
        let mut faults = Faults::default();
        for (total, id) in told {
            view.update(*total, *id, books, &mut faults);
        }
        view.audit(books, &mut faults);
        faults.counts()
    }

    #[test]
    fn every_update_of_the_tile_once_is_right() {
        let (books, told) = announced(200, 3);
        assert!(told.len() > 5);
        let mut view = watching(3);
        assert!(!view.caught_up(&books));
        assert_eq!(hear(&mut view, &books, &told), []);
        assert!(view.caught_up(&books));
    }

    #[test]
    fn a_missed_a_repeated_and_an_exchanged_update_are_found() {
        let (books, told) = announced(200, 3);
        assert_eq!(hear(&mut watching(3), &books, &told[1..]), [(Fault::MissedInWatch, 1)]);
        let mut twice = told.clone();
        twice.insert(1, told[0]);
        assert_eq!(hear(&mut watching(3), &books, &twice), [(Fault::MissedInWatch, 1)]);
        twice.pop();
        assert_eq!(
            hear(&mut watching(3), &books, &twice),
            [(Fault::MissedInWatch, 1)],
            "right count, wrong ids"
        );
    }

    #[test]
    fn an_update_outside_the_watch_is_found() {
        let (books, mut told) = announced(200, 3);
        told.push((201, 1));
        assert_eq!(hear(&mut watching(3), &books, &told), [(Fault::OutsideWatch, 1)]);
        assert_eq!(hear(&mut watching(3), &books, &[(201, 0)])[0], (Fault::OutsideWatch, 1));
    }

    #[test]
    fn a_falling_or_disagreeing_total_is_found() {
        let (books, mut told) = announced(200, 3);
        told.swap(0, 1);
        assert_eq!(hear(&mut watching(3), &books, &told), [(Fault::TotalFell, 1)]);
        let (books, mut told) = announced(200, 3);
        let last = told.len() - 1;
        told[last].0 = 201;
        assert_eq!(hear(&mut watching(3), &books, &told), [(Fault::IdTwice, 1)]);
    }

    #[test]
    fn an_unasked_answer_is_a_resync_if_the_tile_is_watched() {
        let (books, told) = announced(200, 3);
        let mut faults = Faults::default();
        let mut view = watching(3);
        assert!(!view.answer(1, &[0; 12_500], &mut faults));
        assert_eq!(faults.counts(), [(Fault::BadRange, 1)]);

        let mut mask = [0; 12_500];
        for (_, id) in &told[..4] {
            let index = (id - 3 * TILE_BOXES - 1) as usize;
            mask[index / 8] |= 1 << (index % 8);
        }
        assert!(view.answer(3 * TILE_BOXES + 1, &mask, &mut faults));
        // One that the answer had comes again, which is allowed; then all the others.
        assert_eq!(hear(&mut view, &books, &told[3..]), []);

        let mut view = watching(3);
        view.answer(3 * TILE_BOXES + 1, &mask, &mut faults);
        assert_eq!(
            hear(&mut view, &books, &told[5..]),
            [(Fault::MissedInWatch, 1)],
            "one missed after the resync"
        );
    }

    #[test]
    fn who_joins_late_builds_on_its_first_answer() {
        let (books, told) = announced(200, 3);
        let mut mask = [0; 12_500];
        for (_, id) in &told[..4] {
            let index = (id - 3 * TILE_BOXES - 1) as usize;
            mask[index / 8] |= 1 << (index % 8);
        }
        let join = || {
            let (mut view, mut faults) = (WatchView::late([3], BOXES), Faults::default());
            view.hello(told[3].0, &mut faults);
            view.answer(3 * TILE_BOXES + 1, &mask, &mut faults);
            assert!(faults.is_empty() && view.all_answered() && !view.caught_up(&books));
            view
        };
        let mut view = join();
        assert_eq!(hear(&mut view, &books, &told[4..]), []);
        assert!(view.caught_up(&books));
        let mut view = join();
        assert_eq!(hear(&mut view, &books, &told[5..]), [(Fault::MissedInWatch, 1)]);
        assert!(view.caught_up(&books), "nothing more will come: the audit has found it");
    }

    /// The answer was read before the box flipped, and written after the update.
    #[test]
    fn an_update_may_come_before_the_answer_that_lacks_it() {
        let (books, told) = announced(200, 3);
        let (mut view, mut faults) = (WatchView::late([3], BOXES), Faults::default());
        view.hello(0, &mut faults);
        view.update(told[0].0, told[0].1, &books, &mut faults);
        view.answer(3 * TILE_BOXES + 1, &[0; 12_500], &mut faults);
        assert_eq!(hear(&mut view, &books, &told[1..]), []);

        let mut view = watching(3);
        view.hello(0, &mut faults);
        view.update(told[0].0, told[0].1, &books, &mut faults);
        assert!(view.answer(3 * TILE_BOXES + 1, &[0; 12_500], &mut faults), "a resync");
        assert_eq!(hear(&mut view, &books, &told[1..]), []);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_wrong_first_answer_is_found() {
        let mut faults = Faults::default();
        WatchView::new([3], BOXES).answer(1, &[0; 12_500], &mut faults);
        WatchView::new([3], BOXES).answer(300_001, &[0; 12_499], &mut faults);
        assert_eq!(faults.counts(), [(Fault::BadRange, 2)]);
    }
}
