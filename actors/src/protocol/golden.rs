//! The server's half of `tests/golden/frames.json`, which the page's codec is held to as well: what
//! one side writes the other reads, byte for byte, without either of them being asked.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::{
    ClientMessage, Refusal, begin_range_frame, pulse_frame, put_update_frame, range_frame_bytes,
    refused_frame, total_frame,
};
use crate::{
    board::{Board, Offset},
    broadcaster::census::Overview,
    shard::bitmap::Bitmap,
};

fn golden(part: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../../../tests/golden/frames.json"))
        .expect("the file is JSON");
    let entries = file[part].as_array().cloned().unwrap_or_default();
    assert!(!entries.is_empty(), "nothing under {part}");
    entries
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex is a string").as_bytes();
    assert_eq!(hex.len() % 2, 0, "whole bytes");
    let digit = |at: usize| char::from(hex[at]).to_digit(16).expect("a hex digit") as u8;
    (0..hex.len()).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a u32")
}

fn board() -> Board {
    Board::new("golden", 1_000_000_000, 50).expect("a legal board")
}

#[test]
fn the_server_writes_the_golden_frames() {
    for entry in golden("server") {
        let frame = written(&entry["meaning"]);
        let payload = bytes(&entry["hex"]);
        assert!(frame.ends_with(&payload), "{}: {frame:02x?}", entry["name"]);
        assert_eq!(frame[..], bytes(&entry["frame"]), "{}", entry["name"]);
    }
}

/// The frame with that meaning.
fn written(meaning: &Value) -> Bytes {
    match meaning["kind"].as_str().expect("a kind") {
        "total" => total_frame(number(&meaning["total"])),
        "update" => {
            let mut frame = BytesMut::new();
            put_update_frame(&mut frame, number(&meaning["total"]), number(&meaning["id"]));
            frame.freeze()
        }
        "refused" => refused_frame(number(&meaning["id"]), refusal(&meaning["reason"])),
        "range" => range(meaning),
        "pulse" => pulse(meaning),
        other => panic!("unknown kind {other}"),
    }
}

fn refusal(reason: &Value) -> Refusal {
    Refusal::ALL
        .into_iter()
        .find(|refusal| *refusal as u64 == reason.as_u64().expect("a number"))
        .expect("a known reason")
}

/// As a shard answers: from its bitmap, padded to the shortest mask.
fn range(meaning: &Value) -> Bytes {
    let (first, boxes) = (number(&meaning["first"]), number(&meaning["boxes"]));
    let range = board().range(first, first + boxes - 1).expect("a legal range");
    let words = vec![0; boxes.div_ceil(64) as usize];
    let mut bitmap = Bitmap::from_words(words, boxes).expect("an empty bitmap");
    for id in meaning["checked"].as_array().expect("a list") {
        assert!(bitmap.insert(Offset(number(id) - first)), "{id} comes twice");
    }
    let mut frame = begin_range_frame(range);
    bitmap.extract(Offset(0), boxes, &mut frame);
    frame.resize(range_frame_bytes(boxes), 0);
    frame.freeze()
}

fn pulse(meaning: &Value) -> Bytes {
    let tiles = meaning["tiles"].as_array().expect("a list").iter();
    let count = |tile: &Value| (number(&tile["tile"]) as u16, number(&tile["checked"]));
    let tiles: Vec<_> = tiles.map(count).collect();
    pulse_frame(number(&meaning["total"]), number(&meaning["players"]), &tiles)
}

#[test]
fn the_server_writes_the_golden_overviews() {
    for entry in golden("overview") {
        let meaning = &entry["meaning"];
        let checked = meaning["checked"].as_array().expect("a list").iter().map(number);
        let overview = Overview {
            boxes: number(&meaning["boxes"]),
            total: number(&meaning["total"]),
            checked: checked.collect(),
        };
        assert_eq!(overview.encode(), bytes(&entry["hex"]), "{}", entry["name"]);
    }
}

#[test]
fn the_server_reads_what_golden_clients_say() {
    let board = board();
    for entry in golden("client") {
        let meaning = &entry["meaning"];
        let expected = match meaning["kind"].as_str() {
            Some("check") => ClientMessage::Check(
                board.box_id(number(&meaning["id"])).expect("a box of the board"),
            ),
            Some("ask") => ClientMessage::Range(
                board
                    .range(number(&meaning["first"]), number(&meaning["last"]))
                    .expect("a range of the board"),
            ),
            other => panic!("unknown kind {other:?}"),
        };
        let read = ClientMessage::decode(&board, &bytes(&entry["hex"]));
        assert_eq!(read, Ok(expected), "{}", entry["name"]);
    }
}

#[test]
fn the_server_refuses_golden_nonsense_for_the_stated_reason() {
    for entry in golden("bad") {
        let read = ClientMessage::decode(&board(), &bytes(&entry["hex"]));
        let close = read.expect_err("it makes no sense");
        assert_eq!(close.reason, entry["reason"].as_str().expect("a reason"), "{}", entry["name"]);
        assert_eq!(close.code, 1008, "{}", entry["name"]);
    }
}
