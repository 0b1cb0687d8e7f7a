//! Every message between actors but those to a session ([`ToSession`](crate::link::ToSession)) and
//! [`AttachHub`](crate::wires::AttachHub), which carries a hub's recipients; in the order a check meets them. Each line reads "sender → receiver: why".
//!
//! Commands are imperative, events past tense, ticks end in `Due`. Nothing here is awaited along
//! broadcaster → hub → session; the one answer that is waited for there is the hub's "handed out",
//! which paces the flushes.

use std::{sync::Arc, time::Instant};

use actix::Message;
use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::{
    board::{BoxId, BoxRange, Generation, Offset},
    broadcaster::{batch::Batch, census::Pulse},
    channels::Group,
    interest::Held,
    link::SessionLink,
    player::{Player, SessionId, UserId},
    protocol::Close,
    seen::Seen,
    shard::commit::Asker,
    store::Words,
    trace::Tracer,
    waiters::Waiters,
};

/// session → hub: put me on your list and tell me the total, in one step.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join(pub Arc<SessionLink>);

/// courier → shard: players checked these boxes. Each holds one place in the shard's gate.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CheckBoxes(pub Vec<Asker<Arc<SessionLink>>>);

/// session → shard, shard → next shard: read these boxes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ReadRange {
    /// The whole range that was asked for.
    pub range: BoxRange,
    /// The place of the answer in the session's order.
    pub sequence: u32,
    /// Who asked.
    pub session: Arc<SessionLink>,
    /// The answer so far, when the range began in the shard before.
    pub begun: Option<BytesMut>,
}

/// store → shard: these boxes are durable, whoever checked them. The answer comes when the
/// broadcaster has taken over what was new, which bounds what a store has under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LearnBoxes(pub Vec<Offset>);

/// store → shard: copy all of your bits, to be compared with the durable ones.
#[derive(Message)]
#[rtype(result = "Words")]
pub struct ReadWords;

/// table → shard: the board was reset: end the commit in flight, pass on what you have flipped,
/// then forget every box. The answer comes when all is forgotten.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetBoxes;

/// table → broadcaster: every shard has forgotten its boxes: announce what there is, then begin
/// again at 0. The answer comes when every hub has ended its sessions.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetBoard;

/// broadcaster → hub: nothing that your sessions were told is true any more: end them. Who joins from
/// here on is greeted with 0.
#[derive(Message)]
#[rtype(result = "()")]
pub struct BoardForgotten;

/// table → shard: copy these boxes, all of them the shard's, for an export. At most one tile, so that a
/// copy takes a microsecond of the shard's time and not milliseconds.
#[derive(Message)]
#[rtype(result = "Bytes")]
pub struct ReadTile(pub BoxRange);

/// table → shard: an import has made these boxes durable; the answer says how many were new here, and
/// comes when everybody was handed them, which paces the import.
#[derive(Message)]
#[rtype(result = "u32")]
pub struct MergeBoxes {
    /// The boxes.
    pub offsets: Vec<Offset>,
    /// The board they were made durable on ([`Generation`]); of another one they are ignored.
    pub generation: Generation,
}

/// table → hub, shard, broadcaster: answer when everything accepted so far has been passed on; a hub
/// answers for its thread's checks.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// shard → broadcaster: these boxes were just checked, and these askers came too late.
#[derive(Message)]
#[rtype(result = "()")]
pub struct BoxesChecked {
    /// Boxes whose bit flipped, in that order.
    pub flipped: Vec<BoxId>,
    /// Checks of boxes whose bit had flipped before.
    pub already: Vec<(BoxId, Arc<SessionLink>)>,
    /// Whom to tell when every hub has handed out what flipped.
    pub handed_out: Waiters,
    /// When the shard took in the oldest of these checks; `None` if all are of other nodes.
    pub since: Option<Instant>,
}

/// broadcaster → hub: hand this to every session; the answer says that it was.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FlushBatch(pub Arc<Batch>);

/// broadcaster → hub: what changed on the board; tell your `v=2` sessions within the next second.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PulseMade(pub Arc<Pulse>);

/// table → shard, broadcaster, hub: the board is closed: end, a hub when its last session has.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

/// table → hub: end the sessions of these players. The answer comes when they have been told to end.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EndPlayers {
    /// Whether a player is meant.
    pub are_meant: Arc<dyn Fn(&Player) -> bool + Send + Sync>,
    /// How their connections end.
    pub close: Close,
}

/// table → hub: what do the sessions of these players look like: those with the lowest ids, in their order.
#[derive(Message, Clone)]
#[rtype(result = "Vec<Seen>")]
pub struct ReadSessions {
    /// Whether a player is meant.
    pub are_meant: Arc<dyn Fn(&Player) -> bool + Send + Sync>,
    /// At most so many.
    pub most: usize,
}

/// table → hub: send a frame to the `v=2` sessions of these players. The answer says to how many.
#[derive(Message, Clone)]
#[rtype(result = "usize")]
pub struct SendFrame {
    /// Whether a player is meant.
    pub are_meant: Arc<dyn Fn(&Player) -> bool + Send + Sync>,
    /// Complete.
    pub frame: Bytes,
}

/// table → hub: write what happens to a session to a tracer. The answer says whether that has begun; `None`: it is not
/// one of yours.
#[derive(Message, Clone)]
#[rtype(result = "Option<bool>")]
pub struct TraceSession {
    /// Which.
    pub session: SessionId,
    /// To whom.
    pub tracer: Tracer,
}

/// table → hub: end every session.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct EndSessions(pub Close);

/// Who of a group's members is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All of them.
    Members,
    /// Those who want to hear who is present.
    Observers,
}

/// outside → post: what concerns the members of groups on your thread, in the order in which it is sent.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToPost {
    /// Send this to the members of a group.
    Deliver {
        /// Which.
        group: Group,
        /// Whom of them.
        audience: Audience,
        /// A complete frame.
        frame: Bytes,
    },
    /// A session joins a group: send it this, then all that comes after it.
    Admit {
        /// Which.
        group: Group,
        /// Who.
        session: SessionId,
        /// Whether it wants to hear who is present.
        wants_presence: bool,
        /// Complete frames.
        frames: Bytes,
        /// The group is followed.
        held: Held,
        /// Answered when it is in.
        done: oneshot::Sender<()>,
    },
    /// Somebody leaves a group: all connections of a user, or one.
    Dismiss {
        /// Which.
        group: Group,
        /// Who.
        who: Member,
        /// A complete frame that is sent to it, if it was in.
        frame: Bytes,
        /// Answered when it is out.
        done: Option<oneshot::Sender<()>>,
    },
    /// Which connections a message to a group is for, and whose each is.
    ReadMembers {
        /// Which.
        group: Group,
        /// To be answered.
        members: oneshot::Sender<Vec<(SessionId, Option<UserId>)>>,
    },
}

/// A member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// One connection.
    Session(SessionId),
    /// All connections of a user.
    User(UserId),
}
