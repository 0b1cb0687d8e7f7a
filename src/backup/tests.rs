//! The format as a whole: what comes back, and that nothing broken does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Header, Summary, boxes_in, bytes_for, bytes_max,
    encoder::Encoder,
    reader::{BadBackup, Reader},
    tiles_of,
};

/// Tile → its bits, for tiles with a checked box.
type Contents = BTreeMap<u32, Vec<u8>>;

fn header(boxes: u32) -> Header {
    Header { name: "main".into(), boxes, created_s: 1_700_000_000 }
}

fn contents(boxes: u32, ids: &[u32]) -> Contents {
    let mut tiles = Contents::new();
    for id in ids {
        let (tile, offset) = (id / 100_000, id % 100_000);
        let bits = tiles.entry(tile).or_insert_with(|| vec![0; bytes_for(boxes_in(tile, boxes))]);
        bits[(offset / 8) as usize] |= 1 << (offset % 8);
    }
    tiles
}

fn encode(boxes: u32, tiles: &Contents) -> (Vec<u8>, Summary) {
    let mut out = vec![];
    let mut encoder = Encoder::begin(header(boxes), &mut out);
    for tile in 0..tiles_of(boxes) {
        let empty = vec![0; bytes_for(boxes_in(tile, boxes))];
        encoder.tile(tile, tiles.get(&tile).unwrap_or(&empty), &mut out);
    }
    let summary = encoder.end(&mut out);
    (out, summary)
}

fn decode(bytes: &[u8]) -> Result<(Contents, Summary), BadBackup> {
    let mut reader = Reader::open(bytes)?;
    let (mut tiles, mut bits) = (Contents::new(), vec![]);
    while let Some(tile) = reader.next(&mut bits)? {
        tiles.insert(tile, bits.clone());
    }
    let summary = reader.summary().expect("the end was read").clone();
    Ok((tiles, summary))
}

/// All three codings, an empty tile between them and a last tile that is no whole byte.
fn sample() -> Vec<u8> {
    let mut ids = vec![3, 700];
    ids.extend(100_000..150_000);
    ids.extend((0..45).map(|n| 300_000 + n * n % 61));
    encode(300_061, &contents(300_061, &ids)).0
}

#[test]
fn an_empty_board_is_a_header_and_a_footer() {
    let (bytes, summary) = encode(1_000_000_000, &Contents::new());
    assert_eq!(bytes.len(), 25 + 4 + 4 + 41 + 4);
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(decode(&bytes).expect("whole"), (Contents::new(), summary));
}

#[test]
fn a_full_board_is_a_few_bytes_a_tile() {
    let tiles: Contents = (0..20).map(|tile| (tile, vec![0xFF; 12_500])).collect();
    let (bytes, summary) = encode(2_000_000, &tiles);
    assert!(bytes.len() < 500, "{} bytes", bytes.len());
    assert_eq!(summary.checked, 2_000_000);
    assert_eq!(decode(&bytes).expect("whole").0, tiles);
}

#[test]
fn every_byte_that_changes_is_noticed_and_said_where() {
    let sound = sample();
    decode(&sound).expect("whole");
    for position in 0..sound.len() {
        // Every bit of every byte, and every other byte in its place for the structure.
        let masks: &[u8] =
            if position % 97 < 30 { &[1, 2, 4, 8, 16, 32, 64, 128] } else { &[1, 0x80, 0xFF] };
        for mask in masks {
            let mut bytes = sound.clone();
            bytes[position] ^= mask;
            let error = match decode(&bytes) {
                Err(error) => error,
                Ok(_) => panic!("byte {position} ^ {mask:#04x} went unnoticed"),
            };
            match error {
                BadBackup::Damaged { at, .. } => {
                    assert!(at <= position as u64, "byte {position}: said to be at {at}");
                }
                BadBackup::NotABackup => assert!(position < 8),
                BadBackup::Version(_) => assert!((8..12).contains(&position)),
                // A length that grew.
                BadBackup::CutOff { .. } => {}
                BadBackup::Io { .. } => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_noticed() {
    let sound = sample();
    for end in 0..sound.len() {
        match decode(&sound[..end]) {
            Err(BadBackup::CutOff { at, .. }) => assert_eq!(at, end as u64),
            Err(BadBackup::NotABackup) if end == 0 => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn what_follows_the_end_is_noticed() {
    let mut bytes = sample();
    let end = bytes.len() as u64;
    bytes.push(0);
    assert!(matches!(decode(&bytes), Err(BadBackup::Damaged { at, .. }) if at == end));
}

#[test]
fn other_files_and_versions_are_told_apart_from_damage() {
    assert!(matches!(decode(b""), Err(BadBackup::NotABackup)));
    assert!(matches!(decode(b"hello"), Err(BadBackup::NotABackup)));
    assert!(matches!(decode(&[0; 100_000]), Err(BadBackup::NotABackup)));
    let mut newer = sample();
    newer[8] = 2;
    let said = decode(&newer).expect_err("another version").to_string();
    assert!(said.contains("format 2") && said.contains("format 1"), "{said}");
}

#[test]
fn blocks_of_another_file_do_not_fit_in() {
    // Equal layout, other boxes: each block is sound in itself.
    let (a, _) = encode(300_000, &contents(300_000, &[1, 100_001, 200_001]));
    let (b, _) = encode(300_000, &contents(300_000, &[2, 100_002, 200_002]));
    assert_eq!(a.len(), b.len());
    let block = 33 + 18..33 + 36;
    let mut spliced = a.clone();
    spliced[block.clone()].copy_from_slice(&b[block]);
    let said = decode(&spliced).expect_err("spliced").to_string();
    assert!(said.contains("whole file"), "{said}");
}

proptest! {
    #[test]
    fn what_is_written_comes_back(
        boxes in 1_u32..400_000,
        ids in proptest::collection::vec(0_u32..400_000, 0..300),
        stretch in (0_u32..400_000, 0_u32..150_000),
    ) {
        let mut ids: Vec<u32> = ids;
        ids.extend(stretch.0..stretch.0 + stretch.1);
        ids.retain(|id| *id < boxes);
        let tiles = contents(boxes, &ids);
        let (bytes, summary) = encode(boxes, &tiles);
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(summary.checked as usize, ids.len());
        prop_assert_eq!(summary.bytes, bytes.len() as u64);
        prop_assert!(summary.bytes <= bytes_max(boxes));
        let (found, told) = decode(&bytes).expect("whole");
        prop_assert_eq!(found, tiles);
        prop_assert_eq!(told, summary);
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = sample();
        bytes.truncate(33);
        bytes.extend(noise);
        prop_assert!(decode(&bytes).is_err());
    }
}
