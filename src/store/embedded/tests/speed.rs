//! How fast checks become durable and how fast a full board comes back. Tiny in an ordinary test
//! run; with real figures in a release build:
//!
//! `cargo test --release --lib store::embedded::tests::speed -- --ignored --nocapture`
//!
//! `STORE_BENCH_DIR` chooses the disk.

use actors::board::ShardIndex;

use super::*;
use crate::store::contract::credits::user;

fn billion(boxes: u32) -> Board {
    Board::new("billion", boxes, 50).expect("a legal board")
}

fn bench_folder() -> Folder {
    match std::env::var("STORE_BENCH_DIR") {
        Ok(path) => Folder(tempfile::tempdir_in(path).expect("a writable folder")),
        Err(_) => folder(),
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Every shard keeps one batch of 256 random ids in flight for `length`, each checked by one of `users`; 0: by nobody.
async fn durable_checks(length: Duration, board: Board, log_bytes: u64, users: u32) {
    let folder = bench_folder();
    let options = Options { log_bytes, ..Options::new(folder.0.path(), board.clone()) };
    let store = Arc::new(EmbeddedStore::open(options).expect("an empty folder"));
    let start = Instant::now();
    let tasks = board.shard_indexes().map(|shard| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut random = Random::of(u64::from(shard.0));
            let boxes = store.board.boxes_in(shard);
            let mut times = Vec::new();
            while start.elapsed() < length {
                let mut checks = Checks::default();
                for _ in 0..256 {
                    let number = if users == 0 { 0 } else { 1 + random.below(users) };
                    checks.push(Offset(random.below(boxes)), user(number.into()));
                }
                let sent = Instant::now();
                store.commit(shard, OpenBatch::new(checks)).await.expect("the store is up");
                times.push(sent.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await.expect("no panic"));
    }
    let took = start.elapsed();
    times.sort();
    let checks = times.len() as f64 * 256.0;
    println!(
        "{users} users: {:.0} durable checks/s over {took:.1?}: commit p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        checks / took.as_secs_f64(),
        percentile(&times, 50),
        percentile(&times, 99),
        times[times.len() - 1],
    );
    let file = folder.0.path().join(format!("{}.redb", board.name()));
    let before = Instant::now();
    store.close().await.expect("all is saved");
    println!("closed in {:.2?}", before.elapsed());
    let size = file.metadata().expect("a file").len() as f64 / 1e6;
    recover(&folder, &board, &format!("after that run ({size:.0} MB file)")).await;
}

/// Opens, loads every shard, and says how long it took.
async fn recover(folder: &Folder, board: &Board, what: &str) {
    let start = Instant::now();
    let store = EmbeddedStore::open(Options::new(folder.0.path(), board.clone()));
    let store = store.expect("a sound file");
    let opened = start.elapsed();
    let mut set = 0_u64;
    for load in board.shard_indexes().map(|shard| store.load(shard)).collect::<Vec<_>>() {
        let words = load.await.expect("the store is up");
        set += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    }
    let total = start.elapsed();
    println!("recovery {what}: {total:.2?} (open {opened:.2?}), {set} boxes set");
    store.close().await.expect("all is saved");
}

/// Sets a box in every byte of the board, so that every chunk exists.
async fn full_board(board: Board) {
    let folder = bench_folder();
    let options = Options { log_bytes: 1, ..Options::new(folder.0.path(), board.clone()) };
    let store = EmbeddedStore::open(options).expect("an empty folder");
    for shard in board.shard_indexes() {
        let offsets: Vec<_> = (0..board.boxes_in(shard)).step_by(8).map(Offset).collect();
        store.commit(shard, offsets.into()).await.expect("the store is up");
    }
    // With a log limit of 1 byte the next commits carry whole passes.
    let shard = ShardIndex(0);
    for _ in 0..3 {
        store.commit(shard, vec![Offset(0)].into()).await.expect("the store is up");
    }
    store.close().await.expect("all is saved");
    recover(&folder, &board, "of a full board").await;
    // As after kill -9: the file was in use when the machine copied it, with no commit under way.
    let store = EmbeddedStore::open(Options::new(folder.0.path(), board.clone()));
    let store = store.expect("a sound file");
    store.commit(shard, vec![Offset(1)].into()).await.expect("the store is up");
    let killed = bench_folder();
    let name = format!("{}.redb", board.name());
    std::fs::copy(folder.0.path().join(&name), killed.0.path().join(&name)).expect("room");
    store.close().await.expect("all is saved");
    recover(&killed, &board, "of a full board that was not closed").await;
}

#[tokio::test]
async fn the_benchmarks_run() {
    for users in [0, 1_000] {
        durable_checks(Duration::from_millis(200), billion(1_350_007), 10_000, users).await;
    }
    full_board(billion(1_350_007)).await;
}

/// Only measured; never beside other tests.
mod timed {
    use super::*;

    #[tokio::test]
    #[ignore = "measures for a long time: docs/BENCHMARKS.md has the command"]
    async fn durable_checks_per_second() {
        for users in [0, 1_000, 100_000, 0, 1_000, 100_000] {
            let board = billion(1_000_000_000);
            let log = Options::LOG_BYTES_DEFAULT;
            durable_checks(Duration::from_secs(20), board, log, users).await;
        }
    }

    #[tokio::test]
    #[ignore = "measures for a long time: docs/BENCHMARKS.md has the command"]
    async fn recovery_of_a_full_board() {
        full_board(billion(1_000_000_000)).await;
    }
}
