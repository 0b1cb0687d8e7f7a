//! One flush, encoded once for everybody, and the parts of it that one session wants.

use std::hint::black_box;

use actors::{broadcaster::batch::Batch, protocol::UPDATE_FRAME_BYTES};
use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crate::scattered;

/// Updates in a flush of 20 ms: 50, 1,000, 10,000 and 100,000 checks a second.
const UPDATES: [usize; 4] = [1, 20, 200, 2000];

pub fn group(criterion: &mut Criterion) {
    encode(criterion);
    by_id(criterion);
    frames_at(criterion);
}

fn ids(count: usize) -> Vec<u32> {
    scattered(1_000_000_000).take(count).map(|index| index + 1).collect()
}

/// All frames in one buffer, beside the message per update that it replaces.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/encode");
    for count in UPDATES {
        let ids = ids(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("baseline: a Vec each", count), |bencher| {
            bencher.iter(|| {
                let frame = |(total, id): (u32, &u32)| {
                    let mut frame = Vec::with_capacity(UPDATE_FRAME_BYTES);
                    frame.extend([0x82, 8]);
                    frame.extend(total.to_le_bytes());
                    frame.extend(id.to_le_bytes());
                    frame
                };
                (1..).zip(&ids).map(frame).collect::<Vec<_>>()
            });
        });
        group.bench_function(BenchmarkId::new("encode", count), |bencher| {
            let clone = || ids.clone();
            bencher.iter_batched(clone, |ids| Batch::encode(0, ids), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// The order that scoped sessions search in, beside sorting the ids alone.
fn by_id(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/by_id");
    for count in UPDATES {
        let ids = ids(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("baseline: sort the ids", count), |bencher| {
            let sort = |mut ids: Vec<u32>| {
                ids.sort_unstable();
                ids
            };
            bencher.iter_batched(|| ids.clone(), sort, BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("by_id", count), |bencher| {
            let batch = || Batch::encode(0, ids.clone());
            let sorted = |batch: Batch| {
                batch.by_id();
                batch
            };
            bencher.iter_batched(batch, sorted, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Every tenth update of a large batch, beside a copy of as many bytes.
fn frames_at(criterion: &mut Criterion) {
    let batch = Batch::encode(0, ids(2000));
    let positions: Vec<u32> = (0..2000).step_by(10).collect();
    let bytes = vec![0xA5; positions.len() * UPDATE_FRAME_BYTES];
    let mut group = criterion.benchmark_group("batch/frames_at");
    group.throughput(Throughput::Elements(positions.len() as u64));
    group.bench_function("baseline: memcpy", |bencher| {
        bencher.iter(|| BytesMut::from(black_box(&bytes[..])).freeze());
    });
    group.bench_function("200 of 2,000", |bencher| bencher.iter(|| batch.frames_at(&positions)));
    group.finish();
}
