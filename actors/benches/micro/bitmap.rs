//! A shard's bits: what a range answer copies, and what a check flips.

use std::hint::black_box;

use actors::{
    board::{BOXES_PER_TILE, Offset},
    shard::bitmap::{Bitmap, append_bits},
    store::words_for,
};
use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::scattered;

/// One of 50 on a board of a billion.
const SHARD_BOXES: u32 = 20_000_000;

/// A tile's bits: 100,000 / 8.
const TILE_BYTES: usize = 12_500;

pub fn group(criterion: &mut Criterion) {
    extract(criterion);
    append(criterion);
    count(criterion);
    insert(criterion);
}

fn bitmap(word: impl FnMut() -> u64) -> Bitmap {
    let words = std::iter::repeat_with(word).take(words_for(SHARD_BOXES)).collect();
    Bitmap::from_words(words, SHARD_BOXES).expect("words of that many boxes")
}

fn dense() -> Bitmap {
    let mut halves = scattered(u32::MAX);
    let mut half = move || u64::from(halves.next().expect("there is always one more"));
    bitmap(move || half() << 32 | half())
}

/// 100,000 boxes that begin so many bits into a word, into the same buffer again and again, beside a
/// copy of as many bytes. Every other tile begins 32 bits into a word.
fn extract(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bitmap/extract");
    group.throughput(Throughput::Bytes(TILE_BYTES as u64));
    let mut out = BytesMut::with_capacity(TILE_BYTES + 8);
    let bytes = vec![0xA5; TILE_BYTES];
    group.bench_function("baseline: memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&bytes));
        });
    });
    for (name, bitmap) in [("dense", dense()), ("empty", bitmap(|| 0))] {
        for shift in [0, 1, 7, 32, 63] {
            let first = Offset(64 * 64 + shift);
            group.bench_function(BenchmarkId::new(name, shift), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&bitmap).extract(first, BOXES_PER_TILE, &mut out);
                });
            });
        }
    }
    group.finish();
}

/// The second part of a range over two shards, behind a first part of some boxes.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bitmap/append_bits");
    group.throughput(Throughput::Bytes(TILE_BYTES as u64));
    let part = vec![0xA5; TILE_BYTES];
    let mut out = BytesMut::with_capacity(TILE_BYTES + 8);
    for bits in [8_u32, 1, 7] {
        // Behind whole bytes it is a plain copy, the yardstick of the other two.
        let name = if bits == 8 { "baseline: memcpy, behind" } else { "behind" };
        group.bench_function(BenchmarkId::new(name, bits), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(&[1]);
                append_bits(&mut out, bits, black_box(&part));
            });
        });
    }
    group.finish();
}

/// The boxes of all tiles of a shard, as they are counted when a board was loaded.
fn count(criterion: &mut Criterion) {
    let bitmap = dense();
    let mut group = criterion.benchmark_group("bitmap/counts");
    group.throughput(Throughput::Bytes(u64::from(SHARD_BOXES) / 8));
    group.bench_function("baseline: count_ones", |bencher| {
        let words = bitmap.words();
        bencher.iter(|| words.iter().map(|word| word.count_ones()).sum::<u32>());
    });
    group.bench_function("200 tiles", |bencher| {
        bencher.iter(|| bitmap.counts(BOXES_PER_TILE).sum::<u32>());
    });
    group.finish();
}

/// What `Shard::learn` does to its bits: 1,000 boxes without order.
fn insert(criterion: &mut Criterion) {
    let offsets: Vec<u32> = scattered(SHARD_BOXES).take(1000).collect();
    let mut group = criterion.benchmark_group("bitmap/insert");
    group.throughput(Throughput::Elements(offsets.len() as u64));
    let mut words = vec![0_u64; words_for(SHARD_BOXES)];
    group.bench_function("baseline: set a bit", |bencher| {
        bencher.iter(|| {
            for offset in &offsets {
                words[(offset / 64) as usize] |= 1 << (offset % 64);
            }
        });
    });
    let mut bitmap = bitmap(|| 0);
    group.bench_function("insert", |bencher| {
        bencher.iter(|| offsets.iter().filter(|offset| bitmap.insert(Offset(**offset))).count());
    });
    group.finish();
}
