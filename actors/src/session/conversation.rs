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
    limits::{Permit, bucket::PROMISE_MAX, rate::Rate},
    player::Buckets,
    protocol::{ClientMessage, Close, Refusal, Version},
    stats::{Counted, Stats},
    trace::Wait,
};

/// A wait for a token longer than this is not worth a connection (`protocol.md`: "Too fast").
const RATE_WAIT_MAX: Duration = PROMISE_MAX;

/// How fast a client is told that it is too fast, and how often at once: more than anybody's hands need.
const REFUSALS: (f64, u32) = (10.0, 20);

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

/// What others of the same address and user leave, as far as they are counted together.
pub trait Turns {
    /// Takes what `message` costs, at once or when its turn comes.
    ///
    /// # Errors
    /// If that is too far away: how far.
    fn take(&self, message: &ClientMessage) -> Result<Permit, Duration>;

    /// Whether its turn has come.
    ///
    /// # Errors
    /// If not: when to look again.
    fn due(&self, permit: &Permit) -> Result<(), u64>;
}

/// What a decision is made by.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// Now.
    pub now_ns: u64,
    /// How fast the client may ask.
    pub limits: &'a Limits,
    /// What it has left of that.
    pub buckets: &'a Buckets,
    /// What others leave.
    pub turns: &'a dyn Turns,
    /// Who waits is counted here.
    pub stats: &'a Stats,
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
    /// To see whether its turn has come ([`Conversation::turn_has_come`]), or to look again at a time of the clock.
    Turn(Permit),
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
    /// Others of its address or user are before it.
    Turn { message: ClientMessage, permit: Permit, _counted: Counted },
    /// Nothing: its client has sent too much of something else, or was refused too often.
    Slowed { until_ns: u64, _counted: Counted },
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
    pub fn accept(&mut self, message: ClientMessage, moment: &Moment<'_>) -> Effect {
        debug_assert!(self.held.is_none(), "one message is held at a time");
        let Moment { now_ns, limits, buckets, turns, stats } = *moment;
        let (bucket, rate) = match message {
            ClientMessage::Check(_) => (&buckets.checks, limits.checks),
            ClientMessage::Range(_) => (&buckets.ranges, limits.ranges),
        };
        if let Err(wait) = bucket.take(rate, 1, now_ns) {
            return match message {
                ClientMessage::Check(id) if self.is_scoped() => self.too_fast(id, moment),
                _ if wait > RATE_WAIT_MAX => Effect::Close(Close::RATE),
                _ => self.hold_until_there_is_a_token(message, wait, moment),
            };
        }
        let permit = match turns.take(&message) {
            Ok(permit) => permit,
            Err(wait) => {
                bucket.give_back(rate, 1);
                // Nobody is closed for what a neighbour has sent.
                return match message {
                    ClientMessage::Check(id) if self.is_scoped() => self.too_fast(id, moment),
                    _ => self.hold_until_there_is_a_token(message, wait, moment),
                };
            }
        };
        if turns.due(&permit).is_err() {
            let _counted = Counted::one(&stats.sessions_throttled);
            self.held = Some(Box::new(Held::Turn { message, permit, _counted }));
            return Effect::Wait;
        }
        self.pass(message, stats)
    }

    fn pass(&mut self, message: ClientMessage, stats: &Stats) -> Effect {
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

    /// The turn of the message that is held has come.
    pub fn turn_has_come(&mut self, stats: &Stats) -> Effect {
        let Some(Held::Turn { message, .. }) = self.held.take().map(|held| *held) else {
            unreachable!("one was waiting for it")
        };
        self.pass(message, stats)
    }

    fn hold_until_there_is_a_token(
        &mut self,
        message: ClientMessage,
        wait: Duration,
        moment: &Moment<'_>,
    ) -> Effect {
        let until_ns = later(moment.now_ns, wait);
        let _counted = Counted::one(&moment.stats.sessions_throttled);
        self.held = Some(Box::new(Held::Throttled { message, until_ns, _counted }));
        Effect::Wait
    }

    /// A check over the rate is refused at once. Who is refused too often is read more slowly.
    fn too_fast(&mut self, id: BoxId, moment: &Moment<'_>) -> Effect {
        self.was_refused(moment);
        Effect::Refuse(id, Refusal::Rate)
    }

    /// Something of the client was refused because it is too fast, which may not happen too often.
    pub fn was_refused(&mut self, moment: &Moment<'_>) {
        let rate = Rate::new(REFUSALS.0, REFUSALS.1);
        let wait = match moment.buckets.refusals.reserve(rate, 1, moment.now_ns) {
            Ok(taken) => Duration::from_nanos(taken.wait_ns),
            Err(wait) => wait,
        };
        self.slow(wait, moment);
    }

    /// Nothing of the client is looked at for so long, unless something is held anyway.
    pub fn slow(&mut self, wait: Duration, moment: &Moment<'_>) {
        if wait > Duration::ZERO && self.held.is_none() {
            let until_ns = later(moment.now_ns, wait);
            let _counted = Counted::one(&moment.stats.sessions_throttled);
            self.held = Some(Box::new(Held::Slowed { until_ns, _counted }));
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
            Some(Held::Throttled { until_ns, .. } | Held::Slowed { until_ns, .. })
                if now_ns < *until_ns =>
            {
                Next::At(*until_ns)
            }
            Some(Held::Throttled { message, .. }) => {
                let message = *message;
                self.held = None;
                Next::Accept(message)
            }
            Some(Held::Turn { permit, .. }) => Next::Turn(*permit),
            Some(Held::Busy { request, until_ns, .. }) => Next::Try(*request, *until_ns),
            Some(Held::Slowed { .. }) => {
                self.held = None;
                self.next(now_ns)
            }
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

    /// What the message that is held waits for.
    pub fn waits_for(&self) -> Option<Wait> {
        self.held.as_deref().map(|held| match held {
            Held::Throttled { .. } => Wait::Rate,
            Held::Turn { .. } => Wait::Turn,
            Held::Slowed { .. } => Wait::Pause,
            Held::Busy { .. } => Wait::Room,
        })
    }

    /// Whether a message of the client may be looked at, if nothing else is in the way.
    pub fn may_go_on(&self) -> bool {
        self.held.is_none() && self.again.is_empty()
    }

    /// Range requests whose answers have not been given out.
    pub fn outstanding(&self) -> usize {
        self.answers.outstanding()
    }

    /// The connection ends: nothing is held, asked again or waited for any more. The turn that it has waited for, if
    /// there is one, is for somebody else.
    pub fn end(&mut self) -> Option<Permit> {
        self.again = VecDeque::new();
        self.answers.forget();
        match self.held.take().map(|held| *held) {
            Some(Held::Turn { permit, .. }) => Some(permit),
            _ => None,
        }
    }
}

fn later(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
