//! Finding those whom a batch concerns: what a hub does for its `v=2` sessions at each flush.

use std::{cell::Cell, hint::black_box, rc::Rc};

use actors::{board::tile_of, broadcaster::batch::Batch, worker::viewers::Viewers};
use criterion::{BenchmarkId, Criterion, Throughput};

use super::scattered;

/// Sessions of one worker.
const SESSIONS: u32 = 9_500;

/// Tiles that each looks at.
const WATCHED: usize = 4;

/// Tiles of a full board.
const TILES: u32 = 10_000;

/// Updates in a batch: 20 ms of 1,000 and of 10,000 checks a second.
const UPDATES: [usize; 2] = [20, 200];

struct Viewer {
    number: u32,
    tiles: Vec<u32>,
    found: Cell<u32>,
}

/// Beside asking every session.
pub fn group(criterion: &mut Criterion) {
    let mut tiles = scattered(TILES);
    let viewers: Vec<Rc<Viewer>> = (0..SESSIONS)
        .map(|number| {
            let mut tiles: Vec<u32> = tiles.by_ref().take(WATCHED).collect();
            tiles.sort_unstable();
            Rc::new(Viewer { number, tiles, found: Cell::new(0) })
        })
        .collect();
    let mut index = Viewers::default();
    for viewer in &viewers {
        viewer.tiles.iter().for_each(|tile| index.watch(*tile, viewer.number, viewer));
    }
    let mut group = criterion.benchmark_group("viewers/find");
    for count in UPDATES {
        let ids: Vec<u32> = scattered(1_000_000_000).take(count).map(|at| at + 1).collect();
        let batch = Batch::encode(0, ids);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("baseline: ask everybody", count), |bencher| {
            bencher.iter(|| {
                let tiles = black_box(&batch).tiles();
                let looks = |viewer: &Rc<Viewer>| {
                    viewer.tiles.iter().any(|tile| tiles.binary_search(tile).is_ok())
                };
                viewers.iter().filter(|viewer| looks(viewer)).cloned().collect::<Vec<_>>()
            });
        });
        let mut walk = 0;
        group.bench_function(BenchmarkId::new("find", count), |bencher| {
            bencher.iter(|| {
                walk += 1;
                let is_new = |viewer: &Viewer| viewer.found.replace(walk) != walk;
                index.find(&black_box(&batch).tiles(), |_| false, is_new)
            });
        });
    }
    group.finish();
    moves(criterion, &mut index, &viewers);
}

/// A session pans by a tile, alone there or in a crowd.
fn moves(criterion: &mut Criterion, index: &mut Viewers<u32, Viewer>, viewers: &[Rc<Viewer>]) {
    let crowded = tile_of(1_000_000_000) + 1;
    viewers.iter().for_each(|viewer| index.watch(crowded, viewer.number, viewer));
    let mut group = criterion.benchmark_group("viewers/move");
    for (case, tile) in [("alone", crowded + 1), ("in a crowd", crowded)] {
        let viewer = &viewers[viewers.len() / 2];
        group.bench_function(case, |bencher| {
            bencher.iter(|| {
                index.unwatch(black_box(tile), viewer.number);
                index.watch(black_box(tile), viewer.number, viewer);
            });
        });
    }
    group.finish();
}
