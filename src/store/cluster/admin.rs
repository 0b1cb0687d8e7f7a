//! What operators do to a board in a Redis Cluster, beside the nodes that serve it: read all of it, merge
//! boxes into it, reset it. A key range at a time, master by master; no lines, no feed, no memory of
//! the board.
//!
//! Reading makes nothing, not even a board that is missing. Merging and resetting go through the same
//! scripts as everything else, so that running nodes follow.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use actors::{
    board::{Board, ShardIndex},
    store::{StoreError, Words, words_for},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::{
    Options,
    access::Access,
    keys::Keys,
    layout::{self, Kept, unavailable},
    nodes::Nodes,
    script::{Scripts, Sender, State},
    stats::PAUSE,
    sync::{Bits, without},
    trouble::Trouble,
    wait_for_cluster,
};

/// Longest time for one key range: longer than a failover.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often one key range is merged before it is given up. A failover in the middle costs one.
const ATTEMPTS: u32 = 5;

/// States asked for at the same moment.
const LOOKS: usize = 16;

/// Access to one board.
pub struct Admin {
    nodes: Nodes,
    scripts: Scripts,
    kept: Kept,
    origin: u64,
}

/// A key range as it was read.
pub struct Read {
    /// Its bits.
    pub words: Words,
    /// What it had counted right before and right after.
    pub counted: RangeInclusive<u32>,
}

/// What a reset has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The board's epoch now.
    pub epoch: u64,
    /// Boxes that were checked again before everything was verified.
    pub checked_since: u64,
}

impl Admin {
    /// The board that `options` describe, to be written: made if there is none, and made whole.
    pub async fn open(options: &Options) -> Result<Self, StoreError> {
        let nodes = reach(&options.access, options.start_timeout).await?;
        let scripts = Scripts::default();
        let deadline = Instant::now() + PATIENCE;
        let kept = layout::agree(&nodes, &scripts, &options.board, deadline).await?;
        Ok(Self { nodes, scripts, kept, origin: rand::random() })
    }

    /// The board that `options` describe, to be read: it has to be there.
    pub async fn find(options: &Options) -> Result<Self, StoreError> {
        let nodes = reach(&options.access, options.start_timeout).await?;
        let name = options.board.name();
        let deadline = Instant::now() + PATIENCE;
        let found = layout::find(&nodes, name, deadline).await.map_err(|error| unavailable(&error));
        let Some((layout, epoch)) = found? else {
            let text = format!(
                "there is no board '{name}' (board.name) in the Redis Cluster at {}",
                options.access.shown()
            );
            return Err(StoreError::Unusable(text.into()));
        };
        let board = layout::judged(&options.board, layout)?;
        let kept = Kept { board, epoch };
        let mut admin = Self { nodes, scripts: Scripts::default(), kept, origin: rand::random() };
        // The record may have died with what it said last.
        let states = admin.states().await?;
        let epochs = states.into_iter().flatten().map(|state| state.epoch);
        admin.kept.epoch = epochs.fold(epoch, u64::max);
        Ok(admin)
    }

    /// The board, with as many shards as it is kept in.
    pub fn board(&self) -> &Board {
        &self.kept.board
    }

    /// Raised by every reset.
    pub fn epoch(&self) -> u64 {
        self.kept.epoch
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        format!("the Redis Cluster at {}", self.nodes.access().shown())
    }

    /// How many boxes are checked, as the key ranges have counted them.
    pub async fn checked(&self) -> Result<u64, StoreError> {
        let states = self.states().await?.into_iter().flatten();
        // One of an earlier epoch is empty: a reset did not come that far.
        let current = states.filter(|state| state.epoch == self.kept.epoch);
        Ok(current.map(|state| u64::from(state.position.count)).sum())
    }

    /// Reads a key range: everything that Redis had acknowledged before this was called, and what was
    /// added meanwhile or not.
    pub async fn read(&self, shard: ShardIndex) -> Result<Read, StoreError> {
        let keys = self.keys(shard);
        let boxes = self.board().boxes_in(shard);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = self.bits().read(&keys, boxes, deadline).await;
            let after = layout::state(&self.nodes, &keys, deadline).await;
            let after = after.map_err(|error| unavailable(&error))?;
            match (read.map_err(|error| unavailable(&error))?, after) {
                (Some((state, _)), _) | (_, Some(state)) if state.epoch > self.kept.epoch => {
                    return Err(was_reset("read"));
                }
                // A reset did not come that far.
                (Some((state, _)), _) if state.epoch < self.kept.epoch => {
                    return Ok(Read { words: vec![0; words_for(boxes)], counted: 0..=0 });
                }
                (Some((before, words)), Some(after)) if follows(&before, &after) => {
                    self.judge(shard, &before)?;
                    return Ok(Read {
                        words,
                        counted: before.position.count..=after.position.count,
                    });
                }
                // Missing, or lost in part with a master: a running node puts it back within moments.
                _ if Instant::now() < deadline => sleep(PAUSE).await,
                _ => return Err(self.missing(shard)),
            }
        }
    }

    /// ORs `words` into a key range and reads it again until it has them all, since a failover may lose
    /// what was just written. How many boxes it lacked at first.
    pub async fn merge(&self, shard: ShardIndex, words: &[u64]) -> Result<u64, StoreError> {
        let keys = self.keys(shard);
        let boxes = self.board().boxes_in(shard);
        let sender = Sender { origin: self.origin, epoch: self.kept.epoch };
        let mut added = None;
        for _ in 0..ATTEMPTS {
            let deadline = Instant::now() + PATIENCE;
            let (bits, mut made) = (self.bits(), 0);
            let read = bits.read_kept(&keys, boxes, &self.kept, deadline, &mut made).await;
            let (state, known) = read.map_err(|error| unavailable(&error))?;
            self.judge(shard, &state)?;
            if state.epoch > self.kept.epoch {
                return Err(was_reset("merged into"));
            }
            let lacking = without(words, &known);
            let count = lacking.iter().map(|word| u64::from(word.count_ones())).sum();
            let added = *added.get_or_insert(count);
            if count == 0 {
                return Ok(added);
            }
            let put = bits.put_back(&keys, sender, &lacking, deadline).await;
            put.map_err(|error| unavailable(&error))?;
        }
        let text = format!("key range {} does not keep what is written into it", shard.0);
        Err(StoreError::Unavailable(text.into()))
    }

    /// Unchecks every box, for everybody: raises the epoch, which running nodes follow.
    ///
    /// The record comes first and decides. From then on whoever meets a key range of an earlier epoch
    /// makes it anew: this, a node that runs or starts, or a second reset.
    pub async fn reset(&mut self) -> Result<Reset, StoreError> {
        let failed = |error| unavailable(&error);
        let deadline = Instant::now() + PATIENCE;
        // Bits whose state was lost would be kept, as those of a failover are: so they get one first.
        let kept = layout::agree(&self.nodes, &self.scripts, self.board(), deadline).await?;
        self.kept = Kept { epoch: kept.epoch.max(self.kept.epoch) + 1, ..kept };
        layout::write(&self.nodes, &self.kept, deadline).await.map_err(failed)?;
        log::info!("the reset is decided (epoch {}): emptying every key range", self.kept.epoch);
        let all = layout::prepare_all(&self.nodes, &self.scripts, &self.kept, deadline).await;
        let verified = match all {
            Ok(_) => self.verified().await,
            Err(error) => Err(error),
        };
        verified.map_err(|error| {
            let text = format!("{error}: reset again, or start a node, which finishes it");
            StoreError::Unavailable(text.into())
        })
    }

    /// Looks whether every key range is of this epoch or a later one.
    async fn verified(&self) -> Result<Reset, StoreError> {
        let mut checked_since = 0;
        for (shard, state) in self.board().shard_indexes().zip(self.states().await?) {
            let state = state.filter(|state| state.epoch >= self.kept.epoch);
            let state = state.ok_or_else(|| self.missing(shard))?;
            checked_since += u64::from(state.position.count);
        }
        Ok(Reset { epoch: self.kept.epoch, checked_since })
    }

    fn bits(&self) -> Bits<'_> {
        Bits { nodes: &self.nodes, scripts: &self.scripts }
    }

    fn keys(&self, shard: ShardIndex) -> Keys {
        Keys::of(self.board().name(), shard)
    }

    /// The states of all key ranges, in their order.
    async fn states(&self) -> Result<Vec<Option<State>>, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let looks = self.board().shard_indexes().map(|shard| {
            let keys = self.keys(shard);
            async move { layout::state(&self.nodes, &keys, deadline).await }
        });
        let states: Result<_, Trouble> = stream::iter(looks).buffered(LOOKS).try_collect().await;
        states.map_err(|error| unavailable(&error))
    }

    /// Refuses a key range of another geometry than the board's.
    fn judge(&self, shard: ShardIndex, state: &State) -> Result<(), StoreError> {
        if state.layout == self.kept.layout() {
            return Ok(());
        }
        layout::judged(self.board(), state.layout)?;
        let text = format!("{} is kept with another geometry in shard {}", self.board(), shard.0);
        Err(StoreError::Unusable(text.into()))
    }

    fn missing(&self, shard: ShardIndex) -> StoreError {
        let text = format!(
            "key range {} of {} is missing in Redis: start a node, or import a copy; both make it \
             again",
            shard.0,
            self.board()
        );
        StoreError::Unavailable(text.into())
    }
}

/// Whether nothing was lost between two looks at a key range.
fn follows(before: &State, after: &State) -> bool {
    after.epoch == before.epoch && after.position.count >= before.position.count
}

fn was_reset(what: &str) -> StoreError {
    StoreError::Unavailable(format!("the board was reset while it was {what}: start again").into())
}

/// The masters of a cluster, which is waited for.
pub async fn reach(access: &Access, patience: Duration) -> Result<Nodes, StoreError> {
    // One provider of cryptography per process; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nodes = Nodes::new(access.clone());
    wait_for_cluster(&nodes, Instant::now() + patience).await?;
    Ok(nodes)
}
