//! What an operator may do to a board while it is played: read all of it, and merge boxes into it.
//! Both go through the shards like everything else, a little at a time.

use bytes::Bytes;

use crate::{
    board::{Offset, ShardIndex},
    messages::{MergeBoxes, ReadTile},
    store::StoreError,
    table::Table,
};

impl Table {
    /// The bits of tile `tile` as they are now: every box that was acknowledged before this was called,
    /// and none that is not durable, because a bit flips only after the store has it. `None` if there
    /// is no such tile, or its shard has ended.
    pub async fn read_tile(&self, tile: u32) -> Option<Bytes> {
        let range = self.board.tile(tile)?;
        let (shard, _) = self.board.locate(range.first());
        self.shard(shard).tiles.send(ReadTile(range)).await.ok()
    }

    /// Makes boxes of `shard` durable, checks them, and returns when every hub has handed them out: how
    /// many were unchecked before. One call at a time is the pace of the node's flushes.
    pub async fn merge(&self, shard: ShardIndex, offsets: Vec<Offset>) -> Result<u32, StoreError> {
        if self.is_draining() {
            return Err(StoreError::Unavailable("the board is being closed".into()));
        }
        let generation = self.generation();
        self.store().commit(shard, offsets.clone().into()).await?;
        let merged = self.shard(shard).merges.send(MergeBoxes { offsets, generation }).await;
        if generation != self.generation() {
            return Err(StoreError::Unavailable("the board was reset".into()));
        }
        merged.map_err(|_| StoreError::Unavailable("the shard has ended".into()))
    }
}
