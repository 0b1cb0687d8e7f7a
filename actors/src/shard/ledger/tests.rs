//! A ledger against a model: a set of boxes that only grows, and a list of who was answered how.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{board::BOXES_PER_TILE, player::UserId, shard::gate::Gate, store::words_for};

const BOXES: u32 = 40;
const PLACES: usize = 12;

/// What happens to a shard.
#[derive(Debug, Clone)]
enum Happening {
    /// Somebody checks a box.
    Check(u32),
    /// A batch goes to the store.
    Begin(usize),
    /// The store begins with it: nobody can join it any more.
    Close,
    /// The store answers about it.
    Finish(bool),
    /// Boxes are learned from elsewhere.
    Learn(Vec<u32>),
    /// News are handed over.
    Tell,
    /// The board is reset.
    Reset,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        8 => (0..BOXES).prop_map(Happening::Check),
        3 => (1..5_usize).prop_map(Happening::Begin),
        2 => Just(Happening::Close),
        3 => any::<bool>().prop_map(Happening::Finish),
        2 => prop::collection::vec(0..BOXES, 0..6).prop_map(Happening::Learn),
        3 => Just(Happening::Tell),
        1 => Just(Happening::Reset),
    ];
    prop::collection::vec(happening, 1..200)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// By the flip of its box, or alone because that was told before.
    Told,
    Refused,
}

/// Every other asker is a user.
fn user(session: u32) -> Option<UserId> {
    UserId::new(u64::from(session)).filter(|_| session.is_multiple_of(2))
}

/// Askers are numbers.
struct Scene {
    ledger: Ledger<u32>,
    gate: Arc<Gate>,
    stats: Stats,
    /// The batch with the store as boxes and who asked, and how many may be in it; as many as there are: it may not
    /// be joined.
    batch: Option<(Vec<(Offset, u32)>, usize)>,
    /// Boxes that are checked by what was told.
    told: BTreeSet<u32>,
    /// Durable as far as the store has said.
    durable: BTreeSet<u32>,
    /// What becomes of each check, and its box.
    asked: Vec<u32>,
    fates: BTreeMap<u32, Fate>,
    /// Those whose box was checked on a board that was reset.
    answered: BTreeSet<u32>,
    /// Whose places are with the broadcaster.
    placed: Vec<Place>,
    /// Checks whose places it has given back.
    given_back: usize,
    /// Checks that a reset has dropped.
    forgotten: usize,
}

impl Scene {
    fn new() -> Self {
        let board = Arc::new(Board::new("test", BOXES, 1).expect("a legal board"));
        let bitmap = Bitmap::from_words(vec![0; words_for(BOXES)], BOXES).expect("it fits");
        let stats = Stats::default();
        Self {
            ledger: Ledger::new(ShardIndex(0), board, bitmap),
            gate: Arc::new(Gate::new(PLACES, stats.shard_queue.clone())),
            stats,
            batch: None,
            told: BTreeSet::new(),
            durable: BTreeSet::new(),
            asked: Vec::new(),
            fates: BTreeMap::new(),
            answered: BTreeSet::new(),
            placed: Vec::new(),
            given_back: 0,
            forgotten: 0,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Check(offset) => self.check(offset),
            Happening::Begin(most) => {
                let begun = self.ledger.begin(most);
                assert!(begun.is_none() || self.batch.is_none(), "one batch at a time");
                if let Some(checks) = begun {
                    let batch = self.asked_for(&checks);
                    assert!((1..=most).contains(&batch.len()));
                    self.batch = Some((batch, most));
                }
            }
            Happening::Close => {
                if let Some((checks, most)) = &mut self.batch {
                    *most = checks.len();
                }
            }
            Happening::Finish(durable) => self.finish(durable),
            Happening::Learn(offsets) => {
                self.durable.extend(&offsets);
                let before = self.checked();
                let new = offsets.iter().collect::<BTreeSet<_>>();
                let new = new.into_iter().filter(|offset| !before.contains(offset)).count();
                let offsets = offsets.into_iter().map(Offset).collect();
                let flipped = self.ledger.learn_all(offsets, &self.stats);
                assert_eq!(flipped as usize, new, "each box flips once");
            }
            Happening::Tell => self.tell(),
            Happening::Reset => {
                // As the shell: the commit in flight ends, refused, and all flips are told before.
                self.finish(false);
                self.tell();
                let before = self.held();
                let checked = self.checked();
                let asked = (0..).zip(&self.asked);
                let answered = asked.filter(|(_, asked)| checked.contains(asked));
                self.answered.extend(answered.map(|(session, _)| session));
                self.ledger.forget();
                self.forgotten += before - self.held();
                self.told.clear();
                self.durable.clear();
            }
        }
    }

    fn check(&mut self, offset: u32) {
        let Some(place) = self.gate.enter() else { return };
        let session = self.asked.len() as u32;
        self.asked.push(offset);
        let batch = &mut self.batch;
        let joins = |asker: &Asker<u32>| match batch {
            Some((checks, most)) if checks.len() < *most => {
                checks.push((asker.offset, asker.session));
                true
            }
            _ => false,
        };
        let asker = Asker { offset: Offset(offset), user: user(session), session, place };
        self.ledger.check(asker, joins, &self.stats);
    }

    /// Who asked for the boxes of a batch, in its order. The ledger keeps the store's condition for credits: none of
    /// them is checked already.
    fn asked_for(&self, checks: &Checks) -> Vec<(Offset, u32)> {
        let unchecked = |offset: &Offset| !self.ledger.bitmap().contains(*offset);
        assert!(checks.offsets().iter().all(unchecked), "for a box that is checked");
        let mut batch = Vec::new();
        for offset in checks.offsets() {
            // Whoever asked for it and waits, in that order, as often as it comes.
            let before = batch.iter().filter(|(other, _)| other == offset).count();
            let waiting = self.waiting(offset.0).nth(before);
            batch.push((*offset, waiting.expect("somebody asked for it")));
        }
        let mut expected = Checks::default();
        batch.iter().for_each(|(offset, session)| expected.push(*offset, user(*session)));
        assert_eq!(*checks, expected, "the store learns who asked, the first one first");
        batch
    }

    /// Those who have asked for a box and were not answered.
    fn waiting(&self, offset: u32) -> impl Iterator<Item = u32> {
        let asked = (0..).zip(&self.asked).filter(move |(_, asked)| **asked == offset);
        asked
            .map(|(session, _)| session)
            .filter(|session| !self.fates.contains_key(session) && !self.answered.contains(session))
    }

    fn finish(&mut self, durable: bool) {
        let Some((checks, _)) = self.batch.take() else { return };
        if durable {
            for (offset, session) in &checks {
                let is_first = self.durable.insert(offset.0);
                let earliest = self.waiting(offset.0).next();
                assert!(!is_first || earliest == Some(*session), "the first is credited");
            }
        }
        let refused = self.ledger.finish(durable, &self.stats);
        assert!(!durable || refused.is_empty(), "who is durable is not refused");
        for asker in refused {
            assert!(!self.ledger.bitmap().contains(asker.offset), "refused, and checked by now");
            let told = self.fates.insert(asker.session, Fate::Refused);
            assert_eq!(told, None, "answered once");
        }
    }

    fn tell(&mut self) {
        self.given_back += self.placed.len();
        self.placed.clear();
        let Some(news) = self.ledger.take_news() else { return };
        for id in &news.flipped {
            assert!(self.told.insert(id.get() - 1), "told once");
            assert!(self.durable.contains(&(id.get() - 1)), "told before it was durable");
        }
        for (id, session) in &news.already {
            assert!(self.told.contains(&(id.get() - 1)), "its flip comes first");
            assert_eq!(self.asked[*session as usize], id.get() - 1);
            assert_eq!(self.fates.insert(*session, Fate::Told), None, "answered once");
        }
        self.placed = news.places;
    }

    fn checked(&self) -> BTreeSet<u32> {
        (0..BOXES).filter(|offset| self.ledger.bitmap().contains(Offset(*offset))).collect()
    }

    /// Every check is somewhere, once, and holds a place as long as it is.
    fn account(&self) {
        assert!(self.checked().is_subset(&self.durable), "checked and not durable");
        assert!(self.told.is_subset(&self.checked()));
        let refused = self.fates.values().filter(|fate| **fate == Fate::Refused).count();
        let done = refused + self.given_back + self.forgotten;
        assert_eq!(self.held(), self.asked.len() - done);
    }

    /// Places that are taken.
    fn held(&self) -> usize {
        self.stats.shard_queue.get() as usize
    }

    fn come_to_rest(&mut self) {
        for _ in 0..=PLACES {
            self.finish(true);
            self.happen(Happening::Begin(3));
        }
        self.finish(true);
        self.tell();
        self.tell();
        assert!(self.ledger.is_idle() && self.ledger.has_no_news());
        assert!(self.gate.is_free(), "every place was given back");
        assert_eq!(self.told, self.checked(), "everything that flipped was told");
    }
}

proptest! {
    #[test]
    fn no_check_is_lost_or_answered_twice(happenings in happenings()) {
        let mut scene = Scene::new();
        for happening in happenings {
            scene.happen(happening);
            scene.account();
        }
        scene.come_to_rest();
        let refused = scene.fates.values().filter(|fate| **fate == Fate::Refused).count() as u64;
        let alone = scene.fates.len() as u64 - refused;
        prop_assert_eq!(alone, scene.stats.checks_duplicate.get(), "who came too late was told so");
    }
}

proptest! {
    /// Of three shards, each of which appends its part, whatever bits the parts before it end in.
    #[test]
    fn the_parts_of_a_range_are_put_together_where_shards_meet(
        checked in prop::collection::btree_set(1..=3 * BOXES_PER_TILE, 0..200),
        first in 1..=3 * BOXES_PER_TILE,
        boxes in 1..=3 * BOXES_PER_TILE,
    ) {
        let board = Arc::new(Board::new("test", 3 * BOXES_PER_TILE, 3).expect("a legal board"));
        let last = (first + boxes - 1).min(board.boxes());
        // The edges, too.
        let edges = [first, last, BOXES_PER_TILE, BOXES_PER_TILE + 1, 2 * BOXES_PER_TILE + 1];
        let checked: BTreeSet<u32> = checked.into_iter().chain(edges).collect();
        let Ok(range) = board.range(first, last) else { return Ok(()) };
        let (mut bits, mut ends) = (BytesMut::new(), Vec::new());
        let from = board.locate(range.first()).0;
        for index in board.shard_indexes().skip(from.index()) {
            let words = vec![0; words_for(board.boxes_in(index))];
            let bitmap = Bitmap::from_words(words, board.boxes_in(index)).expect("it fits");
            let mut ledger = Ledger::<u32>::new(index, board.clone(), bitmap);
            for id in &checked {
                let (shard, offset) = board.locate(board.box_id(*id).expect("a box"));
                if shard == index {
                    ledger.learn(offset);
                }
            }
            ends.push(ledger.read_part(range, &mut bits));
            if ends.last() == Some(&true) {
                break;
            }
        }
        prop_assert_eq!(ends.iter().filter(|end| **end).count(), 1, "it ends once");
        let is_set = |id: u32| bits[((id - first) / 8) as usize] >> ((id - first) % 8) & 1 == 1;
        let read: BTreeSet<u32> = (first..=last).filter(|id| is_set(*id)).collect();
        let wanted: BTreeSet<u32> = checked.range(first..=last).copied().collect();
        prop_assert_eq!(read, wanted);
    }
}

#[test]
fn a_check_that_is_overtaken_is_told_with_the_flip_and_not_refused_with_its_batch() {
    let mut scene = Scene::new();
    scene.happen(Happening::Check(7));
    scene.happen(Happening::Begin(5));
    scene.happen(Happening::Learn(vec![7]));
    scene.happen(Happening::Finish(false));
    assert!(scene.fates.is_empty(), "the store's refusal concerns nobody any more");
    scene.happen(Happening::Tell);
    assert_eq!(scene.fates[&0], Fate::Told);
    assert_eq!(scene.told, BTreeSet::from([7]));
}

/// The version of a tile is how often a bit of it has flipped: what was packed at one version is right as long as it lasts.
#[test]
fn a_range_that_is_all_of_a_tile_has_its_number_and_its_version() {
    let board = Arc::new(Board::new("test", 450_000, 2).expect("a legal board"));
    let (shard, stats) = (ShardIndex(1), Stats::default());
    let (first, boxes) = (board.first_id(shard).get(), board.boxes_in(shard));
    assert_eq!(boxes, 150_000, "a tile, and half of one");
    let bitmap = Bitmap::from_words(vec![0; words_for(boxes)], boxes).expect("it fits");
    let mut ledger: Ledger<u32> = Ledger::new(shard, board.clone(), bitmap);
    let (second, last) = (first + BOXES_PER_TILE, first + boxes - 1);
    let whole = |ledger: &Ledger<u32>, first, last| {
        ledger.whole_tile(board.range(first, last).expect("a legal range"))
    };
    assert_eq!(whole(&ledger, first, second - 1), Some((0, 0)));
    assert_eq!(whole(&ledger, second, last), Some((1, 0)), "all that there is of it");
    for (first, last) in [
        (first, first + 9),
        (first + 1, second),
        (second, last - 1),
        (second + 1, last),
        (first - 1, second - 2),
    ] {
        assert_eq!(whole(&ledger, first, last), None, "{first} to {last}");
    }
    for (offset, version) in [(5, 1), (5, 1), (49_999, 2), (7, 3)] {
        ledger.learn_all(vec![Offset(BOXES_PER_TILE + offset)], &stats);
        assert_eq!(whole(&ledger, second, last), Some((1, version)));
    }
    assert_eq!(whole(&ledger, first, second - 1), Some((0, 0)));
}

#[test]
fn a_ledger_is_at_rest_when_nothing_waits_and_nothing_is_to_be_told() {
    let mut scene = Scene::new();
    let before = scene.ledger.generation();
    let rests = |scene: &Scene| (scene.ledger.is_idle(), scene.ledger.has_no_news());
    assert_eq!(rests(&scene), (true, true));
    scene.happen(Happening::Check(3));
    assert_eq!(rests(&scene), (false, true));
    scene.happen(Happening::Begin(1));
    assert_eq!(rests(&scene), (false, true));
    scene.happen(Happening::Finish(true));
    assert_eq!(rests(&scene), (true, false));
    scene.happen(Happening::Tell);
    assert_eq!(rests(&scene), (true, true));
    scene.ledger.forget();
    assert_ne!(scene.ledger.generation(), before, "another board");
}
