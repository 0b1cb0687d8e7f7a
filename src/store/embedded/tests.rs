//! Tests of the embedded store against real files: what only this store does. What every store
//! must do is in `store::contract`.

mod bulk;
mod credits;
mod damage;
mod full_disk;
mod kill;
mod lost_file;
mod model;
mod pace;
mod refusals;
mod return_to_service;
mod speed;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actors::{
    board::{Board, BoxId, Offset, ShardIndex},
    player::UserId,
    store::{
        BoxFuture, Feed, Store, StoreError, Words,
        batch::{Checks, OpenBatch},
    },
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tempfile::TempDir;

use super::{EmbeddedStore, Options};
use crate::store::{
    contract::{Both, Place, contents, credits::counters},
    credits::Today,
};

/// A folder with a database in it, whose checkpoint passes run all the time.
struct Folder(TempDir);

impl Place for Folder {
    fn open_on(&self, board: &Board, today: Today) -> BoxFuture<Arc<dyn Both>> {
        let options =
            Options { log_bytes: 2_000, today, ..Options::new(self.0.path(), board.clone()) };
        let store: Arc<dyn Both> = Arc::new(EmbeddedStore::open(options).expect("a sound folder"));
        Box::pin(async { store })
    }
}

fn folder() -> Folder {
    Folder(tempfile::tempdir().expect("a temporary folder"))
}

crate::contract_tests!(folder());

fn small_board() -> Board {
    Board::new("small", 1_350_007, 5).expect("a legal board")
}

fn open(folder: &Path, board: &Board) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(Options { log_bytes: 2_000, ..Options::new(folder, board.clone()) })
}

/// The message with which opening fails.
fn refusal(folder: &Path, board: &Board) -> String {
    match open(folder, board) {
        Err(StoreError::Unusable(text) | StoreError::InUse(text)) => text.to_string(),
        Err(other) => panic!("at opening, the wrong kind of error: {other:?}"),
        Ok(_) => panic!("the store opened"),
    }
}

/// Who checks a box in these tests: of nine boxes in a row each is another user's, and one nobody's. So what is stored
/// says how many credits there have to be.
fn user_of(id: BoxId) -> Option<UserId> {
    UserId::new(u64::from(id.get() % 9))
}

/// Has every box checked by its user. Like a shard, the caller leaves out what it knows to be durable.
async fn check_ids(store: &dyn Store, ids: &[BoxId]) -> Result<(), StoreError> {
    let mut shards = BTreeMap::<ShardIndex, Checks>::new();
    for id in ids {
        let (shard, offset) = store.board().locate(*id);
        shards.entry(shard).or_default().push(offset, user_of(*id));
    }
    for (shard, checks) in shards {
        store.commit(shard, OpenBatch::new(checks)).await?;
    }
    Ok(())
}

/// What is in the database of `folder`, all of it checked by [`check_ids`]: credited exactly.
async fn stored_and_credited(folder: &Path, board: &Board) -> Result<BTreeSet<BoxId>, StoreError> {
    let store = open(folder, board)?;
    let ids = contents(&store).await;
    let mut expected = BTreeMap::<UserId, u64>::new();
    for user in ids.iter().filter_map(|id| user_of(*id)) {
        *expected.entry(user).or_default() += 1;
    }
    let mut credited = BTreeMap::<UserId, u64>::new();
    for (key, count) in counters(&store).await {
        *credited.entry(key.user).or_default() += count;
    }
    assert_eq!(credited, expected, "of {} boxes", ids.len());
    store.close().await.expect("all is saved");
    Ok(ids)
}

async fn commit_ids(store: &dyn Store, ids: &[BoxId]) -> Result<(), StoreError> {
    let located = ids.iter().map(|id| store.board().locate(*id));
    let mut shards = BTreeMap::<_, Vec<Offset>>::new();
    for (shard, offset) in located {
        shards.entry(shard).or_default().push(offset);
    }
    for (shard, offsets) in shards {
        store.commit(shard, offsets.into()).await?;
    }
    Ok(())
}

/// Everything in the database of `folder`, opened for this alone.
async fn stored(folder: &Path, board: &Board) -> Result<BTreeSet<BoxId>, StoreError> {
    let store = open(folder, board)?;
    let ids = contents(&store).await;
    store.close().await.expect("all is saved");
    Ok(ids)
}

/// Remembers what a store says it learned.
#[derive(Default)]
struct Learned(Mutex<Vec<(ShardIndex, Vec<Offset>)>>);

impl Feed for Learned {
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()> {
        self.0.lock().expect("no panic").push((shard, offsets));
        Box::pin(async {})
    }

    fn snapshot(&self, _: ShardIndex) -> BoxFuture<Option<Words>> {
        unreachable!("an embedded store compares nothing")
    }

    fn reset(&self) -> BoxFuture<()> {
        unreachable!("an embedded store is not reset while it is served")
    }
}

impl Learned {
    fn ids(&self, board: &Board) -> BTreeSet<BoxId> {
        let learned = self.0.lock().expect("no panic");
        let ids = learned
            .iter()
            .flat_map(|(shard, offsets)| offsets.iter().map(|offset| board.id(*shard, *offset)));
        ids.collect()
    }
}

async fn until(what: &str, deadline: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a seed decides: the same on every machine and in every version of its crate.
struct Random(Xoshiro256PlusPlus);

impl Random {
    /// A seed from the clock, or the one in `STORE_SEED`, printed to be seen when a test fails.
    fn seeded() -> Self {
        let seed = match std::env::var("STORE_SEED") {
            Ok(seed) => seed.parse().expect("STORE_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs()),
        };
        println!("replay with STORE_SEED={seed}");
        Self::of(seed)
    }

    fn of(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end)
    }

    fn ids(&mut self, board: &Board, count: u32) -> Vec<BoxId> {
        let id = |raw| board.box_id(raw + 1).expect("below the board's boxes");
        (0..count).map(|_| id(self.below(board.boxes()))).collect()
    }
}
