//! Counts of all tiles: what a flush adds to them, and what a second takes out.

use std::hint::black_box;

use actors::{
    board::BOXES_PER_TILE, broadcaster::census::Census, shard::bitmap::Bitmap, store::words_for,
};
use criterion::{Criterion, Throughput};

use crate::{board, scattered};

pub fn group(criterion: &mut Criterion) {
    count(criterion);
    pulse(criterion);
    overview(criterion);
}

fn census() -> Census {
    let board = board();
    let bitmaps: Vec<Bitmap> = board
        .shard_indexes()
        .map(|shard| {
            let boxes = board.boxes_in(shard);
            Bitmap::from_words(vec![0; words_for(boxes)], boxes).expect("words that fit")
        })
        .collect();
    Census::of(&board, &bitmaps)
}

/// The ids of a large flush, without order and all in one tile, beside bare counters.
fn count(criterion: &mut Criterion) {
    let everywhere: Vec<u32> = scattered(1_000_000_000).take(2000).map(|at| at + 1).collect();
    let one_tile: Vec<u32> = scattered(BOXES_PER_TILE).take(2000).map(|at| at + 1).collect();
    let mut group = criterion.benchmark_group("census/count");
    group.throughput(Throughput::Elements(everywhere.len() as u64));
    let mut counters = vec![0_u32; 10_000];
    group.bench_function("baseline: counters", |bencher| {
        bencher.iter(|| {
            for id in &everywhere {
                let counter = &mut counters[((id - 1) / BOXES_PER_TILE) as usize];
                *counter = counter.wrapping_add(1);
            }
        });
    });
    for (name, ids) in [("everywhere", everywhere), ("one tile", one_tile)] {
        let mut census = census();
        group.bench_function(name, |bencher| bencher.iter(|| census.count(&ids)));
    }
    group.finish();
}

/// A full pulse of tiles that changed since the last one, counting their change included, beside
/// collecting as many pairs.
fn pulse(criterion: &mut Criterion) {
    let ids: Vec<u32> = (0..128).map(|tile| tile * 7_000_000 + 1).collect();
    let mut group = criterion.benchmark_group("census/pulse");
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("baseline: collect", |bencher| {
        bencher.iter(|| {
            black_box(&ids).iter().map(|id| ((id / BOXES_PER_TILE) as u16, *id)).collect::<Vec<_>>()
        });
    });
    let mut census = census();
    group.bench_function("count and pulse", |bencher| {
        bencher.iter(|| {
            census.count(&ids);
            census.pulse(1, 500_000_000, 1000)
        });
    });
    group.finish();
}

/// All 10,000 tiles as the body of `GET /overview`, beside a copy of as many bytes.
fn overview(criterion: &mut Criterion) {
    let board = board();
    let mut census = census();
    census.count(&scattered(board.boxes()).take(100_000).map(|at| at + 1).collect::<Vec<_>>());
    let encoded = census.overview(&board).encode();
    let mut group = criterion.benchmark_group("census/overview");
    group.throughput(Throughput::Elements(u64::from(board.tiles())));
    group.bench_function("baseline: memcpy", |bencher| {
        bencher.iter(|| black_box(&encoded).clone());
    });
    group.bench_function("overview", |bencher| bencher.iter(|| census.overview(&board)));
    group.bench_function("encode", |bencher| {
        let overview = census.overview(&board);
        bencher.iter(|| overview.encode());
    });
    group.finish();
}
