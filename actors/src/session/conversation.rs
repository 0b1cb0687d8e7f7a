//! What a client may ask for and when: rates, one message held back at a time, answers in order, and the second
//! asking of a client that has missed something. Plain data: messages in, effects out, time as `now_ns`.
//!
//! Nothing a client asks is lost or doubled. A message that cannot go on yet is held, and nothing after it is
//! looked at before: that is the pressure a client feels.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::answers::Answers;
use crate::{
    board::{BoxId, BoxRange},
    limits::Rate,
    player::Buckets,
    protocol::{ClientMessage, Close, Refusal, Version},
    stats::{Counted, Stats},
};

/// A wait for a token longer than this is not worth a connection (`protocol.md`: "Too fast").
const RATE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How fast a client may ask, and how long it may have to wait for its shard.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of checks.
    pub checks: Rate,
    /// Of range requests.
    pub ranges: Rate,
    /// Longest wait for room in a shard.
    pub patience: Duration,
}

/// A request that was accepted and needs a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Check this box.
    Check(BoxId),
    /// Read this range, for the answer at this place in the order.
    Range(BoxRange, u32),
}

/// What is to be done for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Have whoever asked found by news of it, then put the request on its way to its shard; if there is no
    /// room, say so ([`Conversation::found_no_room`]).
    Ask(Request),
    /// Tell it that its check was not taken.
    Refuse(BoxId, Refusal),
    /// End the connection.
    Close(Close),
    /// Nothing yet: it waits for a token.
    Wait,
}

/// What is next for a client of which nothing new is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it may be read.
    Rest,
    /// Nothing before this time of the clock.
    At(u64),
    /// To accept its message once more: there is a token by now.
    Accept(ClientMessage),
    /// To try whether there is room for its request, and if so, to say so ([`Conversation::found_room`]); else
    /// again when there may be, and at this time of the clock.
    Try(Request, u64),
    /// To ask again, although it has been asked before; as with [`Effect::Ask`].
    AskAgain(Request),
}

/// Why the socket is not read: one message that cannot go on yet.
#[derive(Debug)]
enum Held {
    /// Over its rate until there is a token.
    Throttled { message: ClientMessage, until_ns: u64, _counted: Counted },
    /// No room in its shard; given up when its time has come.
    Busy { request: Request, until_ns: u64, _counted: Counted },
}

/// What one client has asked for and has not been answered about.
#[derive(Debug)]
pub struct Conversation {
    version: Version,
    held: Option<Box<Held>>,
    answers: Answers,
    /// Requests of a resync (`v=2`) that have not gone out yet.
    again: VecDeque<Request>,
}

impl Conversation {
    /// With a client that speaks `version` and has said nothing yet.
    pub fn new(version: Version) -> Self {
        Self { version, held: None, answers: Answers::default(), again: VecDeque::new() }
    }

    fn is_scoped(&self) -> bool {
        self.version == Version::V2
    }

    /// Takes one message as far as it goes now.
    pub fn accept(
        &mut self,
        message: ClientMessage,
        buckets: &Buckets,
        limits: &Limits,
        now_ns: u64,
        stats: &Stats,
    ) -> Effect {
        debug_assert!(self.held.is_none(), "one message is held at a time");
        let (bucket, rate) = match message {
            ClientMessage::Check(_) => (&buckets.checks, limits.checks),
            ClientMessage::Range(_) => (&buckets.ranges, limits.ranges),
        };
        if let Err(wait) = bucket.take(rate, now_ns) {
            return self.over_rate(message, wait, now_ns, stats);
        }
        match message {
            ClientMessage::Check(id) => {
                stats.checks_received.inc();
                Effect::Ask(Request::Check(id))
            }
            ClientMessage::Range(range) => {
                Effect::Ask(Request::Range(range, self.answers.expect()))
            }
        }
    }

    fn over_rate(
        &mut self,
        message: ClientMessage,
        wait: Duration,
        now_ns: u64,
        stats: &Stats,
    ) -> Effect {
        match message {
            ClientMessage::Check(id) if self.is_scoped() => Effect::Refuse(id, Refusal::Rate),
            _ if wait > RATE_WAIT_MAX => Effect::Close(Close::RATE),
            _ => {
                let until_ns = later(now_ns, wait);
                let _counted = Counted::one(&stats.sessions_throttled);
                self.held = Some(Box::new(Held::Throttled { message, until_ns, _counted }));
                Effect::Wait
            }
        }
    }

    /// There is no room for a request that was to be asked: it is held, and tried again.
    pub fn found_no_room(&mut self, request: Request, limits: &Limits, now_ns: u64, stats: &Stats) {
        debug_assert!(self.held.is_none(), "one message is held at a time");
        let until_ns = later(now_ns, limits.patience);
        let _counted = Counted::one(&stats.sessions_paused);
        self.held = Some(Box::new(Held::Busy { request, until_ns, _counted }));
    }

    /// What is next at `now_ns`.
    pub fn next(&mut self, now_ns: u64) -> Next {
        match self.held.as_deref() {
            Some(Held::Throttled { until_ns, .. }) if now_ns < *until_ns => Next::At(*until_ns),
            Some(Held::Throttled { message, .. }) => {
                let message = *message;
                self.held = None;
                Next::Accept(message)
            }
            Some(Held::Busy { request, until_ns, .. }) => Next::Try(*request, *until_ns),
            None => self.again.pop_front().map_or(Next::Rest, Next::AskAgain),
        }
    }

    /// There was room for the request that is held.
    pub fn found_room(&mut self) {
        debug_assert!(matches!(self.held.as_deref(), Some(Held::Busy { .. })), "one was tried");
        self.held = None;
    }

    /// Gives up the request that is held, for which there was no room in time.
    pub fn give_up(&mut self) -> Effect {
        let Some(Held::Busy { request, .. }) = self.held.take().map(|held| *held) else {
            unreachable!("one was tried")
        };
        match request {
            Request::Check(id) if self.is_scoped() => Effect::Refuse(id, Refusal::Busy),
            _ => Effect::Close(Close::BUSY),
        }
    }

    /// Takes an answer in and gives out those that are next in order.
    pub fn answered(&mut self, sequence: u32, frame: Bytes) -> impl Iterator<Item = Bytes> + '_ {
        self.answers.arrived(sequence, frame)
    }

    /// The client has missed something: reads what it looks at again and repeats its own checks, which answers
    /// those that were taken and harmlessly repeats the others. Answers to earlier requests are not told.
    pub fn resync(
        &mut self,
        ranges: impl IntoIterator<Item = BoxRange>,
        own: impl IntoIterator<Item = BoxId>,
    ) {
        self.answers.forget();
        self.again.clear();
        // It is among what is asked again. By itself it could be refused, and then asked again all the same.
        self.held.take_if(|held| matches!(**held, Held::Busy { .. }));
        for range in ranges {
            self.again.push_back(Request::Range(range, self.answers.expect()));
        }
        self.again.extend(own.into_iter().map(Request::Check));
    }

    /// Whether a message is held; what holds it up has to wake somebody.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether a message of the client may be looked at, if nothing else is in the way.
    pub fn may_go_on(&self) -> bool {
        self.held.is_none() && self.again.is_empty()
    }

    /// Range requests whose answers have not been given out.
    pub fn outstanding(&self) -> usize {
        self.answers.outstanding()
    }

    /// The connection ends: nothing is held, asked again or waited for any more.
    pub fn end(&mut self) {
        self.held = None;
        self.again = VecDeque::new();
        self.answers.forget();
    }
}

fn later(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
