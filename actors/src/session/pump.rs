//! A session's turns: reading and writing as far as it goes without waiting.
//!
//! One [`Pump`] per session does both. The actor's context polls it after every drain of the mailbox, so
//! handlers only fill the outbox and writes coalesce without extra wake-ups.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, ActorContext, ActorFuture, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{
    Session,
    conversation::Next,
    frame::{Event, FrameLimits, MessageKind, Step},
    socket::poll_receive,
};
use crate::{
    limits::Kind,
    messages::Join,
    protocol::{ClientMessage, Close, pong_frame},
    talk::TEXT_BYTES_MAX,
    trace::What,
    worker::downlink::{Gone, Phase},
};

/// Reads of one session before the thread's other tasks get a turn.
const READS_PER_TURN: usize = 4;

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.desk.roster.announce(&self.downlink);
        self.be_known();
        // Waiting here costs only this session; its first message is the Welcome.
        let joined = self.desk.hub.join.send(Join(self.link.clone())).into_actor(self);
        ctx.spawn(joined.map(|joined, _, ctx| {
            if joined.is_err() {
                ctx.stop();
            }
        }));
        ctx.spawn(Pump);
    }
}

/// Drives the socket of its session until it ends.
struct Pump;

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
    fn turn(&mut self, task: &mut TaskContext<'_>) -> Result<(), Gone> {
        // First, so that a resync does not ask for them again.
        self.answer_refused();
        if let Some(end) = self.downlink.ending() {
            self.close(end);
        }
        if self.link.take_overflow() {
            self.begin_to_lag();
        }
        let mut reads = 0;
        loop {
            self.go_on(task);
            let read = self.poll_read(task, &mut reads)?;
            if self.conversation.is_held() {
                // Held just now, or still: nothing wakes us unless what it waits for knows us.
                self.go_on(task);
                if !self.conversation.is_held() {
                    continue;
                }
            }
            let was_reading = self.may_read();
            let written = self.downlink.poll_write(task, self.stats())?;
            if !was_reading && self.may_read() {
                // What was written made room for reading, which nothing else would resume.
                continue;
            }
            if written.is_ready() {
                if self.downlink.is_lagging() && self.downlink.is_open() {
                    self.resync();
                    continue;
                }
                if self.downlink.phase() == Phase::Closing {
                    self.downlink.discard();
                    self.set_deadline(Some(self.live().close_timeout));
                    continue;
                }
                if self.tell_lost() {
                    continue;
                }
            }
            self.watch_outbox();
            if read.is_pending() {
                self.downlink.pause(!self.may_read());
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
        // What the board accepts from here on may come too late to be told before the Close.
        if self.desk.table.is_draining() {
            return self.timer.disarm();
        }
        loop {
            let now_ns = self.now_ns();
            match self.conversation.next(now_ns) {
                Next::Rest => return self.timer.disarm(),
                Next::At(at_ns) => {
                    if self.timer.poll(at_ns, now_ns, task).is_pending() {
                        return;
                    }
                }
                Next::Accept(message) => {
                    self.go_on_with_what_was_held();
                    self.accept(message);
                }
                Next::Turn(permit) => match self.desk.node.limits.due(&permit, now_ns) {
                    Ok(()) => {
                        self.go_on_with_what_was_held();
                        let effect = self.conversation.turn_has_come(&self.desk.table.stats);
                        self.perform(effect);
                    }
                    Err(at_ns) => {
                        if self.timer.poll(at_ns, now_ns, task).is_pending() {
                            return;
                        }
                    }
                },
                Next::Try(request, until_ns) => {
                    if self.poll_offer(request, task).is_ready() {
                        self.conversation.found_room();
                        self.go_on_with_what_was_held();
                    } else if self.timer.poll(until_ns, now_ns, task).is_pending() {
                        return;
                    } else {
                        let effect = self.conversation.give_up();
                        self.heard();
                        self.perform(effect);
                    }
                }
                Next::AskAgain(request) => self.ask(request),
            }
        }
    }

    /// It was us who did not listen.
    fn go_on_with_what_was_held(&self) {
        self.heard();
        self.downlink.trace.note(|| What::WentOn);
    }

    /// Whether the next message of the client may be looked at.
    fn may_read(&self) -> bool {
        let (settings, view) = (self.settings(), self.downlink.view());
        self.downlink.is_open()
            && self.conversation.may_go_on()
            && view.is_none_or(|view| view.unanswered().len() < settings.checks_outstanding)
            && self.conversation.outstanding() + self.downlink.ranges()
                < settings.ranges_outstanding
            && self.downlink.load() <= settings.outbox_bytes
            && !self.desk.table.is_draining()
    }

    /// Pending when the socket has nothing more, or must not be read now.
    fn poll_read(
        &mut self,
        task: &mut TaskContext<'_>,
        reads: &mut usize,
    ) -> Result<Poll<()>, Gone> {
        if self.downlink.phase() == Phase::Discarding {
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
            let scratch = self.desk.scratch.clone();
            let mut buffer = scratch.read_buffer.borrow_mut();
            let received = poll_receive(self.downlink.stream(), task, &mut buffer)?;
            let Poll::Ready(received) = received else { return Ok(Poll::Pending) };
            self.heard();
            self.take_in(&mut buffer[..received]);
            self.count(Kind::BytesIn, received as u32);
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
        let deflate = self.link.takes_compressed();
        let frames = self.live().frames;
        let text = if self.takes_text() { Some(TEXT_BYTES_MAX) } else { frames.text };
        let limits = FrameLimits { deflate, text, ..frames };
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
                    self.stats().refused("protocol");
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
                match ClientMessage::decode(&self.desk.table.board, payload) {
                    Ok(message) => {
                        self.downlink.trace.note(|| What::Received(message));
                        self.accept(message);
                    }
                    Err(violation) => {
                        self.stats().refused("message");
                        self.close(violation);
                    }
                }
            }
            Event::Message(MessageKind::Text, payload) => {
                let text = str::from_utf8(payload).expect("the decoder verified it");
                self.hear(text);
            }
            Event::Ping(payload) => {
                self.downlink.trace.note(|| What::ReceivedPing);
                self.downlink.say(pong_frame(payload));
                self.count(Kind::ControlFrames, 1);
            }
            Event::Pong => {
                self.downlink.trace.note(|| What::ReceivedPong);
                self.count(Kind::ControlFrames, 1);
            }
            Event::Close(code) => {
                self.downlink.trace.note(|| What::ReceivedClose(code));
                self.closed_by_client(code);
            }
            Event::Nothing => {}
        }
    }

    /// Reads and forgets until the client closes its side.
    fn poll_discard(
        &self,
        task: &mut TaskContext<'_>,
        reads: &mut usize,
    ) -> Result<Poll<()>, Gone> {
        while *reads < READS_PER_TURN {
            *reads += 1;
            let mut buffer = self.desk.scratch.read_buffer.borrow_mut();
            if poll_receive(self.downlink.stream(), task, &mut buffer)?.is_pending() {
                return Ok(Poll::Pending);
            }
        }
        Ok(Poll::Ready(()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave_the_line();
        let view = self.downlink.view();
        let ranges = view.as_ref().map_or(&[][..], |view| view.ranges());
        // A batch that is on its way to it finds nobody.
        self.downlink.end(Close::GOING_AWAY);
        self.desk.roster.leave(&self.downlink, ranges);
        if let Some(circle) = &self.desk.circle {
            circle.forget(&self.downlink);
        }
        if self.downlink.is_playing() {
            self.downlink.trace.note(|| What::Cut);
            self.stats().closed("none");
            self.log_end(format_args!("is gone without a Close"));
        }
    }
}
