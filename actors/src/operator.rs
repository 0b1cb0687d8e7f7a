//! What an operator may do to a board while it is played: read all of it, and merge boxes into it, which both go through
//! the shards like everything else, a little at a time; look at its sessions, and end some.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::{
    board::{Offset, ShardIndex},
    messages::{EndPlayers, MergeBoxes, ReadSessions, ReadTile, SendFrame, TraceSession},
    node::Node,
    player::{Player, SessionId},
    protocol::Close,
    seen::Seen,
    store::StoreError,
    table::Table,
    trace::Tracer,
};

impl Node {
    /// The sessions of the players that `are_meant`, on all boards: those with the lowest ids, at most `most`.
    pub async fn sessions(
        &self,
        are_meant: impl Fn(&Player) -> bool + Send + Sync + 'static,
        most: usize,
    ) -> Vec<Seen> {
        let read = ReadSessions { are_meant: Arc::new(are_meant), most };
        let tables = self.tables();
        let seen = join_all(tables.iter().map(|table| table.sessions(&read))).await;
        let mut seen = seen.concat();
        seen.sort_unstable_by_key(|seen| seen.session);
        seen.truncate(most);
        seen
    }

    /// Sends a complete frame to the `v=2` sessions of the players that `are_meant`; to how many.
    pub async fn send_frame(
        &self,
        are_meant: impl Fn(&Player) -> bool + Send + Sync + 'static,
        frame: Bytes,
    ) -> usize {
        let send = SendFrame { are_meant: Arc::new(are_meant), frame };
        let tables = self.tables();
        let hubs = tables.iter().flat_map(|table| table.hubs());
        let sent = join_all(hubs.map(|hub| hub.frames.send(send.clone()))).await;
        sent.into_iter().flatten().sum()
    }

    /// Has what happens to a session written to `tracer`, for as long as somebody listens there; `false` if somebody
    /// follows it already, `None` if it has ended.
    pub async fn trace(&self, session: SessionId, tracer: Tracer) -> Option<bool> {
        let trace = TraceSession { session, tracer };
        let tables = self.tables();
        let hubs = tables.iter().flat_map(|table| table.hubs());
        let begun = join_all(hubs.map(|hub| hub.traces.send(trace.clone()))).await;
        begun.into_iter().flatten().flatten().next()
    }

    /// Ends the sessions of the players that `are_meant`, on all boards. Ready when each has been told to end.
    pub async fn end_players(
        &self,
        are_meant: impl Fn(&Player) -> bool + Send + Sync + 'static,
        close: Close,
    ) {
        let end = EndPlayers { are_meant: Arc::new(are_meant), close };
        join_all(self.tables().iter().map(|table| table.end_players(&end))).await;
    }
}

impl Table {
    async fn sessions(&self, read: &ReadSessions) -> Vec<Seen> {
        let asked = self.hubs().into_iter().map(|hub| hub.sessions.send(read.clone()));
        // A hub that is gone has no sessions.
        let mut seen: Vec<Seen> = join_all(asked).await.into_iter().flatten().flatten().collect();
        seen.iter_mut().for_each(|seen| self.board.name().clone_into(&mut seen.board));
        seen
    }

    async fn end_players(&self, end: &EndPlayers) {
        let asked = self.hubs().into_iter().map(|hub| hub.end_players.send(end.clone()));
        join_all(asked).await;
    }

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
