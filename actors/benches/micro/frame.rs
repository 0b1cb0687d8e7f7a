//! Bytes from a client to messages, and messages to the bytes of an update.

use std::hint::black_box;

use actors::{
    protocol::{ClientMessage, UPDATE_FRAME_BYTES, pulse_frame, put_update_frame},
    session::frame::{Decoder, Event, FrameLimits, Step},
};
use bytes::BytesMut;
use criterion::{Criterion, Throughput};

use crate::{board, scattered};

const LIMITS: FrameLimits =
    FrameLimits { message_bytes: 1024, fragments: 16, text: None, deflate: false };

const FRAMES: usize = 1000;

pub fn group(criterion: &mut Criterion) {
    decode(criterion);
    message(criterion);
    update(criterion);
    pulse(criterion);
}

/// A thousand masked frames with `payload` bytes each. Decoding unmasks in place, so every other run
/// sees other payloads; they are not looked at, and no step depends on them.
fn masked(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in scattered(u32::MAX).take(FRAMES) {
        bytes.extend([0x82, 0x80 | payload as u8, 0x37, 0xFA, 0x21, 0x3D]);
        bytes.extend(value.to_le_bytes().iter().cycle().take(payload));
    }
    bytes
}

/// Frames of one read, beside unmasking as many payloads of which the place is known.
fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, payload) in [("check", 4), ("range", 8)] {
        let mut bytes = masked(payload);
        group.bench_function(format!("baseline: unmask, {name}"), |bencher| {
            bencher.iter(|| {
                for frame in bytes.chunks_exact_mut(6 + payload) {
                    let (header, payload) = frame.split_at_mut(6);
                    for (byte, mask) in payload.iter_mut().zip(header[2..].iter().cycle()) {
                        *byte ^= mask;
                    }
                }
            });
        });
        group.bench_function(name, |bencher| {
            let mut decoder = Decoder::default();
            bencher.iter(|| {
                let (mut at, mut messages) = (0, 0);
                while let Step::Taken(taken, event) =
                    decoder.step(&mut bytes[at..], LIMITS).expect("legal frames")
                {
                    messages += usize::from(matches!(event, Event::Message(..)));
                    at += taken;
                }
                assert_eq!(messages, FRAMES);
            });
        });
    }
    group.finish();
}

/// Payloads to messages, beside reading the first number of each.
fn message(criterion: &mut Criterion) {
    let board = board();
    let checks: Vec<[u8; 4]> =
        scattered(board.boxes()).take(FRAMES).map(|id| (id + 1).to_le_bytes()).collect();
    let ranges: Vec<[u8; 8]> = scattered(board.tiles())
        .take(FRAMES)
        .map(|tile| {
            let range = board.tile(tile).expect("a tile of the board");
            let (first, last) = (range.first().get(), range.last().get());
            (u64::from(last) << 32 | u64::from(first)).to_le_bytes()
        })
        .collect();
    let decode = |payload: &[u8]| ClientMessage::decode(&board, payload).is_ok();

    let mut group = criterion.benchmark_group("frame/message");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("baseline: read a number", |bencher| {
        bencher.iter(|| checks.iter().filter(|check| u32::from_le_bytes(**check) > 9).count());
    });
    group.bench_function("check", |bencher| {
        bencher.iter(|| checks.iter().filter(|check| decode(*check)).count());
    });
    group.bench_function("range", |bencher| {
        bencher.iter(|| ranges.iter().filter(|range| decode(*range)).count());
    });
    group.finish();
}

/// Update frames one after the other, beside a copy of as many bytes.
fn update(criterion: &mut Criterion) {
    let ids: Vec<u32> = scattered(1_000_000_000).take(FRAMES).collect();
    let mut frames = BytesMut::with_capacity(FRAMES * UPDATE_FRAME_BYTES);
    let bytes = [0xA5; FRAMES * UPDATE_FRAME_BYTES];

    let mut group = criterion.benchmark_group("frame/update");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("baseline: memcpy", |bencher| {
        bencher.iter(|| {
            frames.clear();
            frames.extend_from_slice(black_box(&bytes));
        });
    });
    group.bench_function("put_update_frame", |bencher| {
        bencher.iter(|| {
            frames.clear();
            for (total, id) in (1..).zip(&ids) {
                put_update_frame(&mut frames, total, *id);
            }
        });
    });
    group.finish();
}

/// A full pulse, beside a copy of its tiles.
fn pulse(criterion: &mut Criterion) {
    let tiles: Vec<(u16, u32)> = (0..128).map(|tile| (tile * 70, 12_345)).collect();
    let mut group = criterion.benchmark_group("frame/pulse");
    group.throughput(Throughput::Elements(tiles.len() as u64));
    group.bench_function("baseline: clone the tiles", |bencher| bencher.iter(|| tiles.clone()));
    group.bench_function("pulse_frame", |bencher| {
        bencher.iter(|| pulse_frame(500_000_000, 1000, black_box(&tiles)));
    });
    group.finish();
}
