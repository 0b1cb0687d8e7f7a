//! How actors reach each other: for each kind of actor one set of recipients, made once when it is started and
//! shared.
//!
//! Each recipient raises the bound of its actor's mailbox by one, and so does each clone: sets are shared
//! behind an `Arc` and never cloned.

use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};

use crate::{
    messages::{
        BoardForgotten, BoxesChecked, CheckBoxes, Drain, EndPlayers, EndSessions, FlushBatch,
        ForgetBoard, ForgetBoxes, Join, LearnBoxes, Leave, MergeBoxes, PulseMade, ReadRange,
        ReadSessions, ReadTile, ReadWords, SendFrame, ToPost, TraceSession,
    },
    shard::gate::Gate,
};

/// How to reach a shard.
#[derive(Debug)]
pub struct ShardLink {
    /// The bound on checks.
    pub gate: Arc<Gate>,
    /// Only ever tried: a check that finds no room stays with its session.
    pub checks: Recipient<CheckBoxes>,
    /// Tried, and sent on from shard to shard.
    pub ranges: Recipient<ReadRange>,
    /// From the store.
    pub learned: Recipient<LearnBoxes>,
    /// From the store.
    pub words: Recipient<ReadWords>,
    /// At a reset.
    pub forget: Recipient<ForgetBoxes>,
    /// For exports.
    pub tiles: Recipient<ReadTile>,
    /// From imports.
    pub merges: Recipient<MergeBoxes>,
    /// Before the end.
    pub drain: Recipient<Drain>,
    /// After the end.
    pub leave: Recipient<Leave>,
}

impl ShardLink {
    /// To the shard at `addr`, behind `gate`.
    pub(crate) fn new<A>(addr: &Addr<A>, gate: Arc<Gate>) -> Self
    where
        A: Actor<Context = Context<A>>
            + Handler<CheckBoxes>
            + Handler<ReadRange>
            + Handler<LearnBoxes>
            + Handler<ReadWords>
            + Handler<ForgetBoxes>
            + Handler<ReadTile>
            + Handler<MergeBoxes>
            + Handler<Drain>
            + Handler<Leave>,
    {
        Self {
            gate,
            checks: addr.clone().recipient(),
            ranges: addr.clone().recipient(),
            learned: addr.clone().recipient(),
            words: addr.clone().recipient(),
            forget: addr.clone().recipient(),
            tiles: addr.clone().recipient(),
            merges: addr.clone().recipient(),
            drain: addr.clone().recipient(),
            leave: addr.clone().recipient(),
        }
    }
}

/// All shards of a board, in order. Filled once, when the last one has started.
pub type ShardDirectory = Arc<OnceLock<Vec<ShardLink>>>;

/// How to reach the broadcaster.
#[derive(Debug)]
pub struct BroadcasterLink {
    /// From shards.
    pub news: Recipient<BoxesChecked>,
    /// From hubs.
    pub attach: Recipient<AttachHub>,
    /// At a reset.
    pub forget: Recipient<ForgetBoard>,
    /// Before the end.
    pub drain: Recipient<Drain>,
    /// After the end.
    pub leave: Recipient<Leave>,
}

impl BroadcasterLink {
    /// To the broadcaster at `addr`.
    pub(crate) fn new<A>(addr: &Addr<A>) -> Arc<Self>
    where
        A: Actor<Context = Context<A>>
            + Handler<BoxesChecked>
            + Handler<AttachHub>
            + Handler<ForgetBoard>
            + Handler<Drain>
            + Handler<Leave>,
    {
        Arc::new(Self {
            news: addr.clone().recipient(),
            attach: addr.clone().recipient(),
            forget: addr.clone().recipient(),
            drain: addr.clone().recipient(),
            leave: addr.clone().recipient(),
        })
    }
}

/// How to reach a hub.
#[derive(Debug)]
pub struct HubLink {
    /// From sessions.
    pub join: Recipient<Join>,
    /// From the broadcaster.
    pub batches: Recipient<FlushBatch>,
    /// From the broadcaster; only ever tried.
    pub pulses: Recipient<PulseMade>,
    /// At a reset.
    pub forget: Recipient<BoardForgotten>,
    /// Before the end.
    pub drain: Recipient<Drain>,
    /// At the end.
    pub end: Recipient<EndSessions>,
    /// When operators block somebody.
    pub end_players: Recipient<EndPlayers>,
    /// When operators look.
    pub sessions: Recipient<ReadSessions>,
    /// When operators talk to players.
    pub frames: Recipient<SendFrame>,
    /// When operators follow a session.
    pub traces: Recipient<TraceSession>,
    /// After the end.
    pub leave: Recipient<Leave>,
}

impl HubLink {
    /// To the hub at `addr`.
    pub(crate) fn new<A>(addr: &Addr<A>) -> Arc<Self>
    where
        A: Actor<Context = Context<A>>
            + Handler<Join>
            + Handler<FlushBatch>
            + Handler<PulseMade>
            + Handler<BoardForgotten>
            + Handler<Drain>
            + Handler<EndSessions>
            + Handler<EndPlayers>
            + Handler<ReadSessions>
            + Handler<SendFrame>
            + Handler<TraceSession>
            + Handler<Leave>,
    {
        Arc::new(Self {
            join: addr.clone().recipient(),
            batches: addr.clone().recipient(),
            pulses: addr.clone().recipient(),
            forget: addr.clone().recipient(),
            drain: addr.clone().recipient(),
            end: addr.clone().recipient(),
            end_players: addr.clone().recipient(),
            sessions: addr.clone().recipient(),
            frames: addr.clone().recipient(),
            traces: addr.clone().recipient(),
            leave: addr.clone().recipient(),
        })
    }
}

/// How to reach the post of a worker thread.
#[derive(Debug)]
pub struct PostLink {
    /// Its number on this node.
    pub number: usize,
    /// From outside; only ever tried.
    pub inbox: Recipient<ToPost>,
}

/// hub → broadcaster: a worker has a hub now; the answer is the announced total.
#[derive(Debug, Message)]
#[rtype(result = "u32")]
pub struct AttachHub(pub Arc<HubLink>);
