//! What every store promises, as tests that any implementation can run: implement [`Place`] and
//! invoke [`contract_tests!`].
//!
//! Each test gets a place of its own, opens it as often as it likes and closes it in between,
//! because a store is loaded before its first commit.

pub mod credits;

use std::{collections::BTreeSet, sync::Arc};

use actors::{
    board::{Board, BoxId, Offset, ShardIndex},
    store::{BoxFuture, Store, StoreError, StoreState, credits::Credits, words_for},
};

use crate::{store::credits::Today, wall};

/// A store as its users see it: shards, and who collects credits.
pub trait Both: Store + Credits {}

impl<S: Store + Credits> Both for S {}

/// Somewhere a store can keep one board, empty at first.
pub trait Place: Send + Sync {
    /// Opens the store on what earlier stores of this place have kept. Boxes are checked when `today` says.
    fn open_on(&self, board: &Board, today: Today) -> BoxFuture<Arc<dyn Both>>;

    /// The same, today.
    fn open(&self, board: &Board) -> BoxFuture<Arc<dyn Both>> {
        self.open_on(board, wall::today)
    }

    /// What the board is called: another name for each place if they share a server.
    fn name(&self) -> String {
        "contract".to_owned()
    }
}

/// Declares one test per promise; `$place` is evaluated for each.
#[macro_export]
macro_rules! contract_tests {
    ($place:expr) => {
        $crate::contract_tests!($place;
            a_new_store_is_empty
            what_was_committed_is_there_after_reopening
            duplicates_are_fine
            an_empty_commit_is_fine
            the_edges_of_every_shard_stay_apart
            commits_of_all_shards_at_once_all_arrive
            commits_are_refused_after_close
            closing_twice_is_fine
            the_number_of_shards_may_change
        );
        $crate::contract_tests!($place; in credits:
            a_box_is_credited_to_the_first_who_asked_and_only_once
            counters_that_a_commit_has_changed_are_named_once
            all_counters_are_found_however_many_there_are
            a_counter_is_forgotten_unless_it_has_changed
            a_random_history_is_credited_exactly
        );
    };
    ($place:expr; in credits: $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::contract::credits::$name(&$place).await;
        })*
    };
    ($place:expr; $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::contract::$name(&$place).await;
        })*
    };
}

/// A board of five shards whose last is shorter and ends within a word.
fn board(place: &impl Place) -> Board {
    board_in(place, 5)
}

fn board_in(place: &impl Place, shards: u32) -> Board {
    Board::new(&place.name(), 1_350_007, shards).expect("a legal board")
}

pub async fn a_new_store_is_empty(place: &impl Place) {
    let store = place.open(&board(place)).await;
    assert_eq!(store.board(), &board(place));
    assert_eq!(store.state(), StoreState::Up);
    assert_eq!(contents(&*store).await, BTreeSet::new());
    store.close().await.expect("all is saved");
}

pub async fn what_was_committed_is_there_after_reopening(place: &impl Place) {
    let mut expected = BTreeSet::new();
    for round in 0..3 {
        let store = place.open(&board(place)).await;
        assert_eq!(contents(&*store).await, expected, "round {round}");
        for shard in board(place).shard_indexes() {
            let offsets = [round, 63, 64, 70_001 + round * 64];
            commit(&*store, shard, &offsets).await.expect("the store is up");
            expected.extend(offsets.map(|offset| board(place).id(shard, Offset(offset))));
        }
        store.close().await.expect("all is saved");
    }
    let store = place.open(&board(place)).await;
    assert_eq!(contents(&*store).await, expected);
    store.close().await.expect("all is saved");
}

pub async fn duplicates_are_fine(place: &impl Place) {
    let shard = ShardIndex(1);
    let store = place.open(&board(place)).await;
    for _ in 0..3 {
        commit(&*store, shard, &[5, 5, 6, 5]).await.expect("the store is up");
    }
    store.close().await.expect("all is saved");
    let store = place.open(&board(place)).await;
    let expected = [5, 6].map(|offset| board(place).id(shard, Offset(offset)));
    assert_eq!(contents(&*store).await, BTreeSet::from(expected));
    store.close().await.expect("all is saved");
}

pub async fn an_empty_commit_is_fine(place: &impl Place) {
    let store = place.open(&board(place)).await;
    commit(&*store, ShardIndex(0), &[]).await.expect("nothing to fail at");
    store.close().await.expect("all is saved");
    let store = place.open(&board(place)).await;
    assert_eq!(contents(&*store).await, BTreeSet::new());
    store.close().await.expect("all is saved");
}

pub async fn the_edges_of_every_shard_stay_apart(place: &impl Place) {
    let board = board(place);
    let mut expected = BTreeSet::new();
    let store = place.open(&board).await;
    for shard in board.shard_indexes() {
        let last = board.boxes_in(shard) - 1;
        // Alternating ends: an edge that leaked into a neighbour would be seen.
        let offset = if shard.0 % 2 == 0 { last } else { 0 };
        commit(&*store, shard, &[offset]).await.expect("the store is up");
        expected.insert(board.id(shard, Offset(offset)));
    }
    store.close().await.expect("all is saved");
    let store = place.open(&board).await;
    assert_eq!(contents(&*store).await, expected);
    store.close().await.expect("all is saved");
}

pub async fn commits_of_all_shards_at_once_all_arrive(place: &impl Place) {
    let board = board(place);
    let store = place.open(&board).await;
    let tasks = board.shard_indexes().map(|shard| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..20 {
                commit(&*store, shard, &[round, round * 1_000]).await.expect("the store is up");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    store.close().await.expect("all is saved");
    let offsets = (0..20).flat_map(|round| [round, round * 1_000]);
    let expected: BTreeSet<BoxId> = offsets
        .flat_map(|offset| board.shard_indexes().map(move |shard| (shard, Offset(offset))))
        .map(|(shard, offset)| board.id(shard, offset))
        .collect();
    let store = place.open(&board).await;
    assert_eq!(contents(&*store).await, expected);
    store.close().await.expect("all is saved");
}

pub async fn commits_are_refused_after_close(place: &impl Place) {
    let store = place.open(&board(place)).await;
    store.close().await.expect("all is saved");
    let refused = commit(&*store, ShardIndex(0), &[1]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.state(), StoreState::Down(_)));
}

pub async fn closing_twice_is_fine(place: &impl Place) {
    let store = place.open(&board(place)).await;
    let both = tokio::join!(store.close(), store.close());
    assert!(matches!(both, (Ok(()), Ok(()))), "{both:?}");
    store.close().await.expect("all is saved");
}

/// A store may go on with the number of shards it was made with: its board tells.
pub async fn the_number_of_shards_may_change(place: &impl Place) {
    let mut expected = BTreeSet::new();
    for shards in [5, 1, 14, 3] {
        let wanted = board_in(place, shards);
        let store = place.open(&wanted).await;
        let board = store.board().clone();
        assert_eq!((board.name(), board.boxes()), (wanted.name(), wanted.boxes()));
        assert_eq!(contents(&*store).await, expected, "with {shards} shards wanted");
        for raw in [1, 99_999 + shards, 500_000, 500_001, board.boxes()] {
            let id = board.box_id(raw).expect("a box of the board");
            let (shard, offset) = board.locate(id);
            commit(&*store, shard, &[offset.0]).await.expect("the store is up");
            expected.insert(id);
        }
        store.close().await.expect("all is saved");
    }
}

async fn commit(store: &dyn Store, shard: ShardIndex, offsets: &[u32]) -> Result<(), StoreError> {
    let offsets: Vec<Offset> = offsets.iter().copied().map(Offset).collect();
    store.commit(shard, offsets.into()).await
}

/// Every box a freshly opened store has, read shard by shard.
pub async fn contents(store: &dyn Store) -> BTreeSet<BoxId> {
    let board = store.board().clone();
    let mut ids = BTreeSet::new();
    for shard in board.shard_indexes() {
        let words = store.load(shard).await.expect("the store is up");
        let boxes = board.boxes_in(shard);
        assert_eq!(words.len(), words_for(boxes));
        for (word, bits) in (0..).zip(words) {
            let mut bits = bits;
            while bits != 0 {
                let offset = word * 64 + bits.trailing_zeros();
                assert!(offset < boxes, "a bit past the last box is set");
                ids.insert(board.id(shard, Offset(offset)));
                bits &= bits - 1;
            }
        }
    }
    ids
}
