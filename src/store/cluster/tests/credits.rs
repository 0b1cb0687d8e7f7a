//! What only this store has to do for credits: nodes that race, calls that arrive twice, resets, and keys that are not ours.

use std::collections::{BTreeMap, BTreeSet};

use actors::store::batch::{Checks, OpenBatch};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::*;
use crate::store::{
    cluster::{admin::Admin, keys::Keys, stats::result},
    contract::credits::{counters, user},
};

async fn open(board: &Board) -> ClusterStore {
    ClusterStore::open(options(board)).await.expect("the store opens")
}

/// A batch of which every box is asked for by the same user.
fn batch(offsets: impl IntoIterator<Item = u32>, number: u64) -> OpenBatch {
    let mut checks = Checks::default();
    offsets.into_iter().for_each(|offset| checks.push(Offset(offset), user(number)));
    OpenBatch::new(checks)
}

/// Credits by user, of all days.
async fn by_user(store: &ClusterStore) -> BTreeMap<UserId, u64> {
    let mut sums = BTreeMap::new();
    for (key, count) in counters(store).await {
        *sums.entry(key.user).or_default() += count;
    }
    sums
}

/// Runs a command on whichever node serves `key`.
fn command(key: &str, words: &[&str]) -> Reply {
    let replies = cluster().nodes().iter().map(|node| node.call(words).expect("it answers"));
    let moved = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("MOVED"));
    replies.into_iter().find(|reply| !moved(reply)).unwrap_or_else(|| panic!("nobody has {key}"))
}

/// Which node's batch comes first is up to Redis; that each box is credited to one of the two is not.
#[tokio::test]
async fn nodes_that_race_for_the_same_boxes_credit_each_once() {
    let board = Board::new(&OwnBoard::new().0, 200_000, 2).expect("a legal board");
    let nodes = [Arc::new(open(&board).await), Arc::new(open(&board).await)];
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut asked = [(); 2].map(|()| BTreeSet::new());
    for _ in 0..40 {
        let shard = ShardIndex(random.random_range(0..2));
        // Two thirds in common.
        let first = random.random_range(0..9000);
        let batches = [first..first + 300, first + 100..first + 400];
        let commits = [0, 1].map(|which| {
            asked[which].extend(batches[which].clone().map(|offset| (shard, offset)));
            nodes[which].commit(shard, batch(batches[which].clone(), 1 + which as u64))
        });
        let [one, other] = commits;
        let (one, other) = tokio::join!(one, other);
        one.and(other).expect("the store is up");
    }
    let sums = by_user(&nodes[0]).await;
    let all: BTreeSet<_> = asked[0].union(&asked[1]).collect();
    let in_all: u64 = sums.values().sum();
    assert_eq!(in_all, all.len() as u64, "each box once");
    for (which, asked) in asked.iter().enumerate() {
        let credited = sums[&user(1 + which as u64).expect("somebody")];
        assert!((1..=asked.len() as u64).contains(&credited), "{credited} of {}", asked.len());
    }
    let stored = crate::store::contract::contents(&*nodes[1]).await;
    assert_eq!(stored.len(), all.len());
    for node in nodes {
        node.close().await.expect("all is saved");
    }
}

/// A master stands still for longer than anybody waits for an answer: the batch is sent again, and all of them arrive.
#[tokio::test]
async fn a_batch_that_arrives_more_than_once_is_credited_once() {
    let board = Board::new(&OwnBoard::new().0, 100_000, 1).expect("a legal board");
    let mut options = options(&board);
    options.access.response_timeout = Duration::from_millis(300);
    let store = ClusterStore::open(options).await.expect("the store opens");
    store.commit(ShardIndex(0), batch(0..10, 1)).await.expect("the store is up");
    let lane = &store.shared.lanes[0];
    for node in cluster().nodes() {
        let paused = node.call(&["CLIENT", "PAUSE", "1500", "WRITE"]).expect("it answers");
        paused.accepted().expect("it pauses");
    }
    let failed = || store.shared.stats.requests.get_or_create(&result(false)).get();
    let before = failed();
    store.commit(ShardIndex(0), batch(5..200, 2)).await.expect("in the end");
    assert!(failed() > before, "it was tried again");
    // What was sent and not answered arrives before this.
    command(&lane.keys.state, &["HGET", &lane.keys.state, "count"]);
    let expected = [(1, 10), (2, 190)].map(|(number, count)| (user(number).expect("one"), count));
    assert_eq!(by_user(&store).await, BTreeMap::from(expected));
    store.close().await.expect("all is saved");
}

/// Who was first on a board that was reset was first all the same; and is again on the new one.
#[tokio::test]
async fn a_reset_leaves_credits_as_they_were() {
    let board = Board::new(&OwnBoard::new().0, 100_000, 1).expect("a legal board");
    let store = open(&board).await;
    store.commit(ShardIndex(0), batch(0..10, 1)).await.expect("the store is up");
    store.close().await.expect("all is saved");
    Admin::open(&options(&board)).await.expect("it opens").reset().await.expect("it is reset");
    let store = open(&board).await;
    assert_eq!(by_user(&store).await, BTreeMap::from([(user(1).expect("one"), 10)]));
    store.commit(ShardIndex(0), batch(5..8, 1)).await.expect("the store is up");
    assert_eq!(by_user(&store).await, BTreeMap::from([(user(1).expect("one"), 13)]));
    store.close().await.expect("all is saved");
}

/// A key of another type refuses the batch before anything of it is written: else its box would be set, and never credited.
#[tokio::test]
async fn a_batch_whose_credits_cannot_be_written_changes_nothing() {
    let board = Board::new(&OwnBoard::new().0, 100_000, 1).expect("a legal board");
    let store = open(&board).await;
    let credits = Keys::of(board.name(), ShardIndex(0)).credits;
    let set = command(&credits, &["SET", &credits, "somebody else's"]);
    set.accepted().expect("it is set");
    store.commit(ShardIndex(0), batch([3], 1)).await.expect_err("it cannot be credited");
    assert_eq!(crate::store::contract::contents(&store).await, BTreeSet::new());
    store.commit(ShardIndex(0), batch([4], 0)).await.expect("nobody is to be credited");
    command(&credits, &["DEL", &credits]).accepted().expect("it is gone");
    store.commit(ShardIndex(0), batch([3], 1)).await.expect("the store is up");
    assert_eq!(by_user(&store).await, BTreeMap::from([(user(1).expect("one"), 1)]));
    store.close().await.expect("all is saved");
}
