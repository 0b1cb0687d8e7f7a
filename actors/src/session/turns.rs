//! How a session's limits meet those that it shares with others: whose turn it is, and who is read more slowly.

use std::time::Duration;

use super::{
    Session,
    conversation::{Conversation, Moment, Turns},
};
use crate::{
    limits::{Kind, Patience, Permit, Rates, bucket::PROMISE_MAX},
    link::SessionLink,
    protocol::{ClientMessage, range_frame_bytes},
    worker::desk::Desk,
};

/// Of a connection's own rate of frames and bytes, a tenth is not counted for its address: whoever does no more than
/// people do is not read more slowly for what its neighbours send, however many they are.
const QUIET_PART: u32 = 10;

/// What others of a session's address and user leave it.
struct Shared<'a> {
    desk: &'a Desk,
    link: &'a SessionLink,
    now_ns: u64,
}

impl Turns for Shared<'_> {
    fn take(&self, message: &ClientMessage) -> Result<Permit, Duration> {
        let (kind, tokens) = match message {
            ClientMessage::Check(_) => (Kind::Checks, 1),
            ClientMessage::Range(range) => {
                (Kind::RangeBytes, range_frame_bytes(range.boxes()) as u32)
            }
        };
        let (node, live) = (&self.desk.node, self.desk.live.now());
        let who = self.link.player().who();
        let taken = node.limits.take(who, kind, tokens, &live.shared, self.now_ns, Patience::Turn);
        taken.map_err(|refused| refused.wait)
    }

    fn due(&self, permit: &Permit) -> Result<(), u64> {
        self.desk.node.limits.due(permit, self.now_ns)
    }
}

impl Session {
    /// Has the conversation decide, by the limits and the time there are.
    pub(super) fn decide<T>(
        &mut self,
        decide: impl FnOnce(&mut Conversation, &Moment<'_>) -> T,
    ) -> T {
        let (limits, now_ns) = (self.limits(), self.now_ns());
        let moment = Moment {
            now_ns,
            limits: &limits,
            buckets: &self.link.player().buckets,
            turns: &Shared { desk: &self.desk, link: &self.link, now_ns },
            stats: &self.desk.table.stats,
        };
        decide(&mut self.conversation, &moment)
    }

    /// Counts so much of something that is no message, and reads its sender the more slowly the more it is over.
    pub(super) fn count(&mut self, kind: Kind, tokens: u32) {
        let (live, now_ns) = (self.live(), self.now_ns());
        let player = self.link.player();
        let buckets = &player.buckets;
        let (bucket, quiet, rate) = match kind {
            Kind::ControlFrames => {
                (&buckets.control_frames, &buckets.quiet_control_frames, live.control_frames)
            }
            _ => (&buckets.bytes_in, &buckets.quiet_bytes_in, live.bytes_in),
        };
        // They have come: there is nothing to refuse. Who is far over is not read for as long as any wait lasts.
        let own = bucket.reserve(rate, tokens, now_ns);
        let own = own.map_or(PROMISE_MAX, |taken| Duration::from_nanos(taken.wait_ns));
        let quiet_rate = rate.shared_by(QUIET_PART).with_burst(rate.burst() / QUIET_PART);
        let others = match quiet.take(quiet_rate, tokens, now_ns) {
            Ok(_) => Duration::ZERO,
            Err(_) => self.wait_for_others(kind, tokens, &live.shared),
        };
        let wait = own.max(others);
        if wait > Duration::ZERO && self.downlink.is_open() {
            self.decide(|conversation, moment| conversation.slow(wait, moment));
            self.note_wait();
        }
    }

    /// Counts it for its address and user, too; how long that takes, at most [`PROMISE_MAX`].
    fn wait_for_others(&self, kind: Kind, tokens: u32, rates: &Rates) -> Duration {
        let (limits, now_ns) = (&self.desk.node.limits, self.now_ns());
        let who = self.link.player().who();
        match limits.take(who, kind, tokens, rates, now_ns, Patience::Turn) {
            Ok(permit) => Duration::from_nanos(permit.due_ns().saturating_sub(now_ns)),
            Err(refused) => refused.wait.min(PROMISE_MAX),
        }
    }
}
