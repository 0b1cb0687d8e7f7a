//! What waits for a socket: queued, offered and taken.

use std::{collections::VecDeque, io::IoSlice};

use actors::{
    broadcaster::batch::Batch,
    session::outbox::{Kind, Outbox},
};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::scattered;

/// A socket that keeps up, and one with as many pieces as one write offers.
const PIECES: [usize; 2] = [1, 16];

/// Batches of 20 updates through an outbox, taken by the socket at once or all but half of the
/// front one, beside a bare queue.
pub fn group(criterion: &mut Criterion) {
    let batch = Batch::encode(0, scattered(1_000_000_000).take(20).collect());
    let mut group = criterion.benchmark_group("outbox");
    for pieces in PIECES {
        group.throughput(Throughput::Elements(pieces as u64));
        group.bench_function(BenchmarkId::new("baseline: a queue", pieces), |bencher| {
            bencher.iter(|| {
                let mut queue = VecDeque::new();
                (0..pieces).for_each(|_| queue.push_back(batch.frames().clone()));
                queue.iter().map(Bytes::len).sum::<usize>()
            });
        });
        for (name, halves) in [("taken whole", 1), ("taken in halves", 2)] {
            let mut outbox = Outbox::default();
            group.bench_function(BenchmarkId::new(name, pieces), |bencher| {
                bencher.iter(|| {
                    for _ in 0..pieces {
                        outbox.push(Kind::Other, batch.frames().clone());
                    }
                    drain(&mut outbox, pieces * batch.frames().len() / halves)
                });
            });
        }
    }
    group.finish();
}

/// Offers and takes `portion` bytes at a time until nothing is left; in how many writes.
fn drain(outbox: &mut Outbox, portion: usize) -> usize {
    let mut writes = 0;
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = outbox.slices(&mut slices);
        let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        outbox.wrote(offered.min(portion));
        writes += 1;
    }
    writes
}
