//! Micro-benchmarks of the plain structs: what one step on the way of a check costs, beside a
//! yardstick in the same run, so that what counts is the ratio between the two.
//!
//! `cargo xtask bench micro` measures. `cargo test` runs each benchmark's body once instead, so that
//! none of them rots ([`tested`]). One file per subject, in the order a check meets them; a new one
//! exports `group` and is named twice below.

mod tested;
mod frame;
mod bitmap;
mod batch;
mod census;
mod view;
mod viewers;
mod outbox;
mod limits;
mod hub;
mod post;
#[path = "../../tests/deaf/mod.rs"]
mod deaf;
#[path = "../../tests/nowhere/mod.rs"]
mod nowhere;

use std::{process::ExitCode, time::Duration};

use actors::board::Board;
use criterion::{Criterion, criterion_group};

criterion_group! {
    name = all;
    config = quickly();
    targets = frame::group, bitmap::group, batch::group, census::group, view::group, viewers::group,
        outbox::group, limits::group, hub::group, post::group
}

fn main() -> ExitCode {
    if !tested::is_wanted() {
        all();
        Criterion::default().configure_from_args().final_summary();
        return ExitCode::SUCCESS;
    }
    tested::run()
}

/// Two seconds for each: these run for nanoseconds, and the ratios were the same with eight.
fn quickly() -> Criterion {
    Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
}

/// The full board: a billion boxes, 50 shards of 20 million.
fn board() -> Board {
    Board::new("bench", 1_000_000_000, 50).expect("a legal board")
}

/// The same numbers below `limit` in every run, without order: what players check.
fn scattered(limit: u32) -> impl Iterator<Item = u32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        // xorshift64: no crate, and cheap beside whatever is measured.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 32) * u64::from(limit)) >> 32) as u32
    })
}
