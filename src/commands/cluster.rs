//! A board in a Redis Cluster as commands use it: blocking, and tile by tile like every other copy.
//!
//! At most one key range is in memory: 2.5 MB of a full board in its usual fifty.

use actors::{
    board::ShardIndex,
    store::{Words, words_for},
};
use anyhow::Result;
use tokio::runtime::Runtime;

use crate::{
    backup::bytes_for,
    store::{
        cluster::{
            Options,
            admin::{Admin, Read, Reset},
        },
        embedded::merge::{Merged, Tiles},
    },
};

/// One board.
pub struct ClusterBoard {
    runtime: Runtime,
    admin: Admin,
    /// The tile that comes next.
    next: u32,
    /// The key range at hand.
    shard: Option<ShardIndex>,
    bytes: Vec<u8>,
    /// Key ranges that held another number of boxes than they had counted.
    miscounted: Vec<ShardIndex>,
}

impl ClusterBoard {
    /// The board that is there, to be read.
    pub fn find(options: &Options) -> Result<Self> {
        let runtime = runtime()?;
        let admin = runtime.block_on(Admin::find(options))?;
        Ok(Self::of(runtime, admin))
    }

    /// The board to be merged into, made if there is none.
    pub fn make(options: &Options) -> Result<Self> {
        let runtime = runtime()?;
        let admin = runtime.block_on(Admin::open(options))?;
        Ok(Self::of(runtime, admin))
    }

    fn of(runtime: Runtime, admin: Admin) -> Self {
        let (bytes, miscounted) = (Vec::new(), Vec::new());
        Self { runtime, admin, next: 0, shard: None, bytes, miscounted }
    }

    /// What is known of it beside its boxes.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Key ranges, of those read so far, that held another number of boxes than they had counted.
    pub fn miscounted(&self) -> &[ShardIndex] {
        &self.miscounted
    }

    /// How many boxes are checked, as Redis has counted them.
    pub fn checked(&self) -> Result<u64> {
        Ok(self.runtime.block_on(self.admin.checked())?)
    }

    /// Reads the next tile with a checked box into `bits` and returns its number; `None` after the
    /// last.
    pub fn next(&mut self, bits: &mut Vec<u8>) -> Result<Option<u32>> {
        while let Some(range) = self.admin.board().tile(self.next) {
            let tile = self.next;
            self.next += 1;
            let (shard, first) = self.admin.board().locate(range.first());
            if self.shard != Some(shard) {
                self.read(shard)?;
            }
            let start = (first.0 / 8) as usize;
            let found = &self.bytes[start..start + bytes_for(range.boxes())];
            if found.iter().any(|byte| *byte != 0) {
                bits.clear();
                bits.extend_from_slice(found);
                return Ok(Some(tile));
            }
        }
        Ok(None)
    }

    fn read(&mut self, shard: ShardIndex) -> Result<()> {
        let Read { words, counted } = self.runtime.block_on(self.admin.read(shard))?;
        let checked = words.iter().map(|word| word.count_ones()).sum();
        if !counted.contains(&checked) {
            self.miscounted.push(shard);
        }
        self.bytes.clear();
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.shard = Some(shard);
        Ok(())
    }

    /// ORs the tiles that `next` yields, ascending and each from the board, into it.
    pub fn merge(&mut self, next: Tiles<'_, anyhow::Error>) -> Result<Merged> {
        let board = self.admin.board().clone();
        let mut bits = Vec::new();
        let mut gathered: Option<(ShardIndex, Vec<u8>)> = None;
        let mut done = Merged::default();
        while let Some(tile) = next(&mut bits)? {
            let range = board.tile(tile).expect("a tile of the board");
            let (shard, first) = board.locate(range.first());
            if let Some((before, bytes)) = gathered.take_if(|(before, _)| *before != shard) {
                self.merge_shard(before, &bytes, &mut done)?;
            }
            let (_, bytes) = gathered
                .get_or_insert_with(|| (shard, vec![0; words_for(board.boxes_in(shard)) * 8]));
            let start = (first.0 / 8) as usize;
            bytes[start..start + bits.len()].copy_from_slice(&bits);
        }
        if let Some((last, bytes)) = gathered {
            self.merge_shard(last, &bytes, &mut done)?;
        }
        Ok(done)
    }

    fn merge_shard(&self, shard: ShardIndex, bytes: &[u8], done: &mut Merged) -> Result<()> {
        let (words, _) = bytes.as_chunks::<8>();
        let words: Words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        done.seen += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        done.added += self.runtime.block_on(self.admin.merge(shard, &words))?;
        Ok(())
    }

    /// Unchecks every box, for everybody.
    pub fn reset(&mut self) -> Result<Reset> {
        Ok(self.runtime.block_on(self.admin.reset())?)
    }
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
