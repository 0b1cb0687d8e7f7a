//! One actor per WebSocket: reads its socket, has a [`Conversation`] decide about what comes, passes requests on
//! to shards, and writes what the hub and the shards put into its mailbox.
//!
//! Nobody waits for a session. What its client does not drain waits in a bounded outbox; beyond
//! that a plain connection is ended and a `v=2` one is resynced later. Pressure goes the other way
//! by not reading: while a message of this client finds no room, its socket is left alone.
//!
//! Half of it is shared with the hub of the same thread: the [`Downlink`], which that may write to directly.
//! `pump` drives the socket and `inbox` takes what others tell; `frame` judges bytes, and `conversation`, `outbox` and
//! `view` are plain data.

mod answers;
pub mod conversation;
pub mod frame;
mod inbox;
pub mod outbox;
mod pump;
mod socket;
mod speech;
mod timer;
mod turns;
pub mod view;

use std::{
    fmt,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{ActorContext, AsyncContext, Context};
use bytes::{Bytes, BytesMut};
use log::debug;
use tokio::net::TcpStream;

use self::{
    conversation::{Conversation, Effect, Limits, Request},
    frame::Decoder,
    socket::reset_on_drop,
    timer::Timer,
};
use crate::{
    board::BoxId,
    clock::whole_seconds,
    link::SessionLink,
    live::LiveSettings,
    messages::ReadRange,
    player::Player,
    protocol::{
        ClientMessage, Close, Refusal, Version, close_frame, put_refused_frame, refused_frame,
    },
    rules::Forbidden,
    seats::Seat,
    settings::SessionSettings,
    shard::gate::NoRoom,
    stats::{Counted, Stats},
    trace::What,
    worker::{desk::Desk, downlink::Downlink},
};

/// A socket to be turned into a session, and what came with it.
pub struct Connection {
    /// The upgraded socket; the 101 response has been written.
    pub stream: TcpStream,
    /// Bytes that arrived behind the handshake.
    pub unread: Vec<u8>,
    /// The protocol the client chose.
    pub version: Version,
    /// Whether permessage-deflate was agreed upon.
    pub compression: bool,
    /// Who is there.
    pub player: Player,
    /// Given back when the session ends.
    pub seat: Seat,
}

/// The actor of one WebSocket.
pub struct Session {
    desk: Rc<Desk>,
    link: Arc<SessionLink>,
    downlink: Rc<Downlink>,
    conversation: Conversation,
    /// Of what the conversation waits for.
    timer: Timer,
    decoder: Decoder,
    /// Received and not yet interpreted; bounded by the read buffer plus one message.
    unread: Vec<u8>,
    /// The clock of `session.drain_timeout_s` runs.
    watched: bool,
    _counted: Counted,
    _seat: Seat,
}

impl Session {
    /// Starts a session on this thread, at the desk of the board that it plays on: how everybody else reaches it.
    pub fn start_at(desk: Rc<Desk>, connection: Connection) -> Arc<SessionLink> {
        let stats = &desk.table.stats;
        stats.connections_opened.inc();
        let counted = Counted::one(&stats.connections);
        let mut ctx = Context::new();
        ctx.set_mailbox_capacity(desk.node.settings.session.mailbox);
        let (inbox, now_s) = (ctx.address().recipient(), desk.node.clock.now_s());
        let Connection { player, version, compression, .. } = connection;
        let link = SessionLink::new(inbox, player, version, compression, now_s);
        let link = Arc::new(link);
        ctx.run(Self {
            desk,
            downlink: Rc::new(Downlink::new(link.clone(), connection.stream)),
            link: link.clone(),
            conversation: Conversation::new(connection.version),
            timer: Timer::default(),
            decoder: Decoder::default(),
            unread: connection.unread,
            watched: false,
            _counted: counted,
            _seat: connection.seat,
        });
        link
    }

    fn settings(&self) -> &SessionSettings {
        &self.desk.node.settings.session
    }

    /// Those that may have changed since they were last asked for.
    fn live(&self) -> Rc<LiveSettings> {
        self.desk.live.now()
    }

    fn stats(&self) -> &Stats {
        &self.desk.table.stats
    }

    fn limits(&self) -> Limits {
        let live = self.live();
        Limits { checks: live.checks, ranges: live.ranges, patience: live.shard_wait_timeout }
    }

    fn now_ns(&self) -> u64 {
        self.desk.node.clock.now_ns()
    }

    fn set_deadline(&self, after: Option<Duration>) {
        // One second more than asked: the clock counts whole seconds.
        let deadline_s =
            after.map_or(0, |after| self.desk.node.clock.now_s() + whole_seconds(after) + 1);
        self.link.set_deadline(deadline_s);
    }

    /// Takes one message of the client as far as it goes now.
    fn accept(&mut self, message: ClientMessage) {
        let effect = self.decide(|conversation, moment| conversation.accept(message, moment));
        if effect == Effect::Wait {
            self.note_wait();
        }
        self.perform(effect);
    }

    /// For whoever follows this session: its last message cannot go on yet.
    fn note_wait(&self) {
        if let Some(wait) = self.conversation.waits_for() {
            self.downlink.trace.note(|| What::Held(wait));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(request) => match self.forbidden(request) {
                Some((id, reason)) => self.forbid(id, reason),
                None => {
                    self.be_found(request);
                    self.ask(request);
                }
            },
            Effect::Refuse(id, Refusal::Rate) => self.turn_away(id, Refusal::Rate),
            Effect::Refuse(id, reason) => self.refuse(id, reason),
            Effect::Close(close) => {
                let reason = if close == Close::RATE { Refusal::Rate } else { Refusal::Busy };
                self.stats().refused(reason.label());
                self.close(close);
            }
            Effect::Wait => {}
        }
    }

    /// Has news of what is asked find this session, before it is asked: a flip in between is in the answer or comes
    /// after it.
    fn be_found(&self, request: Request) {
        let Some(mut view) = self.downlink.view() else { return };
        let roster = &self.desk.roster;
        match request {
            Request::Check(id) => {
                view.asked(id);
                roster.ask(&self.downlink);
            }
            Request::Range(range, _) => {
                let passed = view.look_at(range);
                roster.look(&self.downlink, range, passed, |tile| view.covers(tile));
            }
        }
    }

    /// Puts a request on its way, or holds it and thereby stops reading.
    fn ask(&mut self, request: Request) {
        if self.offer(request).is_err() {
            let (limits, now_ns) = (self.limits(), self.now_ns());
            let stats = &self.desk.table.stats;
            self.conversation.found_no_room(request, &limits, now_ns, stats);
            self.note_wait();
        }
    }

    /// One attempt to put a request on its way to its shard.
    fn offer(&self, request: Request) -> Result<(), NoRoom> {
        let table = &self.desk.table;
        match request {
            Request::Check(id) => {
                let (shard, offset) = table.board.locate(id);
                self.desk.courier.carry(shard, offset, &self.link)
            }
            Request::Range(range, sequence) => {
                let (shard, _) = table.board.locate(range.first());
                let session = self.link.clone();
                let read = ReadRange { range, sequence, session, begun: None };
                // A shard that is gone takes the node down, or its board is closed; until then the session just waits.
                table.shard(shard).ranges.try_send(read).map_err(|_full| NoRoom::Mailbox)
            }
        }
    }

    /// The same; without room the task is woken when there may be some.
    fn poll_offer(&self, request: Request, task: &mut TaskContext<'_>) -> Poll<()> {
        let id = match request {
            Request::Check(id) => id,
            Request::Range(range, _) => range.first(),
        };
        let table = &self.desk.table;
        let gate = &table.shard(table.board.locate(id).0).gate;
        // Twice: once it is known who waits, nobody can make room unnoticed. What lacks may have changed.
        for _ in 0..2 {
            match self.offer(request) {
                Ok(()) => return Poll::Ready(()),
                Err(NoRoom::Place) => gate.wait_for_place(task.waker()),
                Err(NoRoom::Mailbox) => gate.wait_for_mailbox(task.waker()),
            }
        }
        Poll::Pending
    }

    /// Whether the rules of the board, or the player's rights, forbid what is to be asked.
    fn forbidden(&self, request: Request) -> Option<(BoxId, Forbidden)> {
        let Request::Check(id) = request else { return None };
        let reason = match self.link.player().rights.check {
            true => self.desk.table.forbid(id)?,
            false => Forbidden::ReadOnly,
        };
        Some((id, reason))
    }

    /// Tells a `v=2` client that a check was not asked: of an earlier one of the same box the answer is still to come.
    fn turn_away(&self, id: BoxId, reason: Refusal) {
        self.stats().refused(reason.label());
        self.downlink.say(refused_frame(id.get(), reason));
    }

    fn forbid(&mut self, id: BoxId, reason: Forbidden) {
        match self.link.version() {
            Version::V2 => self.turn_away(id, reason.refusal()),
            Version::Plain => {
                self.stats().refused(reason.refusal().label());
                self.close(reason.close());
            }
        }
    }

    /// Tells a `v=2` client that its check was not taken, unless it was answered by now.
    fn refuse(&self, id: BoxId, reason: Refusal) {
        if self.downlink.view().is_some_and(|mut view| view.answered(id.get())) {
            self.stats().refused(reason.label());
            self.downlink.say(refused_frame(id.get(), reason));
        }
    }

    /// Answers for the checks that shards have refused meanwhile: a plain client by one Close, a `v=2`
    /// client by a frame for each, all of them in one piece of output. Counts what the client is told.
    fn answer_refused(&mut self) {
        let refused = self.link.take_refused();
        if refused.is_empty() || !self.downlink.is_open() {
            return;
        }
        let Some(mut view) = self.downlink.view() else {
            // One Close is the answer to all of them.
            let (_, reason) = refused[0];
            self.stats().refused(reason.label());
            let is_read_only = reason == Refusal::ReadOnly;
            return self.close_now(if is_read_only { Close::READ_ONLY } else { Close::STORAGE });
        };
        let mut frames = BytesMut::new();
        for (id, reason) in refused {
            if view.answered(id.get()) {
                self.stats().refused(reason.label());
                put_refused_frame(&mut frames, id.get(), reason);
            }
        }
        drop(view);
        if !frames.is_empty() {
            self.downlink.say(frames.freeze());
        }
    }

    /// Queues a Close behind what is waiting, or in its place if the client does not drain.
    fn close(&mut self, close: Close) {
        // They were refused before this.
        self.answer_refused();
        self.close_now(close);
    }

    /// The same, with no answer to checks that were refused.
    fn close_now(&mut self, close: Close) {
        if self.downlink.is_playing() {
            self.stats().closed(close.label());
            self.log_end(format_args!("is sent away: {} {}", close.code, close.reason));
            self.end_with(close.frame());
        }
    }

    /// Logs how the connection ends, for who follows such things.
    fn log_end(&self, how: fmt::Arguments<'_>) {
        let player = self.link.player();
        debug!(connection:% = player.session; "{} {how}", player.ip);
    }

    fn end_with(&mut self, close: Bytes) {
        // One that drains gets what waits for it before the Close; its answer is timed from there.
        let was_lagging = self.downlink.close(close);
        let live = self.live();
        let time_to_drain = if was_lagging { live.close_timeout } else { live.drain_timeout };
        self.leave_the_line();
        self.timer.disarm();
        self.unread = Vec::new();
        self.heard();
        self.set_deadline(Some(time_to_drain));
    }

    /// Nothing is asked any more, and no turn waited for.
    fn leave_the_line(&mut self) {
        if let Some(permit) = self.conversation.end() {
            self.desk.node.limits.give_up(&permit);
        }
    }

    /// Ends at once: nothing of what is unsent may linger in the kernel for minutes.
    fn reset(&self, ctx: &mut Context<Self>) {
        reset_on_drop(self.downlink.stream());
        ctx.stop();
    }

    /// The client said Close: answer with its code and end.
    fn closed_by_client(&mut self, code: Option<u16>) {
        if self.downlink.is_open() {
            self.stats().closed("client");
            self.log_end(format_args!("has left"));
            self.end_with(close_frame(code.map(|code| (code, &[][..]))));
        }
    }

    /// Whether what is announced still goes into the outbox; too much of it waiting there ends that.
    fn keeps_up(&mut self) -> bool {
        if self.downlink.load() > self.settings().outbox_bytes {
            self.begin_to_lag();
        }
        !self.downlink.is_lagging() && self.downlink.is_open()
    }

    /// Drops updates from now on: the client does not drain.
    fn begin_to_lag(&mut self) {
        if self.downlink.is_lagging() || !self.downlink.is_open() {
            return;
        }
        self.downlink.lag(self.stats());
        if self.link.version() == Version::Plain {
            self.close(Close::LAGGING);
        }
    }

    /// Starts or stops the clock of a client whose outbox is not empty: one that drains a byte a
    /// second must not keep its place for ever, lagging or not.
    fn watch_outbox(&mut self) {
        let waiting = !self.downlink.is_drained();
        if self.downlink.is_open() && waiting != self.watched {
            self.watched = waiting;
            self.set_deadline(waiting.then_some(self.live().drain_timeout));
        }
    }

    /// The outbox is empty again: tell the total, and ask again for what may have been missed.
    fn resync(&mut self) {
        self.stats().resyncs.inc();
        self.downlink.caught_up(self.desk.roster.settled());
        let Some(view) = self.downlink.view() else { return };
        let board = &self.desk.table.board;
        let own = view.unanswered().iter().filter_map(|id| board.box_id(*id));
        self.conversation.resync(view.ranges().iter().copied(), own);
        // What did not fit into the mailbox may have been a notice.
        if let Some(word) = self.desk.table.billboard().last_word() {
            self.downlink.say(word);
        }
    }

    /// The client is not silent: it spoke, or it was us who did not listen.
    fn heard(&self) {
        self.link.heard(self.desk.node.clock.now_s());
    }
}
