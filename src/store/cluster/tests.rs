//! The store against a real Redis Cluster: the contract of every store, and what this one adds.

mod credits;
mod failover;
mod speed;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actors::{
    board::{Board, Offset, ShardIndex},
    player::UserId,
    store::{BoxFuture, Feed, Store, Words},
};
use redis::cluster::NodeAddress;
use tempfile::TempDir;
use xtask::{
    guardian::{Folder, Guardian},
    redis::{RedisCluster, Reply},
};

use super::{ClusterStore, Options, access::Access};
use crate::store::{
    contract::{Both, Place},
    credits::Today,
    window::Window,
};

/// One cluster for all tests of this process, which ends with it.
struct Shared {
    redis: RedisCluster,
    _guardian: Guardian,
}

pub fn cluster() -> &'static RedisCluster {
    static SHARED: LazyLock<Shared> = LazyLock::new(|| {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().map(TempDir::keep);
        let folder = folder.expect("a temporary folder");
        let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove).expect("sh runs");
        let redis = RedisCluster::start_anywhere(guardian.folder()).expect("a cluster forms");
        Shared { redis, _guardian: guardian }
    });
    &SHARED.redis
}

/// A board of its own in the shared cluster.
struct OwnBoard(String);

impl OwnBoard {
    fn new() -> Self {
        static BOARDS: AtomicU32 = AtomicU32::new(0);
        Self(format!("board-{}", BOARDS.fetch_add(1, Ordering::Relaxed)))
    }
}

/// How any cluster is reached.
pub fn access_to(redis: &RedisCluster) -> Access {
    let seeds = redis.addresses().into_iter();
    Access {
        setting: "redis.addresses",
        seeds: seeds.map(|seed| NodeAddress::new(seed.ip().to_string(), seed.port())).collect(),
        remap: Default::default(),
        username: None,
        password: None,
        tls: None,
        connect_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_secs(5),
    }
}

fn options(board: &Board) -> Options {
    Options {
        access: access_to(cluster()),
        board: board.clone(),
        lines: 2,
        window: Window::none(),
        commit_timeout: Duration::from_secs(20),
        wait_replicas: 0,
        start_timeout: Duration::from_secs(20),
        today: crate::wall::today,
    }
}

impl Place for OwnBoard {
    fn open_on(&self, board: &Board, today: Today) -> BoxFuture<Arc<dyn Both>> {
        let options = Options { today, ..options(board) };
        Box::pin(async move {
            let store = ClusterStore::open(options).await.expect("the store opens");
            Arc::new(store) as Arc<dyn Both>
        })
    }

    fn name(&self) -> String {
        self.0.clone()
    }
}

crate::contract_tests!(OwnBoard::new());

/// Remembers what it is told.
#[derive(Default)]
struct Memory(std::sync::Mutex<std::collections::BTreeSet<(u32, u32)>>);

impl Feed for Memory {
    fn learned(&self, shard: ShardIndex, offsets: Vec<Offset>) -> BoxFuture<()> {
        let offsets = offsets.into_iter().map(|offset| (shard.0, offset.0));
        self.0.lock().expect("unpoisoned").extend(offsets);
        Box::pin(async {})
    }

    fn snapshot(&self, shard: ShardIndex) -> BoxFuture<Option<Words>> {
        let mut words = vec![0; 100_000_usize.div_ceil(64)];
        let known = self.0.lock().expect("unpoisoned").clone();
        for (_, offset) in known.into_iter().filter(|(of, _)| *of == shard.0) {
            words[offset as usize / 64] |= 1 << (offset % 64);
        }
        Box::pin(async move { Some(words) })
    }

    fn reset(&self) -> BoxFuture<()> {
        self.0.lock().expect("unpoisoned").clear();
        Box::pin(async {})
    }
}

/// A batch is sent, nobody hears what became of it, the key range is compared with Redis, and only
/// then does the batch arrive there: delayed by a network that lost packets.
#[tokio::test]
async fn a_batch_that_arrives_after_it_was_given_up_reaches_its_own_node() {
    let board = Board::new(&OwnBoard::new().0, 100_000, 1).expect("a legal board");
    let store = ClusterStore::open(options(&board)).await.expect("the store opens");
    store.load(ShardIndex(0)).await.expect("it loads");
    let memory = Arc::new(Memory::default());
    store.feed(memory.clone());
    let shared = &store.shared;
    let lane = &shared.lanes[0];
    let mut synced = lane.synced.subscribe();
    // Given up before anything was sent, which is the same as: nothing has arrived so far.
    drop(super::Unknown(Some(lane)));
    synced.changed().await.expect("it is compared");
    let late = shared.scripts.apply(&lane.keys, shared.sender(1), &[Offset(7)]);
    let lines = shared.lines();
    lines.call(0, lane.keys.slot, &late, 0).await.expect("it arrives");
    let deadline = std::time::Instant::now() + Duration::from_secs(8);
    while !memory.0.lock().expect("unpoisoned").contains(&(0, 7)) {
        assert!(std::time::Instant::now() < deadline, "Redis has a box that memory never gets");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.close().await.expect("all is saved");
}
