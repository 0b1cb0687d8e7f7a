//! The downward half of a session: its socket, what it has been told and what waits to be told.
//!
//! Shared by the session actor and the hub of the same thread, so that the hub can write to a socket
//! for which nothing waits without a detour through the mailbox: a flush then costs one system call, no
//! wake-up and no poll of the actor, and to a plain client no allocation. Whenever anything is before it (output or
//! messages that wait, a client that lags or is not there yet), what is told takes its place behind that in the
//! session's mailbox. Nothing here is held across an await.
//!
//! Messages of other players go beside all that ([`send_beside`]): they never wait in a mailbox, and are lost before a box is.
//!
//! Its fields change here and nowhere else, but for what an operator follows. The hub has [`tell`], and [`end`] when there is nothing more to tell; the
//! session has [`open`], [`say`], [`lag`], [`caught_up`] and [`close`], and for what the hub has put into its mailbox
//! [`heard`] and [`take`].
//!
//! [`send_beside`]: Downlink::send_beside
//! [`tell`]: Downlink::tell
//! [`end`]: Downlink::end
//! [`heard`]: Downlink::heard
//! [`take`]: Downlink::take
//! [`open`]: Downlink::open
//! [`say`]: Downlink::say
//! [`lag`]: Downlink::lag
//! [`caught_up`]: Downlink::caught_up
//! [`close`]: Downlink::close

use std::{
    cell::{Cell, OnceCell, RefCell, RefMut},
    collections::BTreeSet,
    io::{ErrorKind, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::pulses::Rider;
use crate::{
    broadcaster::batch::Batch,
    clock::Clock,
    limits::{bucket::TokenBucket, rate::Rate},
    link::{SessionLink, ToSession},
    live::LiveSettings,
    protocol::{Close, Version, total_frame},
    seen::Seen,
    session::{
        outbox::{Kind, Outbox, server_frame_end},
        view::View,
    },
    stats::{Counted, Stats, Tally},
    trace::{Trace, What},
    worker::voice::Voice,
};

/// Pieces of output offered to the kernel in one `writev`.
const WRITE_SLICES: usize = 32;

/// The socket is of no more use.
pub(crate) struct Gone;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On its way into the hub; the client has been told nothing yet and is not read.
    Joining,
    /// Playing.
    Open,
    /// A Close frame is the last thing in the outbox.
    Closing,
    /// Everything was written; waiting for the client to close its side.
    Discarding,
}

/// What a hub tells its sessions.
#[derive(Clone, Copy)]
pub(crate) enum Told<'t> {
    /// Updates, and a pulse that goes along with them.
    Batch(&'t Arc<Batch>, Option<&'t Rider>),
    /// A pulse alone: the total in the complete frame.
    Pulse(u32, &'t Bytes),
    /// A complete frame for this client alone.
    Frame(&'t Bytes),
}

/// The downward half of one session.
pub(crate) struct Downlink {
    /// How those on other threads reach the session.
    pub(crate) link: Arc<SessionLink>,
    stream: TcpStream,
    phase: Cell<Phase>,
    outbox: RefCell<Outbox>,
    /// The last total this client was told.
    told: Cell<u32>,
    /// The announced total as far as this session has heard, even while it drops updates.
    latest: Cell<u32>,
    /// The client does not drain: updates are dropped.
    lagging: RefCell<Option<Counted>>,
    /// Messages of the hub in the mailbox that have to come before whatever it tells next.
    queued: Cell<u32>,
    /// What a `v=2` client looks at.
    view: Option<RefCell<View>>,
    /// The socket is not read, maybe because too many checks await their answers.
    paused: Cell<bool>,
    /// The walk that has found this session already.
    found: Cell<u32>,
    /// Number of the last pulse it was told.
    pulse: Cell<u32>,
    /// How it is to end: it hears of nothing any more. Boxed, because most of the time nobody has said so.
    end: OnceCell<Box<Close>>,
    /// Once its client has spoken, or if it is a user's.
    voice: OnceCell<Box<Voice>>,
    /// An operator may follow it.
    pub(crate) trace: Trace,
}

impl Downlink {
    /// To the client at the other end of `stream`, whose session is reached by `link`.
    pub(crate) fn new(link: Arc<SessionLink>, stream: TcpStream) -> Self {
        let view = (link.version() == Version::V2).then(RefCell::default);
        Self {
            link,
            stream,
            phase: Cell::new(Phase::Joining),
            outbox: RefCell::default(),
            told: Cell::new(0),
            latest: Cell::new(0),
            lagging: RefCell::default(),
            queued: Cell::new(0),
            view,
            paused: Cell::new(false),
            found: Cell::new(0),
            pulse: Cell::new(0),
            end: OnceCell::new(),
            voice: OnceCell::new(),
            trace: Trace::default(),
        }
    }

    /// The socket, to be read.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What a `v=2` client looks at; `None` for a plain one.
    pub(crate) fn view(&self) -> Option<RefMut<'_, View>> {
        self.view.as_ref().map(RefCell::borrow_mut)
    }

    /// Its part in what people say, if it has any.
    pub(crate) fn voice(&self) -> Option<&Voice> {
        self.voice.get().map(|voice| &**voice)
    }

    /// The same, from now on in any case.
    pub(crate) fn own_voice(&self) -> &Voice {
        self.voice.get_or_init(Box::default)
    }

    /// Sends frames that have no order among what the hub and the shards send: straight to the socket if nothing waits for
    /// it, behind what waits if that weighs at most `room`. Otherwise not, nor to one that lags; whether it was sent, or
    /// nobody is there to miss it.
    pub(crate) fn send_beside(&self, frames: &Bytes, room: usize, tally: &mut Tally) -> bool {
        if !self.is_open() || self.ending().is_some() {
            return true;
        }
        if self.is_lagging() || self.link.has_overflowed() || self.load() > room {
            return false;
        }
        match self.is_drained() {
            true => self.write_or_keep(frames.clone(), tally),
            // Its session waits for the socket already.
            false => self.say(frames.clone()),
        }
        true
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

    /// As operators see it now.
    pub(crate) fn seen(&self, clock: Clock, live: &LiveSettings) -> Seen {
        let (now_s, now_ns) = (clock.now_s(), clock.now_ns());
        let left = |bucket: &TokenBucket, rate: Rate| {
            (!rate.is_unlimited()).then(|| rate.left(bucket.full_in_ns(now_ns)))
        };
        let (link, view) = (&self.link, self.view.as_ref().map(RefCell::borrow));
        let ranges = view.as_ref().map_or(&[][..], |view| view.ranges());
        let tiles: BTreeSet<u32> = ranges.iter().flat_map(|range| range.tiles()).collect();
        let player = link.player();
        Seen {
            session: link.id(),
            ip: player.ip,
            address: player.address,
            user: player.user(),
            board: String::new(),
            version: link.version(),
            takes_compressed: link.takes_compressed(),
            age_s: now_s.saturating_sub(link.since_s()),
            silent_s: now_s.saturating_sub(link.seen_s()),
            outbox_bytes: self.load(),
            is_lagging: self.is_lagging(),
            tiles: tiles.into_iter().collect(),
            unanswered: view.as_ref().map_or(0, |view| view.unanswered().len()),
            checks_left: left(&player.buckets.checks, live.checks),
            ranges_left: left(&player.buckets.ranges, live.ranges),
        }
    }

    /// Has the session end, if nobody had before. No mailbox is too full for that.
    pub(crate) fn end(&self, end: Close) {
        if self.end.set(Box::new(end)).is_ok() {
            self.link.nudge();
        }
    }

    /// How the session is to end, although it may not have noticed yet.
    pub(crate) fn ending(&self) -> Option<Close> {
        self.end.get().map(|end| **end)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Whether nobody has said goodbye yet.
    pub(crate) fn is_playing(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::Joining)
    }

    pub(crate) fn is_lagging(&self) -> bool {
        self.lagging.borrow().is_some()
    }

    /// What waits for the socket weighs so much.
    pub(crate) fn load(&self) -> usize {
        self.outbox.borrow().load()
    }

    /// Range answers that wait for the socket.
    pub(crate) fn ranges(&self) -> usize {
        self.outbox.borrow().ranges()
    }

    /// Whether nothing waits for the socket.
    pub(crate) fn is_drained(&self) -> bool {
        self.outbox.borrow().is_empty()
    }

    /// Whether nothing at all comes before what the hub is about to tell.
    fn is_idle(&self) -> bool {
        self.is_open()
            && self.queued.get() == 0
            && !self.is_lagging()
            && !self.link.has_overflowed()
            && self.is_drained()
    }

    /// The client is on its hub's list and is told the total.
    pub(crate) fn open(&self, total: u32) {
        self.phase.set(Phase::Open);
        self.latest.set(total);
        self.say_total(total);
    }

    /// Puts frames behind what waits for the socket.
    pub(crate) fn say(&self, frames: Bytes) {
        self.trace.note(|| What::Sent(frames.clone()));
        self.outbox.borrow_mut().push(Kind::Other, frames);
    }

    /// The same for the answer to a range request.
    pub(crate) fn say_range(&self, frame: Bytes) {
        self.trace.note(|| What::Sent(frame.clone()));
        self.outbox.borrow_mut().push(Kind::Range, frame);
    }

    fn say_total(&self, total: u32) {
        self.say(total_frame(total));
        self.told.set(total);
    }

    /// The last total this client was told.
    pub(crate) fn told(&self) -> u32 {
        self.told.get()
    }

    /// Tells something from the hub's side: straight to the socket if that is idle, or by the mailbox; whether that
    /// had room for it.
    pub(crate) fn tell(&self, told: Told<'_>, picked: &mut Vec<u32>, tally: &mut Tally) -> bool {
        if !self.is_idle() {
            return self.queue(told);
        }
        if let Some(frames) = self.take(told, picked, tally) {
            self.write_or_keep(frames, tally);
            if self.paused.get() {
                // It may be read again now, and nothing else would look.
                self.link.nudge();
            }
        }
        true
    }

    fn queue(&self, told: Told<'_>) -> bool {
        let queued = self.link.try_tell(match told {
            Told::Batch(batch, _) => ToSession::Updates(batch.clone()),
            Told::Pulse(total, frame) => ToSession::Pulse { total, frame: frame.clone() },
            Told::Frame(frame) => ToSession::Frame(frame.clone()),
        });
        self.queued.set(self.queued.get() + u32::from(queued));
        queued
    }

    /// A message that the hub has queued is being handled.
    pub(crate) fn heard(&self) {
        self.queued.set(self.queued.get() - 1);
    }

    /// The same of one that says how the total stands.
    pub(crate) fn heard_of(&self, total: u32) {
        self.heard();
        self.latest.set(total);
    }

    /// The frames of it that concern this client, which counts as told.
    pub(crate) fn take(
        &self,
        told: Told<'_>,
        picked: &mut Vec<u32>,
        tally: &mut Tally,
    ) -> Option<Bytes> {
        let (batch, rider) = match told {
            Told::Batch(batch, rider) => (batch, rider),
            Told::Pulse(total, frame) => {
                debug_assert!(total >= self.told.get(), "a hub tells what it has announced");
                self.latest.set(total);
                self.told.set(total);
                return Some(frame.clone());
            }
            Told::Frame(frame) => return Some(frame.clone()),
        };
        self.latest.set(batch.total_after());
        let Some(mut view) = self.view() else {
            tally.updates += batch.len() as u64;
            self.told.set(batch.total_after());
            return Some(batch.frames().clone());
        };
        view.pick(batch.by_id(), picked);
        let last = picked.last()?;
        tally.updates += picked.len() as u64;
        self.told.set(batch.total_at(*last));
        let frames = batch.frames_at(picked);
        let Some(rider) = rider.filter(|rider| self.take_pulse(rider.sequence)) else {
            return Some(frames);
        };
        self.told.set(rider.total);
        Some(joined(&frames, &rider.frame))
    }

    /// The client does not drain: updates are dropped from now on.
    pub(crate) fn lag(&self, stats: &Stats) {
        stats.lags.inc();
        self.trace.note(|| What::Lags);
        *self.lagging.borrow_mut() = Some(Counted::one(&stats.lagging));
    }

    /// It has drained, and is told the highest total that no update still to come falls behind; `settled` is what
    /// every session of this thread has been told.
    pub(crate) fn caught_up(&self, settled: u32) {
        self.lagging.take();
        self.trace.note(|| What::CaughtUp);
        let heard = self.told.get().max(self.latest.get());
        // What waits in the mailbox may be from before.
        self.say_total(if self.queued.get() > 0 { heard } else { heard.max(settled) });
    }

    /// The last thing that is said. Goes behind what is waiting, or in its place if the client does not drain;
    /// whether it is the latter.
    pub(crate) fn close(&self, close: Bytes) -> bool {
        let was_lagging = self.lagging.take().is_some();
        if was_lagging {
            self.outbox.borrow_mut().forget_unstarted(server_frame_end);
        }
        self.say(close);
        self.phase.set(Phase::Closing);
        was_lagging
    }

    /// Everything was said: from here on what the client sends is read and forgotten.
    pub(crate) fn discard(&self) {
        self.phase.set(Phase::Discarding);
        // The client may be gone already; reading will tell.
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Whether the session leaves its socket alone, so that what it is told may change that.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
    }

    /// Writes whole frames to an idle socket; what that does not take waits in the outbox.
    fn write_or_keep(&self, frames: Bytes, tally: &mut Tally) {
        self.trace.note(|| What::Sent(frames.clone()));
        // Whatever went wrong, the session's own writing finds it too, and knows what to do.
        let written = self.stream.try_write(&frames).unwrap_or(0);
        tally.wrote(written);
        if written < frames.len() {
            self.outbox.borrow_mut().push_begun(Kind::Other, frames, written);
            self.link.nudge();
        }
    }

    /// Writes what waits for the socket; ready when nothing does.
    pub(crate) fn poll_write(
        &self,
        task: &mut TaskContext<'_>,
        stats: &Stats,
    ) -> Result<Poll<()>, Gone> {
        let mut tally = Tally::default();
        while !self.is_drained() {
            let written = self.write_outbox(&mut tally);
            stats.delivered(&mut tally);
            if written? {
                break;
            }
            match self.stream.poll_write_ready(task) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Ready(Ok(())) => {}
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Writes until the outbox is empty (`true`) or the socket takes no more.
    fn write_outbox(&self, tally: &mut Tally) -> Result<bool, Gone> {
        let mut outbox = self.outbox.borrow_mut();
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
