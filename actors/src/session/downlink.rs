//! The downward half of a session: its socket, what it has been told and what waits to be told.
//!
//! Shared by the session actor and the hub of the same thread, so that the hub can write to a socket
//! for which nothing waits without a detour through the mailbox: a flush then costs one system call, no
//! wake-up and no poll of the actor, and to a plain client no allocation. Whenever anything is before it (output or
//! messages that wait, a client that lags or is not there yet), a batch takes its place behind that in the
//! session's mailbox. Nothing here is held across an await.

use std::{
    cell::{Cell, RefCell, RefMut},
    io::{ErrorKind, IoSlice},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::{
    Phase, SessionLink,
    outbox::{Kind, Outbox},
    view::View,
};
use crate::{
    broadcaster::batch::Batch,
    messages::{PulseDue, UpdatesFlushed},
    protocol::Version,
    stats::Tally,
};

/// Pieces of output offered to the kernel in one `writev`.
const WRITE_SLICES: usize = 32;

/// The socket is of no more use.
pub(crate) struct Gone;

/// A pulse that goes along with a batch, to those who have not been told it: one write instead of two.
pub(crate) struct Rider {
    /// Its number.
    pub(crate) sequence: u32,
    /// The total after the batch, which is in the frame.
    pub(crate) total: u32,
    /// The complete frame.
    pub(crate) frame: Bytes,
}

/// The downward half of one session.
pub(crate) struct Downlink {
    /// How those on other threads reach the session.
    pub(crate) link: Arc<SessionLink>,
    pub(super) stream: TcpStream,
    pub(super) phase: Cell<Phase>,
    outbox: RefCell<Outbox>,
    /// The last total this client was told.
    pub(super) told: Cell<u32>,
    /// The announced total as far as this session has heard, even while it drops updates.
    pub(super) latest: Cell<u32>,
    pub(super) lagging: Cell<bool>,
    /// Messages of the hub in the mailbox that have to come before whatever it tells next.
    queued: Cell<u32>,
    /// What a `v=2` client looks at.
    view: Option<RefCell<View>>,
    /// The socket is not read, maybe because too many checks await their answers.
    pub(super) paused: Cell<bool>,
    /// The walk that has found this session already.
    found: Cell<u32>,
    /// Number of the last pulse it was told.
    pulse: Cell<u32>,
    /// Was told to end: hears of nothing any more.
    ended: Cell<bool>,
}

impl Downlink {
    pub(super) fn new(link: Arc<SessionLink>, stream: TcpStream) -> Self {
        let view = (link.version() == Version::V2).then(RefCell::default);
        Self {
            link,
            stream,
            phase: Cell::new(Phase::Joining),
            outbox: RefCell::default(),
            told: Cell::new(0),
            latest: Cell::new(0),
            lagging: Cell::new(false),
            queued: Cell::new(0),
            view,
            paused: Cell::new(false),
            found: Cell::new(0),
            pulse: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    pub(super) fn outbox(&self) -> RefMut<'_, Outbox> {
        self.outbox.borrow_mut()
    }

    /// What a `v=2` client looks at; `None` for a plain one.
    pub(super) fn view(&self) -> Option<RefMut<'_, View>> {
        self.view.as_ref().map(RefCell::borrow_mut)
    }

    /// Whether own checks await their answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.view.as_ref().is_some_and(|view| !view.borrow().unanswered().is_empty())
    }

    /// Whether this is the first time that walk `number` finds this session.
    pub(crate) fn find(&self, number: u32) -> bool {
        self.found.replace(number) != number
    }

    /// Whether it has yet to be told the pulse of this number, which counts as told from here on.
    pub(crate) fn take_pulse(&self, sequence: u32) -> bool {
        self.pulse.replace(sequence) != sequence
    }

    /// The session has been told to end.
    pub(crate) fn end(&self) {
        self.ended.set(true);
    }

    /// Whether the session has been told to end, although it may not have noticed yet.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    /// Whether a message of the hub that it counted has not been handled yet.
    pub(super) fn is_behind(&self) -> bool {
        self.queued.get() > 0
    }

    /// A message that the hub counted is being handled.
    pub(super) fn handling(&self) {
        self.queued.set(self.queued.get() - 1);
    }

    /// Whether nothing at all comes before what the hub is about to tell.
    fn is_idle(&self) -> bool {
        self.is_open()
            && !self.is_behind()
            && !self.lagging.get()
            && !self.link.has_overflowed()
            && self.outbox.borrow().is_empty()
    }

    /// Tells a batch: straight to the socket if that is idle, or by the mailbox.
    pub(crate) fn tell_batch(
        &self,
        batch: &Arc<Batch>,
        rider: Option<&Rider>,
        picked: &mut Vec<u32>,
        tally: &mut Tally,
    ) {
        if !self.is_idle() {
            return self.queue(self.link.try_tell(UpdatesFlushed(batch.clone())));
        }
        self.latest.set(batch.total_after());
        if let Some(mut frames) = self.take(batch, picked, tally) {
            if let Some(rider) = rider.filter(|rider| self.take_pulse(rider.sequence)) {
                frames = joined(&frames, &rider.frame);
                self.told.set(rider.total);
            }
            self.write_or_keep(frames, tally);
            if self.paused.get() {
                // It may be read again now, and nothing else would look.
                self.link.nudge();
            }
        }
    }

    /// What of a batch concerns this client, which counts as told.
    pub(super) fn take(
        &self,
        batch: &Batch,
        picked: &mut Vec<u32>,
        tally: &mut Tally,
    ) -> Option<Bytes> {
        let Some(mut view) = self.view() else {
            tally.updates += batch.len() as u64;
            self.told.set(batch.total_after());
            return Some(batch.frames().clone());
        };
        view.pick(batch.by_id(), picked);
        let last = picked.last()?;
        tally.updates += picked.len() as u64;
        self.told.set(batch.total_at(*last));
        Some(batch.frames_at(picked))
    }

    /// Tells a pulse, the same way.
    pub(crate) fn tell_pulse(&self, total: u32, frame: &Bytes, tally: &mut Tally) {
        if !self.is_idle() {
            return self.queue(self.link.try_tell(PulseDue { total, frame: frame.clone() }));
        }
        debug_assert!(total >= self.told.get(), "a hub tells what it has announced");
        self.latest.set(total);
        self.told.set(total);
        self.write_or_keep(frame.clone(), tally);
    }

    fn queue(&self, told: bool) {
        self.queued.set(self.queued.get() + u32::from(told));
    }

    /// Writes whole frames to an idle socket; what that does not take waits in the outbox.
    fn write_or_keep(&self, frames: Bytes, tally: &mut Tally) {
        // Whatever went wrong, the session's own writing finds it too, and knows what to do.
        let written = self.stream.try_write(&frames).unwrap_or(0);
        tally.wrote(written);
        if written < frames.len() {
            self.outbox().push_begun(Kind::Other, frames, written);
            self.link.nudge();
        }
    }

    /// Writes what waits in the outbox, until that is empty (`true`) or the socket takes no more.
    pub(super) fn write_outbox(&self, tally: &mut Tally) -> Result<bool, Gone> {
        let mut outbox = self.outbox();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = outbox.slices(&mut slices);
            match self.stream.try_write_vectored(&slices[..filled]) {
                Ok(written) => {
                    tally.wrote(written);
                    outbox.wrote(written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Gone),
            }
        }
        Ok(true)
    }
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}
