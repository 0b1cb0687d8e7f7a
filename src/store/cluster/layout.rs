//! What a board in Redis looks like, agreed on by every node: its record, and the state of each key
//! range, which repeats it, so that nothing is ever read with the wrong geometry.

use std::{collections::BTreeMap, time::Instant};

use actors::{
    board::{Board, ShardIndex},
    store::StoreError,
};
use futures_util::future::join_all;

use super::{
    keys::{Keys, record},
    nodes::Nodes,
    script::{FORMAT, Layout, Scripts, State},
    trouble::{Trouble, one_line},
};

/// Key ranges made at the same moment, over a handful of connections.
const PREPARED_AT_ONCE: usize = 16;

/// KEYS record; ARGV three names and values, epoch.
const RECORD: &str = include_str!("lua/record.lua");

/// A board as it is kept: with the number of key ranges it was made with, and its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The board.
    pub board: Board,
    /// Its epoch, 1 or more.
    pub epoch: u64,
}

impl Kept {
    /// What every key range records.
    pub fn layout(&self) -> Layout {
        Layout { format: FORMAT, boxes: self.board.boxes(), shards: self.board.shards() }
    }
}

/// What is recorded of a board of this name; `None`: there is none yet.
///
/// The record may be lost where nothing is replicated, while the key ranges are there: then the first
/// of them tells.
pub async fn find(
    nodes: &Nodes,
    name: &str,
    deadline: Instant,
) -> Result<Option<(Layout, u64)>, Trouble> {
    let (key, slot) = record(name);
    let mut ask = redis::cmd("HGETALL");
    let answer = nodes.command(slot, deadline, ask.arg(&key)).await?;
    let fields: BTreeMap<String, u64> = redis::from_redis_value(answer)?;
    let field = |name| fields.get(name).copied();
    if let (Some(format), Some(boxes), Some(shards), Some(epoch)) =
        (field("format"), field("boxes"), field("shards"), field("epoch"))
    {
        let word = |value| u32::try_from(value).unwrap_or(u32::MAX);
        let layout = Layout { format: word(format), boxes: word(boxes), shards: word(shards) };
        return Ok(Some((layout, epoch)));
    }
    let state = state(nodes, &Keys::of(name, ShardIndex(0)), deadline).await?;
    Ok(state.map(|state| (state.layout, state.epoch)))
}

/// The state of one key range; `None`: it is missing.
pub async fn state(
    nodes: &Nodes,
    keys: &Keys,
    deadline: Instant,
) -> Result<Option<State>, Trouble> {
    State::read(nodes.command(keys.slot, deadline, &State::ask(keys)).await?)
}

/// The board of `wanted`'s name as it is kept, made if there is none. Another number of shards than
/// wanted is taken as it is found: all nodes have to use the same.
pub async fn agree(
    nodes: &Nodes,
    scripts: &Scripts,
    wanted: &Board,
    deadline: Instant,
) -> Result<Kept, StoreError> {
    let failed = |error: Trouble| unavailable(&error);
    let found = find(nodes, wanted.name(), deadline).await.map_err(failed)?;
    let kept = match found {
        Some((layout, epoch)) => Kept { board: judged(wanted, layout)?, epoch },
        None => Kept { board: wanted.clone(), epoch: 1 },
    };
    write(nodes, &kept, deadline).await.map_err(failed)?;
    // Somebody else may have made it a moment ago, differently.
    let (layout, epoch) = find(nodes, wanted.name(), deadline)
        .await
        .map_err(failed)?
        .ok_or_else(|| StoreError::Unavailable("the board's record has vanished".into()))?;
    let board = judged(wanted, layout)?;
    if board.shards() != wanted.shards() {
        log::warn!(
            "board '{}' is kept in {} key ranges: serving it with as many shards instead of {} \
             (shards.count); to change that, export it, and import it under another board.name",
            board.name(),
            board.shards(),
            wanted.shards()
        );
    }
    let mut kept = Kept { board, epoch };
    // A reset may be under way, or have died with its record.
    loop {
        let highest = prepare_all(nodes, scripts, &kept, deadline).await?;
        if highest == kept.epoch {
            return Ok(kept);
        }
        kept.epoch = highest;
        write(nodes, &kept, deadline).await.map_err(failed)?;
    }
}

/// Makes every key range what it should be; the highest epoch that was found.
pub async fn prepare_all(
    nodes: &Nodes,
    scripts: &Scripts,
    kept: &Kept,
    deadline: Instant,
) -> Result<u64, StoreError> {
    let board = &kept.board;
    let shards: Vec<ShardIndex> = board.shard_indexes().collect();
    let mut highest = kept.epoch;
    for some in shards.chunks(PREPARED_AT_ONCE) {
        let prepared = join_all(some.iter().map(async |shard| {
            let keys = Keys::of(board.name(), *shard);
            prepare(nodes, scripts, &keys, board.boxes_in(*shard), kept, deadline).await
        }));
        for (shard, state) in some.iter().zip(prepared.await) {
            let state = state.map_err(|error| unavailable(&error))?;
            if state.layout != kept.layout() {
                judged(board, state.layout)?;
                let text = format!("{board} is kept with another geometry in shard {}", shard.0);
                return Err(StoreError::Unusable(text.into()));
            }
            highest = highest.max(state.epoch);
        }
    }
    Ok(highest)
}

/// Writes a record where there is none, and raises its epoch if it is lower.
pub async fn write(nodes: &Nodes, kept: &Kept, deadline: Instant) -> Result<(), Trouble> {
    let (key, slot) = record(kept.board.name());
    let Layout { format, boxes, shards } = kept.layout();
    let mut call = redis::cmd("EVAL");
    call.arg(RECORD).arg(1).arg(&key);
    call.arg("format").arg(format).arg("boxes").arg(boxes).arg("shards").arg(shards);
    nodes.command(slot, deadline, call.arg(kept.epoch)).await.map(|_| ())
}

/// The board that `found` describes, unless it cannot be served as `wanted`.
pub fn judged(wanted: &Board, found: Layout) -> Result<Board, StoreError> {
    let name = wanted.name();
    let text = if found.format > FORMAT {
        format!(
            "board '{name}' in Redis has format {}, this version knows {FORMAT} at most: run the \
             newer version",
            found.format
        )
    } else if found.boxes != wanted.boxes() {
        format!(
            "board '{name}' in Redis has {} boxes, the settings say {} (board.boxes): correct them, \
             or choose another board.name",
            found.boxes,
            wanted.boxes()
        )
    } else {
        match Board::new(name, found.boxes, found.shards) {
            Ok(board) if board.shards() == found.shards => return Ok(board),
            _ => format!(
                "board '{name}' in Redis claims {} key ranges for {} boxes, which no version of \
                 this server makes",
                found.shards, found.boxes
            ),
        }
    };
    Err(StoreError::Unusable(text.into()))
}

/// Makes the key range of `keys` what it should be in `kept`'s epoch; the state it then has.
pub async fn prepare(
    nodes: &Nodes,
    scripts: &Scripts,
    keys: &Keys,
    boxes_here: u32,
    kept: &Kept,
    deadline: Instant,
) -> Result<State, Trouble> {
    let call = scripts.prepare(keys, kept.epoch, boxes_here, kept.layout());
    let answer = nodes.call(keys.slot, deadline, &call).await?;
    State::read(answer)?.ok_or_else(|| Trouble::Unexpected("a key range was not made".to_owned()))
}

/// What the store answers when a cluster has failed it.
pub fn unavailable(error: &Trouble) -> StoreError {
    StoreError::Unavailable(format!("Redis: {}", one_line(error)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Board {
        Board::new("test", 1_000_000, 5).expect("a legal board")
    }

    fn found(format: u32, boxes: u32, shards: u32) -> Result<u32, String> {
        let judged = judged(&wanted(), Layout { format, boxes, shards });
        judged.map(|board| board.shards()).map_err(|error| error.to_string())
    }

    #[test]
    fn another_number_of_key_ranges_is_taken_as_it_is() {
        assert_eq!(found(FORMAT, 1_000_000, 5), Ok(5));
        assert_eq!(found(FORMAT, 1_000_000, 2), Ok(2));
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_both_numbers() {
        let error = found(FORMAT, 2_000_000, 5).expect_err("other boxes");
        assert!(error.contains("2000000") && error.contains("1000000"), "{error}");
        let error = found(FORMAT + 1, 1_000_000, 5).expect_err("a later format");
        assert!(error.contains("format 2") && error.contains("newer"), "{error}");
        // Ten tiles in seven ranges: ranges of two tiles, of which there are five.
        assert!(found(FORMAT, 1_000_000, 7).is_err(), "no board has seven");
        assert!(found(FORMAT, 1_000_000, 0).is_err());
    }
}
