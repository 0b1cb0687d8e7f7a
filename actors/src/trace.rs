//! What an operator follows of one session: what its client sends, what it is sent, and what is decided in between.
//!
//! A session that nobody follows pays for one look at a cell that is empty. The follower's queue is bounded: what does not
//! fit is counted, and the next event that fits is preceded by the count.

use std::{
    cell::{Cell, RefCell},
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::protocol::ClientMessage;

/// Events that wait for a follower: the answers to ranges are the largest, 12.5 KB each, so that is at most 3.2 MB.
const QUEUED_EVENTS: usize = 256;

/// One thing that happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The client has sent a message.
    Received(ClientMessage),
    /// The client has sent text of so many bytes, whose content is nobody else's business.
    ReceivedText(usize),
    /// The client has sent a Ping.
    ReceivedPing,
    /// The client has sent a Pong.
    ReceivedPong,
    /// The client has sent a Close, with this code.
    ReceivedClose(Option<u16>),
    /// Whole frames were put behind what waits for the socket, or were written to it.
    Sent(Bytes),
    /// The socket is not read, because the message that came last waits.
    Held(Wait),
    /// That message goes on.
    WentOn,
    /// The client does not drain: updates are dropped from now on.
    Lags,
    /// It has drained.
    CaughtUp,
    /// The session ends without a Close.
    Cut,
    /// So many events before this one did not fit into the follower's queue.
    Lost(u64),
}

/// What a message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The connection's rate.
    Rate,
    /// Its turn among the messages of the same address and user.
    Turn,
    /// A pause, because the client has sent too much of something else, or was refused too often.
    Pause,
    /// Room in its shard.
    Room,
}

/// What a follower listens to.
pub type Events = mpsc::Receiver<Event>;

/// To one follower.
#[derive(Debug, Clone)]
pub struct Tracer(mpsc::Sender<Event>);

impl Tracer {
    /// A tracer and the events that it will write.
    pub fn new() -> (Self, Events) {
        let (sender, events) = mpsc::channel(QUEUED_EVENTS);
        (Self(sender), events)
    }
}

/// Where the tracer of a session is, if somebody follows it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    follower: RefCell<Option<mpsc::Sender<Event>>>,
    lost: Cell<u64>,
}

impl Trace {
    /// Begins to write to `tracer`, unless somebody follows already.
    pub(crate) fn begin(&self, tracer: Tracer) -> bool {
        let mut follower = self.follower.borrow_mut();
        let is_free = follower.as_ref().is_none_or(mpsc::Sender::is_closed);
        if is_free {
            *follower = Some(tracer.0);
            self.lost.set(0);
        }
        is_free
    }

    /// Writes an event, if somebody follows.
    pub(crate) fn note(&self, what: impl FnOnce() -> What) {
        let mut follower = self.follower.borrow_mut();
        let Some(sender) = &*follower else { return };
        let at = SystemTime::now();
        if self.lost.get() > 0 {
            let lost = Event { at, what: What::Lost(self.lost.get()) };
            if sender.try_send(lost).is_ok() {
                self.lost.set(0);
            }
        }
        match sender.try_send(Event { at, what: what() }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.lost.set(self.lost.get() + 1),
            Err(mpsc::error::TrySendError::Closed(_)) => *follower = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_waits() {
        let trace = Trace::default();
        trace.note(|| unreachable!("nobody follows"));
        let (tracer, mut events) = Tracer::new();
        assert!(trace.begin(tracer.clone()) && !trace.begin(tracer));
        for _ in 0..QUEUED_EVENTS + 5 {
            trace.note(|| What::Lags);
        }
        assert_eq!(events.try_recv().expect("the first").what, What::Lags);
        assert_eq!(events.try_recv().expect("the second").what, What::Lags);
        trace.note(|| What::CaughtUp);
        let rest: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let last = rest[rest.len() - 2..].iter().map(|event| event.what.clone());
        assert_eq!(last.collect::<Vec<_>>(), [What::Lost(5), What::CaughtUp]);
        drop(events);
        trace.note(|| What::Lags);
        let (next, _events) = Tracer::new();
        assert!(trace.begin(next), "who is gone follows no more");
    }
}
