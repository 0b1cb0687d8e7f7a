//! How everybody else reaches a session: its inbox, and flags beside it.
//!
//! The flags are shared because a full mailbox must not lose what they say.

mod refused;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use actix::{Message, Recipient, dev::SendError};
use bytes::Bytes;

use self::refused::Refused;
use crate::{
    board::BoxId,
    broadcaster::batch::Batch,
    player::{Player, SessionId},
    protocol::{Refusal, Version},
};

/// What a session is told by those who share its node.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// From its hub: you are on the list, and this many boxes are checked; every later update continues
    /// from there.
    Welcome(u32),
    /// From its hub: boxes were checked, and something comes before them on your socket.
    Updates(Arc<Batch>),
    /// From its hub: what changed on the board, wherever you look (`v=2`); sent when batches are.
    Pulse {
        /// The announced total, which is in the frame.
        total: u32,
        /// The complete frame.
        frame: Bytes,
    },
    /// From a shard: the answer to a range request.
    Range {
        /// The request's place in the session's order.
        sequence: u32,
        /// The complete frame.
        frame: Bytes,
    },
    /// From the broadcaster: the boxes you checked had been announced before. One message for all of a
    /// flush, so that repeating many checks does not fill the mailbox.
    AlreadyChecked(Vec<BoxId>),
    /// From anybody: something waits for you outside of your mailbox: output that did not go into your
    /// socket at once, own checks that were refused, the end, or word that something did not fit in here.
    LookAround,
    /// From its hub: a complete frame for your client alone, and something comes before it on your socket.
    Frame(Bytes),
    /// From its hub: the deadline you set yourself has passed.
    DeadlinePassed,
    /// From its hub: your client has been silent too long, and was pinged meanwhile.
    ClientSilent {
        /// Second at which it was last heard: another one by now, and it is not silent.
        seen_s: u32,
    },
}

/// How everybody else reaches a session.
#[derive(Debug)]
pub struct SessionLink {
    /// The session's mailbox. Never cloned: each clone would widen its bound.
    inbox: Recipient<ToSession>,
    /// Who is there.
    player: Player,
    version: Version,
    takes_compressed: bool,
    /// A message did not fit into the mailbox: the session has missed something.
    overflowed: AtomicBool,
    /// Own checks that were not taken.
    refused: Refused,
    /// Second of the node's clock at which it began.
    since_s: u32,
    /// Second of the node's clock at which the client was last heard.
    seen_s: AtomicU32,
    /// Second at which to be reminded with `DeadlinePassed`; 0: never.
    deadline_s: AtomicU32,
}

impl SessionLink {
    /// To the session behind `inbox` on which `player` is, which speaks `version` and was heard at `now_s`.
    pub(crate) fn new(
        inbox: Recipient<ToSession>,
        player: Player,
        version: Version,
        takes_compressed: bool,
        now_s: u32,
    ) -> Self {
        Self {
            inbox,
            player,
            version,
            takes_compressed,
            overflowed: AtomicBool::new(false),
            refused: Refused::default(),
            since_s: now_s,
            seen_s: AtomicU32::new(now_s),
            deadline_s: AtomicU32::new(0),
        }
    }

    /// Sends without waiting. What does not fit makes the session a lagging one.
    pub fn tell(&self, message: ToSession) {
        self.try_tell(message);
    }

    /// The same; whether the message will be handled.
    pub(crate) fn try_tell(&self, message: ToSession) -> bool {
        let sent = self.inbox.try_send(message);
        if let Err(SendError::Full(_)) = sent {
            self.overflowed.store(true, Ordering::Release);
        }
        sent.is_ok()
    }

    /// Refuses a check. One wake-up for as many as are refused before the session looks.
    pub(crate) fn refuse(&self, id: BoxId, reason: Refusal) {
        if self.refused.add(id, reason) {
            self.nudge();
        }
    }

    /// The checks refused since the session last looked, in their order.
    pub(crate) fn take_refused(&self) -> Vec<(BoxId, Refusal)> {
        self.refused.take()
    }

    /// Has the session look after its socket. A full mailbox does that, too.
    pub(crate) fn nudge(&self) {
        // One that has ended needs nothing any more.
        let _ = self.inbox.try_send(ToSession::LookAround);
    }

    /// Whether something did not fit into its mailbox and it has not looked yet.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }

    /// The same, asked by the session itself, which has looked by that.
    pub(crate) fn take_overflow(&self) -> bool {
        self.overflowed.swap(false, Ordering::AcqRel)
    }

    /// Who is there.
    pub fn player(&self) -> &Player {
        &self.player
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.player.session
    }

    /// Which protocol it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether its client understands compressed messages, and may send them.
    pub fn takes_compressed(&self) -> bool {
        self.takes_compressed
    }

    /// Second at which it began.
    pub fn since_s(&self) -> u32 {
        self.since_s
    }

    /// Second at which its client was last heard.
    pub fn seen_s(&self) -> u32 {
        self.seen_s.load(Ordering::Relaxed)
    }

    /// The client was heard at `now_s`.
    pub(crate) fn heard(&self, now_s: u32) {
        self.seen_s.store(now_s, Ordering::Relaxed);
    }

    /// Has the hub remind the session at second `deadline_s`; 0: never.
    pub(crate) fn set_deadline(&self, deadline_s: u32) {
        self.deadline_s.store(deadline_s, Ordering::Relaxed);
    }

    /// Whether a deadline it set has passed.
    pub fn deadline_passed(&self, now_s: u32) -> bool {
        let deadline_s = self.deadline_s.load(Ordering::Relaxed);
        deadline_s != 0 && now_s >= deadline_s
    }
}
