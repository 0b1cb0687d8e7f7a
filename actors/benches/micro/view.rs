//! What a `v=2` connection takes out of a batch.

use std::hint::black_box;

use actors::{
    board::{BOXES_PER_TILE, BoxRange},
    broadcaster::batch::Batch,
    session::view::View,
};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::{board, scattered};

/// Updates in a flush; half of them are in the tiles looked at.
const UPDATES: [usize; 3] = [20, 200, 2000];

/// Tiles looked at: what a screen shows, and the most there can be.
const TILES: [u32; 2] = [4, 16];

/// Own checks under way, none of them in the batch.
const OWN: u32 = 8;

/// Beside looking through the whole batch for each session.
pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("view/pick");
    for tiles in TILES {
        let ranges: Vec<BoxRange> = (0..tiles).filter_map(|tile| board().tile(tile * 2)).collect();
        let mut view = View::default();
        for range in &ranges {
            view.look_at(*range);
        }
        (0..OWN).filter_map(|own| board().box_id(900_000_000 + own)).for_each(|id| view.asked(id));
        for count in UPDATES {
            let ids: Vec<u32> =
                scattered(tiles * 2 * BOXES_PER_TILE).take(count).map(|at| at + 1).collect();
            let (batch, case) =
                (Batch::encode(0, ids.clone()), format!("{count} in {tiles} tiles"));
            let mut picked = Vec::with_capacity(count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("baseline: look through", &case), |bencher| {
                bencher.iter(|| {
                    picked.clear();
                    let seen = |id: u32| ranges.iter().any(|range| range.contains(id));
                    picked.extend((0..).zip(&ids).filter(|(_, id)| seen(**id)).map(|(at, _)| at));
                });
            });
            group.bench_function(BenchmarkId::new("pick", &case), |bencher| {
                bencher.iter(|| view.pick(black_box(batch.by_id()), &mut picked));
            });
        }
    }
    group.finish();
}
