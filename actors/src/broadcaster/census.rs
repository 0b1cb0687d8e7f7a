//! How many boxes of each tile are checked: what the overview shows. Plain data of the broadcaster,
//! which counts a box when it numbers it, so that the tiles always add up to the announced total.
//!
//! Once a second it gives out what changed as a [`Pulse`] and, if anything did, the whole as an
//! [`Overview`]. A tile waits in line for its pulse, so a busy board delays a tile and forgets none.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    board::{BOXES_PER_TILE, Board, tile_of},
    protocol::{PULSE_TILES_MAX, pulse_frame},
    shard::bitmap::Bitmap,
};

/// The checked boxes of every tile.
#[derive(Debug)]
pub struct Census {
    checked: Vec<u32>,
    /// Tiles that changed since they were last in a pulse, longest waiting first.
    changed: VecDeque<u16>,
    is_changed: Vec<bool>,
}

impl Census {
    /// Counts a board as it was loaded; `bitmaps` are its shards in order.
    pub fn of<'a>(board: &Board, bitmaps: impl IntoIterator<Item = &'a Bitmap>) -> Self {
        // Shards are whole tiles, so theirs one after the other are the board's.
        let checked: Vec<u32> =
            bitmaps.into_iter().flat_map(|bitmap| bitmap.counts(BOXES_PER_TILE)).collect();
        debug_assert_eq!(checked.len(), board.tiles() as usize);
        let is_changed = vec![false; checked.len()];
        Self { checked, changed: VecDeque::new(), is_changed }
    }

    /// Unchecks everything: the board was reset.
    pub fn clear(&mut self) {
        self.checked.fill(0);
        self.changed.clear();
        self.is_changed.fill(false);
    }

    /// Checked boxes of the whole board.
    pub fn total(&self) -> u32 {
        self.checked.iter().sum()
    }

    /// Counts newly checked boxes. About 2 ns a box.
    pub fn count(&mut self, ids: &[u32]) {
        for id in ids {
            let tile = tile_of(*id);
            self.checked[tile as usize] += 1;
            self.mark(tile as u16);
        }
    }

    fn mark(&mut self, tile: u16) {
        if !std::mem::replace(&mut self.is_changed[usize::from(tile)], true) {
            self.changed.push_back(tile);
        }
    }

    /// Takes the tiles that waited longest, up to a pulse full of them.
    pub fn pulse(&mut self, sequence: u32, total: u32, players: u32) -> Pulse {
        let count = self.changed.len().min(PULSE_TILES_MAX);
        let tiles = self.changed.drain(..count).map(|tile| {
            self.is_changed[usize::from(tile)] = false;
            (tile, self.checked[usize::from(tile)])
        });
        Pulse { sequence, total, players, tiles: tiles.collect() }
    }

    /// A pulse did not reach everybody: its tiles go into a later one again.
    pub fn take_back(&mut self, pulse: &Pulse) {
        for (tile, _) in &pulse.tiles {
            self.mark(*tile);
        }
    }

    /// The state of every tile.
    pub fn overview(&self, board: &Board) -> Overview {
        Overview { boxes: board.boxes(), total: self.total(), checked: self.checked.clone().into() }
    }
}

/// What changed on the board within about a second, shared by all hubs.
#[derive(Debug)]
pub struct Pulse {
    /// Its number; every pulse has one more than the one before.
    pub sequence: u32,
    /// The announced total when it was made. Not told to anybody before the updates it counts.
    pub total: u32,
    /// Players on this node.
    pub players: u32,
    /// Tiles and their checked boxes.
    pub tiles: Vec<(u16, u32)>,
}

impl Pulse {
    /// The frame, with the total its receivers have been told the updates of.
    pub fn frame(&self, total: u32) -> Bytes {
        pulse_frame(total, self.players, &self.tiles)
    }
}

/// How full every tile was at one moment: the body of `GET /overview`.
#[derive(Debug, PartialEq, Eq)]
pub struct Overview {
    /// Boxes of the board.
    pub boxes: u32,
    /// Checked boxes of the board: the sum of the tiles.
    pub total: u32,
    /// Checked boxes by tile.
    pub checked: Box<[u32]>,
}

/// Opens every overview: a name and the version of its format.
pub const OVERVIEW_MAGIC: &[u8; 4] = b"BXO1";

impl Overview {
    /// The bytes: magic, `boxes u32`, `total u32`, `tiles u32`, then the low, the middle and the high
    /// bytes of all tiles' counts. Three planes compress better than the numbers themselves: the
    /// high ones are nearly all 0.
    pub fn encode(&self) -> Vec<u8> {
        let tiles = self.checked.len();
        let mut bytes = Vec::with_capacity(16 + 3 * tiles);
        bytes.extend_from_slice(OVERVIEW_MAGIC);
        for word in [self.boxes, self.total, tiles as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for plane in 0..3 {
            bytes.extend(self.checked.iter().map(|checked| (checked >> (8 * plane)) as u8));
        }
        bytes
    }
}

const _: () = assert!(BOXES_PER_TILE < 1 << 24, "a tile's count fits three bytes");
const _: () = assert!(u32::MAX / BOXES_PER_TILE < 1 << 16, "a tile's number fits a u16");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::words_for;

    fn census(boxes: u32) -> (Board, Census) {
        let board = Board::new("test", boxes, 2).expect("a legal board");
        let bitmaps: Vec<Bitmap> = board
            .shard_indexes()
            .map(|shard| {
                let boxes = board.boxes_in(shard);
                Bitmap::from_words(vec![0; words_for(boxes)], boxes).expect("words that fit")
            })
            .collect();
        let census = Census::of(&board, &bitmaps);
        (board, census)
    }

    #[test]
    fn tiles_are_told_once_for_all_their_changes() {
        let (_, mut census) = census(250_000);
        census.count(&[1, 100_000, 100_001, 250_000, 2]);
        assert_eq!(census.pulse(1, 5, 7).tiles, [(0, 3), (1, 1), (2, 1)]);
        assert_eq!(census.pulse(2, 5, 7).tiles, [], "nothing changed since");
        census.count(&[3]);
        assert_eq!(census.pulse(3, 6, 7).tiles, [(0, 4)]);
        assert_eq!(census.total(), 6);
    }

    #[test]
    fn tiles_beyond_a_pulse_are_in_the_next_one_and_busy_ones_do_not_push_them_back() {
        let (_, mut census) = census(20_000_000);
        let one_of_each: Vec<u32> = (0..200).map(|tile| tile * 100_000 + 1).collect();
        census.count(&one_of_each);
        let first: Vec<u16> = census.pulse(1, 200, 0).tiles.iter().map(|(tile, _)| *tile).collect();
        assert_eq!(first, (0..128).collect::<Vec<u16>>());
        census.count(&[2]);
        let second: Vec<u16> =
            census.pulse(2, 201, 0).tiles.iter().map(|(tile, _)| *tile).collect();
        assert_eq!(second, (128..200).chain([0]).collect::<Vec<u16>>());
    }

    #[test]
    fn what_a_hub_did_not_take_comes_again() {
        let (_, mut census) = census(250_000);
        census.count(&[1, 200_001]);
        let lost = census.pulse(1, 2, 0);
        census.count(&[2]);
        census.take_back(&lost);
        assert_eq!(census.pulse(2, 3, 0).tiles, [(0, 2), (2, 1)]);
    }

    #[test]
    fn an_overview_is_three_planes_of_bytes() {
        let (board, mut census) = census(250_000);
        let ids: Vec<u32> = (1..=70_000).collect();
        census.count(&ids);
        census.count(&[250_000]);
        let bytes = census.overview(&board).encode();
        assert_eq!(bytes[..4], *b"BXO1");
        assert_eq!(bytes[4..16], [0x90, 0xD0, 3, 0, 0x71, 0x11, 1, 0, 3, 0, 0, 0]);
        // 70,000 = 0x011170
        assert_eq!(bytes[16..], [0x70, 0, 1, 0x11, 0, 0, 1, 0, 0]);
    }
}
