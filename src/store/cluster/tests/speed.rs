//! What credits cost Redis. Tiny in an ordinary test run; with real figures in a release build:
//!
//! `cargo test --release --lib store::cluster::tests::speed -- --ignored --nocapture`

use std::time::Instant;

use actors::store::batch::{Checks, OpenBatch};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use xtask::process::cpu_seconds;

use super::*;
use crate::store::contract::credits::user;

fn redis_cpu() -> f64 {
    cpu_seconds(cluster().nodes().iter().filter_map(xtask::redis::Node::pid)).expect("they run")
}

/// Every shard keeps one batch of `batch` random boxes in flight, each box checked by one of `users` users; 0: by nobody.
async fn checks(length: Duration, users: u64, batch: u32) -> f64 {
    let board = Board::new(&OwnBoard::new().0, 50_000_000, 50).expect("a legal board");
    let options = Options { lines: 4, ..options(&board) };
    let store = Arc::new(ClusterStore::open(options).await.expect("the store opens"));
    let (start, before) = (Instant::now(), redis_cpu());
    let shards = board.shard_indexes().map(|shard| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(u64::from(shard.0));
            let mut sent = 0;
            while start.elapsed() < length {
                let mut checks = Checks::default();
                for _ in 0..batch {
                    let number = if users == 0 { 0 } else { random.random_range(1..=users) };
                    checks.push(Offset(random.random_range(0..1_000_000)), user(number));
                }
                store.commit(shard, OpenBatch::new(checks)).await.expect("the store is up");
                sent += u64::from(batch);
            }
            sent
        })
    });
    let mut sent = 0;
    for shard in shards.collect::<Vec<_>>() {
        sent += shard.await.expect("no panic");
    }
    let (took, cpu) = (start.elapsed(), redis_cpu() - before);
    let per_million = cpu * 1e6 / sent as f64;
    println!(
        "{users:>6} users, batches of {batch}: {:>7.0} checks/s, Redis {per_million:.2} CPU-s per million",
        sent as f64 / took.as_secs_f64(),
    );
    store.close().await.expect("all is saved");
    per_million
}

#[tokio::test]
async fn the_benchmarks_run() {
    for users in [0, 10] {
        assert!(checks(Duration::from_millis(300), users, 170).await > 0.0);
    }
}

#[tokio::test]
#[ignore = "measures for a long time: docs/BENCHMARKS.md has the command"]
async fn redis_cpu_of_a_check() {
    for round in 1..=3 {
        println!("round {round}");
        for (users, batch) in
            [(0, 170), (20, 170), (1_000, 170), (100_000, 170), (0, 8), (1_000, 8)]
        {
            checks(Duration::from_secs(8), users, batch).await;
        }
    }
}
