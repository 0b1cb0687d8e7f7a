//! Moves bytes between a session and its socket. Decides nothing about them.
//!
//! One [`Pump`] per session does reading and writing. The actor's context polls it after every
//! drain of the mailbox, so handlers only fill the outbox and writes coalesce without extra wake-ups.

use std::{
    future::Future,
    io::{self, ErrorKind, Read as _},
    net::Shutdown,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{ActorContext, ActorFuture, Context};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use super::{
    Held, Phase, Request, Session,
    downlink::Gone,
    frame::{Event, MessageKind, Step},
};
use crate::{
    protocol::{ClientMessage, pong_frame},
    shard::gate::NoRoom,
    stats::Tally,
};

/// Reads of one session before the thread's other tasks get a turn.
const READS_PER_TURN: usize = 4;

/// Drives the socket of its session until it ends.
pub(super) struct Pump;

impl ActorFuture<Session> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if session.turn(task).is_err() {
            ctx.stop();
        }
        Poll::Pending
    }
}

impl Session {
    /// Reads and writes as far as it goes without waiting.
    fn turn(&mut self, task: &mut TaskContext<'_>) -> Result<(), Gone> {
        // First, so that a resync does not ask for them again.
        self.answer_refused();
        if self.link.overflowed.swap(false, Ordering::AcqRel) {
            self.begin_to_lag();
        }
        let mut reads = 0;
        loop {
            self.go_on(task);
            let read = self.poll_read(task, &mut reads)?;
            if self.held.is_some() {
                // Held just now, or still: nothing wakes us unless what it waits for knows us.
                self.go_on(task);
                if self.held.is_none() {
                    continue;
                }
            }
            let was_reading = self.may_read();
            let written = self.poll_write(task)?;
            if !was_reading && self.may_read() {
                // What was written made room for reading, which nothing else would resume.
                continue;
            }
            if written.is_ready() {
                if self.downlink.lagging.get() && self.downlink.is_open() {
                    self.resync();
                    continue;
                }
                if self.downlink.phase.get() == Phase::Closing {
                    self.downlink.phase.set(Phase::Discarding);
                    self.set_deadline(Some(self.settings().close_timeout));
                    // The client may be gone already; reading will tell.
                    let _ = SockRef::from(&self.downlink.stream).shutdown(Shutdown::Write);
                    continue;
                }
            }
            self.watch_outbox();
            if read.is_pending() {
                self.downlink.paused.set(!self.may_read());
                return Ok(());
            }
            if reads >= READS_PER_TURN {
                task.waker().wake_by_ref();
                return Ok(());
            }
        }
    }

    /// Lets held and repeated requests go on if they can.
    fn go_on(&mut self, task: &mut TaskContext<'_>) {
        loop {
            match self.held.as_deref_mut() {
                Some(Held::Throttled { message, token }) => {
                    if token.as_mut().poll(task).is_pending() {
                        return;
                    }
                    let message = *message;
                    self.release_held();
                    self.accept(message);
                }
                Some(Held::Busy { request, .. }) => {
                    let request = *request;
                    match self.poll_busy(request, task) {
                        Poll::Pending => return,
                        Poll::Ready(sent) => {
                            self.release_held();
                            if !sent {
                                self.give_up(request);
                            }
                        }
                    }
                }
                None => {
                    let Some(request) = self.resync.pop_front() else { return };
                    self.submit(request);
                }
            }
        }
    }

    /// Ready with `true` when the shard took the request, with `false` when time is up.
    fn poll_busy(&mut self, request: Request, task: &mut TaskContext<'_>) -> Poll<bool> {
        let Err(no_room) = self.offer(request) else { return Poll::Ready(true) };
        let id = match request {
            Request::Check(id) => id,
            Request::Range(range, _) => range.first(),
        };
        let node = &self.worker.node;
        let gate = &node.shard(node.board.locate(id).0).gate;
        match no_room {
            NoRoom::Place => gate.wait_for_place(task.waker()),
            NoRoom::Mailbox => gate.wait_for_mailbox(task.waker()),
        }
        // Once more, now that nobody can make room unnoticed. What lacks may have changed.
        match self.offer(request) {
            Ok(()) => return Poll::Ready(true),
            Err(NoRoom::Place) => gate.wait_for_place(task.waker()),
            Err(NoRoom::Mailbox) => gate.wait_for_mailbox(task.waker()),
        }
        match self.held.as_deref_mut() {
            Some(Held::Busy { timeout, .. }) => timeout.as_mut().poll(task).map(|()| false),
            _ => Poll::Pending,
        }
    }

    /// Whether the next message of the client may be looked at.
    fn may_read(&self) -> bool {
        let settings = self.settings();
        let outbox = self.downlink.outbox();
        let view = self.downlink.view();
        self.downlink.is_open()
            && self.held.is_none()
            && self.resync.is_empty()
            && view.is_none_or(|view| view.unanswered().len() < settings.checks_outstanding)
            && self.answers.slots.len() + outbox.ranges() < settings.ranges_outstanding
            && outbox.load() <= settings.outbox_bytes
            && !self.worker.node.is_draining()
    }

    /// Pending when the socket has nothing more, or must not be read now.
    fn poll_read(
        &mut self,
        task: &mut TaskContext<'_>,
        reads: &mut usize,
    ) -> Result<Poll<()>, Gone> {
        if self.downlink.phase.get() == Phase::Discarding {
            return self.poll_discard(task, reads);
        }
        if self.may_read() && !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            let taken = self.interpret(&mut unread);
            unread.drain(..taken);
            if self.downlink.is_open() && !unread.is_empty() {
                self.unread = unread;
            }
        }
        while self.may_read() {
            if *reads >= READS_PER_TURN {
                return Ok(Poll::Ready(()));
            }
            *reads += 1;
            let worker = self.worker.clone();
            let mut buffer = worker.read_buffer.borrow_mut();
            let Poll::Ready(received) = self.poll_receive(task, &mut buffer)? else {
                return Ok(Poll::Pending);
            };
            self.heard();
            self.take_in(&mut buffer[..received]);
        }
        Ok(Poll::Pending)
    }

    /// Interprets fresh bytes, keeping what is incomplete or must wait.
    fn take_in(&mut self, fresh: &mut [u8]) {
        if self.unread.is_empty() {
            let taken = self.interpret(fresh);
            if self.downlink.is_open() {
                self.unread.extend_from_slice(&fresh[taken..]);
            }
            return;
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(fresh);
        let taken = self.interpret(&mut unread);
        if self.downlink.is_open() && taken < unread.len() {
            unread.drain(..taken);
            self.unread = unread;
        }
    }

    /// Acts on whole frames until one must wait; how many bytes are done with.
    fn interpret(&mut self, bytes: &mut [u8]) -> usize {
        let limits = self.settings().frames;
        let mut decoder = std::mem::take(&mut self.decoder);
        let mut at = 0;
        while self.may_read() {
            match decoder.step(&mut bytes[at..], limits) {
                Ok(Step::NeedMore) => break,
                Ok(Step::Taken(taken, event)) => {
                    at += taken;
                    self.act_on(event);
                }
                Err(violation) => {
                    self.worker.node.stats.refused("protocol");
                    self.close(violation);
                }
            }
        }
        self.decoder = decoder;
        at
    }

    fn act_on(&mut self, event: Event<'_>) {
        match event {
            Event::Message(MessageKind::Binary, payload) => {
                match ClientMessage::decode(&self.worker.node.board, payload) {
                    Ok(message) => self.accept(message),
                    Err(violation) => {
                        self.worker.node.stats.refused("message");
                        self.close(violation);
                    }
                }
            }
            Event::Message(MessageKind::Text, _) => unreachable!("the frame limits refuse text"),
            Event::Ping(payload) => self.say(pong_frame(payload)),
            Event::Close(code) => self.closed_by_client(code),
            Event::Nothing => {}
        }
    }

    /// Reads and forgets until the client closes its side.
    fn poll_discard(
        &mut self,
        task: &mut TaskContext<'_>,
        reads: &mut usize,
    ) -> Result<Poll<()>, Gone> {
        while *reads < READS_PER_TURN {
            *reads += 1;
            let worker = self.worker.clone();
            let mut buffer = worker.read_buffer.borrow_mut();
            if self.poll_receive(task, &mut buffer)?.is_pending() {
                return Ok(Poll::Pending);
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Bytes received; an end of the stream is [`Gone`].
    fn poll_receive(
        &self,
        task: &mut TaskContext<'_>,
        buffer: &mut [u8],
    ) -> Result<Poll<usize>, Gone> {
        loop {
            match self.downlink.stream.poll_read_ready(task) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Ready(Ok(())) => {}
            }
            match receive(&self.downlink.stream, buffer) {
                Ok(0) => return Err(Gone),
                Ok(received) => return Ok(Poll::Ready(received)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Ready when the outbox is empty.
    fn poll_write(&self, task: &mut TaskContext<'_>) -> Result<Poll<()>, Gone> {
        let mut tally = Tally::default();
        while !self.downlink.outbox().is_empty() {
            let written = self.downlink.write_outbox(&mut tally);
            self.worker.node.stats.delivered(&mut tally);
            if written? {
                break;
            }
            match self.downlink.stream.poll_write_ready(task) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Ready(Ok(())) => {}
            }
        }
        Ok(Poll::Ready(()))
    }
}

/// Reads once. A buffer that is not full has emptied the socket: the next arrival is another edge of
/// epoll, so that there is no need to read again only to be told (half of all reads used to be that).
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut received = None;
    let read = stream.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(stream)).read(buffer)?;
        received = Some(count);
        // What tokio takes for "not readable any more"; the end of the stream stays readable.
        if (1..buffer.len()).contains(&count) {
            Err(ErrorKind::WouldBlock.into())
        } else {
            Ok(count)
        }
    });
    received.map_or(read, Ok)
}

/// Has the kernel drop unsent output at once when the socket is dropped.
pub(super) fn reset_on_drop(stream: &TcpStream) {
    // Failing means the socket is dead already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
