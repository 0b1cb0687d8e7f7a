//! Every actor message, in the order a check meets them. Each line reads "sender → receiver: why".
//!
//! Commands are imperative, events past tense, ticks end in `Due`. Nothing here is awaited along
//! broadcaster → hub → session; the one answer that is waited for there is the hub's "handed out",
//! which paces the flushes.

use std::sync::Arc;

use actix::{Addr, Message};
use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::{
    board::{BoxId, BoxRange, Offset},
    broadcaster::{batch::Batch, census::Pulse},
    hub::Hub,
    protocol::Close,
    session::SessionLink,
    shard::commit::Asker,
    store::Words,
    topology::Generation,
};

/// session → hub: put me on your list and tell me the total, in one step.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join(pub Arc<SessionLink>);

/// hub → session: you are on the list, and this many boxes are checked.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Welcome {
    /// The announced total; every later update continues from it.
    pub total: u32,
}

/// courier → shard: players checked these boxes. Each holds one place in the shard's gate.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CheckBoxes(pub Vec<Asker>);

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

/// topology → shard: the board was reset: end the commit in flight, pass on what you have flipped,
/// then forget every box. The answer comes when all is forgotten.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetBoxes;

/// topology → broadcaster: every shard has forgotten its boxes: announce what there is, then begin
/// again at 0. The answer comes when every hub has ended its sessions.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetBoard;

/// broadcaster → hub: nothing that your sessions were told is true any more: end them. Who joins from
/// here on is greeted with 0.
#[derive(Message)]
#[rtype(result = "()")]
pub struct BoardForgotten;

/// node → shard: copy these boxes, all of them the shard's, for an export. At most one tile, so that a
/// copy takes a microsecond of the shard's time and not milliseconds.
#[derive(Message)]
#[rtype(result = "Bytes")]
pub struct ReadTile(pub BoxRange);

/// node → shard: an import has made these boxes durable; the answer says how many were new here, and
/// comes when everybody was handed them, which paces the import.
#[derive(Message)]
#[rtype(result = "u32")]
pub struct MergeBoxes {
    /// The boxes.
    pub offsets: Vec<Offset>,
    /// The board they were made durable on ([`Generation`]); of another one they are ignored.
    pub generation: Generation,
}

/// topology → hub, shard, broadcaster: answer when everything accepted so far has been passed on; a hub
/// answers for its thread's checks.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// shard → broadcaster: these boxes were just checked, and these askers came too late.
#[derive(Message, Default)]
#[rtype(result = "()")]
pub struct BoxesChecked {
    /// Boxes whose bit flipped, in that order.
    pub flipped: Vec<BoxId>,
    /// Checks of boxes whose bit had flipped before.
    pub already: Vec<(BoxId, Arc<SessionLink>)>,
    /// Whom to tell when every hub has handed out what flipped.
    pub handed_out: Vec<oneshot::Sender<()>>,
}

impl BoxesChecked {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.flipped.is_empty() && self.already.is_empty()
    }
}

/// topology → broadcaster: a worker has a hub now; the answer is the announced total.
#[derive(Message)]
#[rtype(result = "u32")]
pub struct AttachHub(pub Addr<Hub>);

/// broadcaster → hub: hand this to every session; the answer says that it was.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FlushBatch(pub Arc<Batch>);

/// hub → session: boxes were checked, and something comes before them on your socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UpdatesFlushed(pub Arc<Batch>);

/// hub, shard → session: something waits for you outside of your mailbox: output that did not go into your
/// socket at once, or own checks that were refused.
#[derive(Message)]
#[rtype(result = "()")]
pub struct OutputWaits;

/// shard → session: the answer to a range request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RangeAnswered {
    /// The request's place in the session's order.
    pub sequence: u32,
    /// The complete frame.
    pub frame: Bytes,
}

/// broadcaster → session: the boxes you checked had been announced before. One message for all of a
/// flush, so that repeating many checks does not fill the mailbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AlreadyChecked(pub Vec<BoxId>);

/// hub → session: time for a Ping.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PingDue;

/// broadcaster → hub: what changed on the board; tell your `v=2` sessions within the next second.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PulseMade(pub Arc<Pulse>);

/// hub → session: what changed on the board, wherever you look (`v=2`); sent when batches are.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PulseDue {
    /// The announced total, which is in the frame.
    pub total: u32,
    /// The complete frame.
    pub frame: Bytes,
}

/// hub → session: the deadline you set yourself has passed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DeadlinePassed;

/// hub → session: your client has been silent too long, and was pinged meanwhile.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientSilent {
    /// Second at which it was last heard: another one by now, and it is not silent.
    pub seen_s: u32,
}

/// hub → session: something did not fit into your mailbox. Sent again until it was noticed, because
/// nobody may have woken the session after it drained the mailbox and went to sleep.
#[derive(Message)]
#[rtype(result = "()")]
pub struct MailboxOverflowed;

/// topology → hub, hub → session: end the connection.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct EndSessions(pub Close);
