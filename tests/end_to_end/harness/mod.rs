//! What every end-to-end test shares: a server process on free ports, a client, and cleaning up.
//!
//! The server is the real binary, configured by environment alone; it is killed when dropped.

pub mod browser;
pub mod client;
pub mod cluster;
pub mod crowd;
pub mod living;
pub mod nginx;
pub mod origin;
pub mod painting;
pub mod person;
pub mod prometheus;
pub mod proxy;
pub mod server;
pub mod swarm;
pub mod site;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Boxes of the board that players play on.
pub const BILLION: u32 = 1_000_000_000;

/// Boxes of a tile.
pub const TILE: u32 = 100_000;

/// Columns of a tile on the map.
pub const TILE_COLUMNS: u32 = 400;

/// Longest time any single thing is waited for; far more than it takes, so that only a hang fails. A server that
/// starts on two cores beside thirty other processes took 20 s. Less than the minute of timeouts that tests set
/// so that they never come.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Polls `condition` until it yields something, and fails naming `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition)
}

/// Polls `condition` until it yields something, and fails naming `what` after `limit`.
pub fn within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets a flag when it is dropped: threads that go on until then end, however the test that started them does.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An address for somebody who cannot be told to take any port that is free. No outgoing connection, of which
/// the tests beside have hundreds, is given that port before it is listened on.
pub fn free_address() -> SocketAddr {
    ([127, 0, 0, 1], xtask::redis::claim_ports(&[0]).expect("a free port")).into()
}

/// Whether the long forms were asked for (`cargo xtask test --long`).
pub fn long() -> bool {
    std::env::var_os("BILLION_TEST_LONG").is_some()
}

/// The seed of a random test: from the environment to replay a failure, else from the clock.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("BILLION_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("the clock is past 1970").as_nanos() as u64
    });
    println!("{test}: BILLION_TEST_SEED={seed} replays this");
    seed
}
