//! Geometry of a board: box ids, tiles, shards and the arithmetic between them.
//!
//! Owns the newtypes that keep a 1-based box id apart from a 0-based offset. A [`Board`] is a
//! value that is handed around; nothing here is a constant or a global, because tests use small
//! boards and a node serves more than one.

use std::{fmt, ops::RangeInclusive};

use thiserror::Error;

/// Boxes in one tile: 12,500 bytes of bitmap, exactly one full range request.
pub const BOXES_PER_TILE: u32 = 100_000;

/// The largest range one request may ask for, in boxes. Equal to a tile, which is why a range
/// never touches more than two shards.
pub const RANGE_BOXES_MAX: u32 = BOXES_PER_TILE;

/// The tile, 0-based, that box `id` lies in.
pub fn tile_of(id: u32) -> u32 {
    (id - 1) / BOXES_PER_TILE
}

/// The largest number of shards: more than any machine has use for, few enough for a `u16`.
pub const SHARDS_MAX: u32 = 10_000;

/// Why a board cannot exist.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BoardError {
    /// A board needs at least one box.
    #[error("a board of 0 boxes makes no sense: boxes must be from 1 to 4294967295")]
    NoBoxes,
    /// Shard count outside 1 ..= [`SHARDS_MAX`].
    #[error("{0} shards are not possible: choose from 1 to {SHARDS_MAX}")]
    Shards(u32),
    /// The name becomes part of keys and file records.
    #[error("board name {0:?} is not usable: 1 to 64 letters, digits, '-' or '_'")]
    Name(String),
}

/// A board: its name, how many checkboxes it has and how many shards share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    name: String,
    boxes: u32,
    tiles_per_shard: u32,
    shards: u32,
}

impl Board {
    /// A board of `boxes` checkboxes (ids 1 ..= `boxes`) over at most `shards` shards.
    ///
    /// Every shard but the last holds the same number of whole tiles, rounded up, so a board with
    /// fewer tiles than `shards` ends up with fewer shards: see [`Board::shards`].
    pub fn new(name: &str, boxes: u32, shards: u32) -> Result<Self, BoardError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            return Err(BoardError::Name(name.to_owned()));
        }
        if boxes == 0 {
            return Err(BoardError::NoBoxes);
        }
        if !(1..=SHARDS_MAX).contains(&shards) {
            return Err(BoardError::Shards(shards));
        }
        let tiles = boxes.div_ceil(BOXES_PER_TILE);
        let tiles_per_shard = tiles.div_ceil(shards);
        Ok(Self {
            name: name.to_owned(),
            boxes,
            tiles_per_shard,
            shards: tiles.div_ceil(tiles_per_shard),
        })
    }

    /// The board's name, which prefixes keys and labels.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of checkboxes; ids run from 1 to this number.
    pub fn boxes(&self) -> u32 {
        self.boxes
    }

    /// Number of shards that hold at least one box.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Number of tiles, the last of which may be partial.
    pub fn tiles(&self) -> u32 {
        self.boxes.div_ceil(BOXES_PER_TILE)
    }

    /// All shards, in order of their boxes.
    pub fn shard_indexes(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        (0..self.shards).map(ShardIndex)
    }

    /// Boxes in every shard but possibly the last.
    fn shard_stride(&self) -> u64 {
        u64::from(self.tiles_per_shard) * u64::from(BOXES_PER_TILE)
    }

    /// Number of boxes held by `shard`.
    pub fn boxes_in(&self, shard: ShardIndex) -> u32 {
        let start = u64::from(shard.0) * self.shard_stride();
        let end = (start + self.shard_stride()).min(u64::from(self.boxes));
        u32::try_from(end.saturating_sub(start)).expect("a shard is no larger than its board")
    }

    /// The id of the first box of `shard`.
    pub fn first_id(&self, shard: ShardIndex) -> BoxId {
        self.id(shard, Offset(0))
    }

    /// Accepts `raw` as a box id if the board has such a box.
    pub fn box_id(&self, raw: u32) -> Option<BoxId> {
        (raw >= 1 && raw <= self.boxes).then_some(BoxId(raw))
    }

    /// Which shard holds `id`, and where in it.
    pub fn locate(&self, id: BoxId) -> (ShardIndex, Offset) {
        let index = u64::from(id.0 - 1);
        let stride = self.shard_stride();
        let shard = u32::try_from(index / stride).expect("bounded by the shard count");
        let offset = u32::try_from(index % stride).expect("bounded by the shard's boxes");
        (ShardIndex(shard), Offset(offset))
    }

    /// The id of the box at `offset` of `shard`.
    pub fn id(&self, shard: ShardIndex, offset: Offset) -> BoxId {
        let index = u64::from(shard.0) * self.shard_stride() + u64::from(offset.0);
        debug_assert!(index < u64::from(self.boxes), "offset past the board");
        BoxId(u32::try_from(index + 1).expect("ids fit in a u32"))
    }

    /// The boxes of tile `tile` (0-based), if the board has such a tile.
    pub fn tile(&self, tile: u32) -> Option<BoxRange> {
        let before = tile.checked_mul(BOXES_PER_TILE).filter(|before| *before < self.boxes)?;
        let boxes = (self.boxes - before).min(BOXES_PER_TILE);
        Some(BoxRange { first: BoxId(before + 1), boxes })
    }

    /// Accepts `first ..= last` as a range request: inside the board, not reversed, at most
    /// [`RANGE_BOXES_MAX`] boxes.
    pub fn range(&self, first: u32, last: u32) -> Result<BoxRange, RangeError> {
        let first_id = self.box_id(first).ok_or(RangeError::Id)?;
        self.box_id(last).ok_or(RangeError::Id)?;
        if last < first {
            return Err(RangeError::Reversed);
        }
        if last - first >= RANGE_BOXES_MAX {
            return Err(RangeError::TooLong);
        }
        Ok(BoxRange { first: first_id, boxes: last - first + 1 })
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "board '{}'", self.name)
    }
}

/// Why a pair of numbers is no range of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RangeError {
    /// An end is 0 or above the board's last box.
    #[error("box id out of range")]
    Id,
    /// The last box comes before the first.
    #[error("range reversed")]
    Reversed,
    /// More than [`RANGE_BOXES_MAX`] boxes.
    #[error("range too long")]
    TooLong,
}

/// A checkbox, by its 1-based number on the board. Exists only for boxes the board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoxId(u32);

impl BoxId {
    /// The number players see and the wire carries.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A box's 0-based place within its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u32);

/// A shard, 0-based, in order of the boxes it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u32);

impl ShardIndex {
    /// For indexing slices that hold one entry per shard.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A run of boxes that was accepted by [`Board::range`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxRange {
    first: BoxId,
    boxes: u32,
}

impl BoxRange {
    /// The first box.
    pub fn first(self) -> BoxId {
        self.first
    }

    /// The last box, included.
    pub fn last(self) -> BoxId {
        BoxId(self.first.0 + (self.boxes - 1))
    }

    /// How many boxes, 1 ..= [`RANGE_BOXES_MAX`].
    pub fn boxes(self) -> u32 {
        self.boxes
    }

    /// Whether `id` lies in the run.
    pub fn contains(self, id: u32) -> bool {
        id.wrapping_sub(self.first.0) < self.boxes
    }

    /// The tiles it lies in, at most two.
    pub fn tiles(self) -> RangeInclusive<u32> {
        tile_of(self.first.0)..=tile_of(self.last().0)
    }
}

/// Counts resets of the board, so that what was made durable on the old one is not taken for the new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// The board as it was when `resets` of it had begun.
    pub(crate) fn after(resets: u32) -> Self {
        Self(resets)
    }

    /// The board was reset.
    pub(crate) fn advance(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(boxes: u32, shards: u32) -> Board {
        Board::new("test", boxes, shards).expect("a legal board")
    }

    #[test]
    fn the_full_board_is_fifty_shards_of_two_hundred_tiles() {
        let board = board(1_000_000_000, 50);
        assert_eq!(board.shards(), 50);
        assert_eq!(board.tiles(), 10_000);
        assert_eq!(board.boxes_in(ShardIndex(0)), 20_000_000);
        assert_eq!(board.boxes_in(ShardIndex(49)), 20_000_000);
        assert_eq!(board.first_id(ShardIndex(1)).get(), 20_000_001);
    }

    #[test]
    fn other_shard_counts_are_rounded_up_to_whole_tiles() {
        let three = board(1_000_000_000, 3);
        assert_eq!(three.boxes_in(ShardIndex(0)), 333_400_000);
        assert_eq!(three.boxes_in(ShardIndex(2)), 333_200_000);
        let nine_tiles = board(900_000, 6);
        assert_eq!(nine_tiles.shards(), 5, "two tiles each: five shards suffice");
        assert_eq!(nine_tiles.boxes_in(ShardIndex(4)), 100_000);
        assert_eq!(board(5, 50).shards(), 1);
    }

    #[test]
    fn every_box_has_one_place_and_comes_back_from_it() {
        for (boxes, shards) in [(1, 1), (250_001, 2), (1_000_000_000, 50), (u32::MAX, 7)] {
            let board = board(boxes, shards);
            let held: u64 = board.shard_indexes().map(|s| u64::from(board.boxes_in(s))).sum();
            assert_eq!(held, u64::from(boxes));
            for raw in [1, 2, 99_999, 100_000, 100_001, boxes / 2, boxes - 1, boxes] {
                let Some(id) = board.box_id(raw) else { continue };
                let (shard, offset) = board.locate(id);
                assert!(offset.0 < board.boxes_in(shard));
                assert_eq!(board.id(shard, offset), id);
            }
        }
    }

    #[test]
    fn ids_and_ranges_outside_the_board_are_refused() {
        let board = board(250_000, 2);
        assert_eq!(board.box_id(0), None);
        assert_eq!(board.box_id(250_001), None);
        assert_eq!(board.range(0, 5), Err(RangeError::Id));
        assert_eq!(board.range(1, 250_001), Err(RangeError::Id));
        assert_eq!(board.range(6, 5), Err(RangeError::Reversed));
        assert_eq!(board.range(1, 100_001), Err(RangeError::TooLong));
        let longest = board.range(150_001, 250_000).expect("exactly a tile long");
        assert_eq!((longest.boxes(), longest.last().get()), (100_000, 250_000));
        assert!(longest.contains(150_001) && longest.contains(250_000));
        assert!(!longest.contains(150_000) && !longest.contains(250_001));
    }

    #[test]
    fn tiles_follow_each_other_to_the_last_box() {
        for (boxes, shards) in [(1, 1), (250_003, 2), (u32::MAX, 7)] {
            let board = board(boxes, shards);
            let last = board.tile(board.tiles() - 1).expect("the last tile");
            assert_eq!(last.last().get(), boxes);
            assert_eq!(board.tile(board.tiles()), None);
            assert_eq!(board.tile(0).expect("the first tile").first().get(), 1);
        }
        let board = board(250_003, 2);
        let first = |tile| board.tile(tile).expect("a tile").first().get();
        assert_eq!((first(1), first(2)), (100_001, 200_001));
    }

    #[test]
    fn impossible_boards_are_refused_with_a_reason() {
        assert_eq!(Board::new("b", 0, 1), Err(BoardError::NoBoxes));
        assert_eq!(Board::new("b", 1, 0), Err(BoardError::Shards(0)));
        assert_eq!(Board::new("b", 1, 10_001), Err(BoardError::Shards(10_001)));
        assert!(matches!(Board::new("a b", 1, 1), Err(BoardError::Name(_))));
    }
}
