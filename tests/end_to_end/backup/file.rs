//! The file format by another hand, from `docs/BACKUP-FORMAT.md` alone.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"\x89BXB\r\n\x1a\n";

/// A backup in which exactly `ids` are checked, every tile as a bitmap.
pub fn written(boxes: u32, name: &str, ids: &BTreeSet<u32>) -> Vec<u8> {
    let tiles = (0..boxes.div_ceil(100_000)).filter_map(|tile| {
        let (first, last) = (tile * 100_000 + 1, (tile * 100_000 + 100_000).min(boxes));
        let mut bits = vec![0; (last - first + 1).div_ceil(8) as usize];
        for id in ids.range(first..=last) {
            let bit = id - first;
            bits[(bit / 8) as usize] |= 1 << (bit % 8);
        }
        bits.iter().any(|byte| *byte != 0).then_some((tile, bits))
    });
    of_tiles(boxes, name, tiles)
}

/// A backup of these bitmaps of tiles with a checked box.
pub fn of_tiles(boxes: u32, name: &str, tiles: impl Iterator<Item = (u32, Vec<u8>)>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(1_u32.to_le_bytes());
    out.extend(boxes.to_le_bytes());
    out.extend(1_800_000_000_u64.to_le_bytes());
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
    let mut whole = crc32c::crc32c(&out);
    out.extend(whole.to_le_bytes());
    let mut digest = Sha256::new_with_prefix(boxes.to_le_bytes());
    let (mut count, mut checked) = (0_u32, 0_u32);
    for (tile, bits) in tiles {
        let set = bits.iter().map(|byte| byte.count_ones()).sum::<u32>();
        let mut block = vec![b'B'];
        block.extend(tile.to_le_bytes());
        block.extend(set.to_le_bytes());
        block.extend((bits.len() as u32).to_le_bytes());
        block.extend(&bits);
        whole = crc32c::crc32c_append(whole, &block);
        out.extend(&block);
        out.extend(crc32c::crc32c(&block).to_le_bytes());
        digest.update(tile.to_le_bytes());
        digest.update(&bits);
        count += 1;
        checked += set;
    }
    let mut end = vec![b'E'];
    end.extend(count.to_le_bytes());
    end.extend(checked.to_le_bytes());
    end.extend(digest.finalize());
    out.extend(&end);
    out.extend(crc32c::crc32c_append(whole, &end).to_le_bytes());
    out
}

/// The checked boxes of a sound backup.
pub fn checked(bytes: &[u8]) -> BTreeSet<u32> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(&bytes[..8], MAGIC);
    let boxes = word(12);
    let mut at = 25 + usize::from(bytes[24]) + 4;
    let mut ids = BTreeSet::new();
    while bytes[at] != b'E' {
        let (tile, length) = (word(at + 1), word(at + 9) as usize);
        let (start, last) = (tile * 100_000 + 1, (tile * 100_000 + 100_000).min(boxes));
        let body = &bytes[at + 13..at + 13 + length];
        let listed = positions(body);
        let before = ids.len();
        match bytes[at] {
            b'B' => ids.extend((start..=last).filter(|id| {
                let bit = id - start;
                body[(bit / 8) as usize] >> (bit % 8) & 1 == 1
            })),
            b'L' => ids.extend(listed.iter().map(|position| start + position)),
            b'R' => {
                for run in listed.chunks(2) {
                    let end = run.get(1).map_or(last + 1, |end| start + end);
                    ids.extend(start + run[0]..end);
                }
            }
            other => panic!("no coding {other}"),
        }
        assert_eq!(ids.len() - before, word(at + 5) as usize, "checked boxes of tile {tile}");
        at += 13 + length + 4;
    }
    assert_eq!(at + 45, bytes.len());
    ids
}

/// Numbers of seven bits a byte, each what is skipped since the position before.
fn positions(body: &[u8]) -> Vec<u32> {
    let (mut found, mut next, mut number, mut shift) = (vec![], 0, 0, 0);
    for byte in body {
        number |= u32::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            found.push(next + number);
            (next, number, shift) = (next + number + 1, 0, 0);
        }
    }
    found
}
