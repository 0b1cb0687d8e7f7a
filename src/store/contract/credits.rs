//! What every store promises about credits: each first check of a user counts once, whatever else happens.

use std::collections::{BTreeMap, BTreeSet};

use actors::{
    board::{BoxId, Offset, ShardIndex},
    player::UserId,
    store::{
        StoreError,
        batch::{Checks, OpenBatch},
        credits::{Counted, CreditCursor, CreditKey, CreditRange, Credits, Day},
    },
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{Both, Place, board, contents};

/// Days on which boxes are checked here. Stores ask for them, so each is a function.
const DAYS: [(Day, fn() -> Day); 3] =
    [(Day(20_000), || Day(20_000)), (Day(20_001), || Day(20_001)), (Day(20_002), || Day(20_002))];

/// A user by number; 0 is nobody.
pub fn user(number: u64) -> Option<UserId> {
    // Bits in every byte, as real ones have.
    UserId::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1)
}

/// The memory of a server, and an exact ledger of who was first.
#[derive(Default)]
pub struct Game {
    pub known: BTreeSet<BoxId>,
    pub ledger: BTreeMap<CreditKey, u64>,
}

impl Game {
    /// Checks boxes of a shard, each by the user of that number, as a shard does: those that are known are not asked for.
    pub async fn check(
        &mut self,
        store: &dyn Both,
        day: Day,
        shard: ShardIndex,
        asked: &[(u32, u64)],
    ) -> Result<(), StoreError> {
        let id = |offset: u32| store.board().id(shard, Offset(offset));
        let mut checks = Checks::default();
        let mut first = BTreeMap::new();
        for (offset, number) in asked {
            if !self.known.contains(&id(*offset)) {
                checks.push(Offset(*offset), user(*number));
                first.entry(*offset).or_insert(*number);
            }
        }
        store.commit(shard, OpenBatch::new(checks)).await?;
        for (offset, number) in first {
            self.known.insert(id(offset));
            if let Some(user) = user(number) {
                *self.ledger.entry(CreditKey { day, user }).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// All counters, those of all ranges together; each must come once, since nothing changes meanwhile.
pub async fn counters(store: &dyn Credits) -> BTreeMap<CreditKey, u64> {
    let mut sums = BTreeMap::new();
    for range in (0..store.credit_ranges()).map(CreditRange) {
        for (key, count) in in_range(store, range).await {
            *sums.entry(key).or_default() += count;
        }
    }
    sums
}

async fn in_range(store: &dyn Credits, range: CreditRange) -> BTreeMap<CreditKey, u64> {
    let mut found = BTreeMap::new();
    let mut from = CreditCursor::default();
    loop {
        let page = store.all_credits(range, from).await.expect("the store is up");
        for (key, count) in page.counted {
            let before = found.insert(key, count);
            assert!(before.is_none_or(|before| before == count), "{key:?} changed by itself");
        }
        match page.next {
            Some(next) => from = next,
            None => return found,
        }
    }
}

pub async fn a_box_is_credited_to_the_first_who_asked_and_only_once(place: &impl Place) {
    let (day, today) = DAYS[0];
    let shard = ShardIndex(1);
    let mut game = Game::default();
    let store = place.open_on(&board(place), today).await;
    // Twice by one, by another later, by nobody first, and by nobody alone.
    let asked = [(5, 1), (5, 1), (5, 2), (6, 2), (7, 0), (7, 1), (8, 0), (64, 1)];
    game.check(&*store, day, shard, &asked).await.expect("the store is up");
    let expected =
        BTreeMap::from([(1, 2), (2, 1)].map(|(number, count)| (key(day, number), count)));
    assert_eq!(game.ledger, expected);
    assert_eq!(counters(&*store).await, expected);
    game.check(&*store, day, shard, &[(5, 2), (6, 1), (7, 2), (9, 2)]).await.expect("up");
    assert_eq!(counters(&*store).await, game.ledger);
    store.close().await.expect("all is saved");
    let store = place.open_on(&board(place), today).await;
    assert_eq!(counters(&*store).await, game.ledger, "after a restart");
    assert_eq!(contents(&*store).await, game.known);
    store.close().await.expect("all is saved");
}

fn key(day: Day, number: u64) -> CreditKey {
    CreditKey { day, user: user(number).expect("somebody") }
}

pub async fn counters_that_a_commit_has_changed_are_named_once(place: &impl Place) {
    let (day, today) = DAYS[1];
    let mut game = Game::default();
    let store = place.open_on(&board(place), today).await;
    assert_eq!(store.changed_credits().keys, BTreeSet::new());
    game.check(&*store, day, ShardIndex(0), &[(1, 1), (2, 2), (3, 0)]).await.expect("up");
    game.check(&*store, day, ShardIndex(3), &[(1, 2)]).await.expect("the store is up");
    let changed = store.changed_credits();
    assert!(!changed.is_cut);
    let users: BTreeSet<_> = changed.keys.iter().map(|(_, key)| *key).collect();
    assert_eq!(users, BTreeSet::from([key(day, 1), key(day, 2)]));
    let mut sums = BTreeMap::<CreditKey, u64>::new();
    for (range, key) in changed.keys {
        assert!(range.0 < store.credit_ranges());
        let counts = store.credits(range, vec![key]).await.expect("the store is up");
        *sums.entry(key).or_default() += counts[0];
    }
    assert_eq!(sums, game.ledger);
    assert_eq!(store.changed_credits().keys, BTreeSet::new(), "named already");
    let unknown = store.credits(CreditRange(0), vec![key(day, 9), key(day, 1)]).await;
    assert_eq!(unknown.expect("the store is up"), [0, 1], "in the order asked for");
    store.close().await.expect("all is saved");
}

/// More of them than fit into any page, in one range and in one batch.
pub async fn all_counters_are_found_however_many_there_are(place: &impl Place) {
    let (day, today) = DAYS[2];
    let mut game = Game::default();
    let store = place.open_on(&board(place), today).await;
    let asked: Vec<(u32, u64)> = (0..3000).map(|nth| (nth * 7, 1 + u64::from(nth))).collect();
    game.check(&*store, day, ShardIndex(2), &asked).await.expect("the store is up");
    assert_eq!(counters(&*store).await.len(), 3000);
    assert_eq!(counters(&*store).await, game.ledger);
    store.close().await.expect("all is saved");
}

pub async fn a_counter_is_forgotten_unless_it_has_changed(place: &impl Place) {
    let (day, today) = DAYS[0];
    let (shard, mut game) = (ShardIndex(0), Game::default());
    let store = place.open_on(&board(place), today).await;
    let asked: Vec<(u32, u64)> = (0..600).map(|nth| (nth, 1 + u64::from(nth) / 2)).collect();
    game.check(&*store, day, shard, &asked).await.expect("the store is up");
    let seen: Vec<Counted> = in_range(&*store, CreditRange(0)).await.into_iter().collect();
    assert_eq!(seen.len(), 300);
    game.check(&*store, day, shard, &[(1000, 7)]).await.expect("the store is up");
    let removed = store.forget_credits(CreditRange(0), seen.clone()).await;
    assert_eq!(removed.expect("the store is up"), 299);
    let left = BTreeMap::from([(key(day, 7), 3)]);
    assert_eq!(counters(&*store).await, left);
    let again = store.forget_credits(CreditRange(0), seen).await;
    assert_eq!(again.expect("the store is up"), 0, "nothing is as it was seen");
    store.close().await.expect("all is saved");
    let store = place.open_on(&board(place), today).await;
    assert_eq!(counters(&*store).await, left, "after a restart");
    store.close().await.expect("all is saved");
}

/// A history from a seed: few boxes, so that many ask for the same; several days, with a restart after each.
pub async fn a_random_history_is_credited_exactly(place: &impl Place) {
    let seed = std::env::var("STORE_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("STORE_SEED is a number"));
    println!("replay with STORE_SEED={seed}");
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut game, mut asked_in_all) = (Game::default(), 0);
    for (day, today) in DAYS {
        let store = place.open_on(&board(place), today).await;
        for _ in 0..25 {
            let shard = ShardIndex(random.random_range(0..store.board().shards()));
            let count = random.random_range(0..400);
            let ask = |random: &mut Xoshiro256PlusPlus| {
                // A fifth of the checks are nobody's.
                let number = random.random_range(0..40_u64);
                (random.random_range(0..3000), if number < 8 { 0 } else { number })
            };
            let asked: Vec<_> = (0..count).map(|_| ask(&mut random)).collect();
            asked_in_all += asked.len();
            game.check(&*store, day, shard, &asked).await.expect("the store is up");
        }
        assert_eq!(counters(&*store).await, game.ledger, "on day {day:?}");
        store.close().await.expect("all is saved");
    }
    let store = place.open_on(&board(place), DAYS[0].1).await;
    assert_eq!(counters(&*store).await, game.ledger);
    assert_eq!(contents(&*store).await, game.known);
    let credited: u64 = game.ledger.values().sum();
    assert!(
        game.known.len() < asked_in_all && credited < game.known.len() as u64,
        "all cases came"
    );
    store.close().await.expect("all is saved");
}
