//! The store against a real Redis Cluster: the contract of every store, and what this one adds.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actors::{
    board::Board,
    store::{BoxFuture, Store},
};
use redis::cluster::NodeAddress;
use tempfile::TempDir;
use xtask::{
    guardian::{Folder, Guardian},
    redis::RedisCluster,
};

use super::{ClusterStore, Options, access::Access};
use crate::store::contract::Place;

/// One cluster for all tests of this process, which ends with it.
struct Shared {
    redis: RedisCluster,
    _guardian: Guardian,
}

fn cluster() -> &'static RedisCluster {
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

fn access() -> Access {
    let seeds = cluster().addresses().into_iter();
    Access {
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
        access: access(),
        board: board.clone(),
        lines: 2,
        commit_timeout: Duration::from_secs(20),
        wait_replicas: 0,
        start_timeout: Duration::from_secs(20),
    }
}

impl Place for OwnBoard {
    fn open(&self, board: &Board) -> BoxFuture<Arc<dyn Store>> {
        let options = options(board);
        Box::pin(async move {
            let store = ClusterStore::open(options).await.expect("the store opens");
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn name(&self) -> String {
        self.0.clone()
    }
}

crate::contract_tests!(OwnBoard::new());
