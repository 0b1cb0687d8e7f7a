//! A board as it lies in Redis, read without any of the server's code: what nodes and page say is
//! compared with this.

use super::Cluster;

const BOXES_PER_TILE: u64 = 100_000;

/// Everything that Redis has of one board.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredBoard {
    /// Ids of all boxes that are checked, ascending; the first box is 1.
    pub checked: Vec<u32>,
    /// What each shard has counted.
    pub counts: Vec<u64>,
}

impl Cluster {
    /// Reads a whole board. Consistent only while nobody writes.
    pub fn read_board(&self, board: &str) -> StoredBoard {
        let state = |shard: u64, field: &str| -> u64 {
            let key = format!("billion:{{{board}:{shard}}}:state");
            let value = self.command_on(&key, &["HGET", &key, field]);
            let value = value.integer().unwrap_or_else(|no| panic!("{key} {field}: {no:#}"));
            value.try_into().expect("no count is negative")
        };
        let (boxes, shards) = (state(0, "boxes"), state(0, "shards"));
        let tiles = boxes.div_ceil(BOXES_PER_TILE);
        let boxes_per_shard = tiles.div_ceil(shards) * BOXES_PER_TILE;
        let mut stored = StoredBoard { checked: Vec::new(), counts: Vec::new() };
        for shard in 0..boxes.div_ceil(boxes_per_shard) {
            let key = format!("billion:{{{board}:{shard}}}:bits");
            let bits = self.command_on(&key, &["GET", &key]).bytes().expect("a string");
            let first = shard * boxes_per_shard + 1;
            for offset in offsets(&bits) {
                let id = first + offset;
                assert!(offset < boxes_per_shard && id <= boxes, "{key} has a box too many: {id}");
                stored.checked.push(id.try_into().expect("ids fit"));
            }
            stored.counts.push(state(shard, "count"));
        }
        stored
    }
}

impl StoredBoard {
    /// Boxes that every shard together has counted.
    pub fn counted(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Which bits are set; the first is the least significant one of the first byte.
fn offsets(bits: &[u8]) -> impl Iterator<Item = u64> {
    let bytes = bits.iter().enumerate().filter(|(_, byte)| **byte != 0);
    bytes.flat_map(|(index, byte)| {
        let set = (0..8).filter(move |bit| byte >> bit & 1 == 1);
        set.map(move |bit| index as u64 * 8 + bit)
    })
}
