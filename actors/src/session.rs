//! One actor per WebSocket, owning its socket: reads requests, limits them, passes them to shards,
//! and writes what the hub and the shards put into its mailbox.
//!
//! Nobody waits for a session. What its client does not drain waits in a bounded outbox; beyond
//! that a plain connection is ended and a `v=2` one is resynced later. Pressure goes the other way
//! by not reading: while a message of this client finds no room, its socket is left alone.
//!
//! State changes here, but for what the hub of the same thread may write directly: that is the
//! `downlink`. `socket` moves bytes, `frame` judges them, `limiter`, `outbox` and `view` are plain data.

pub(crate) mod downlink;
pub mod frame;
pub mod limiter;
pub mod outbox;
mod refused;
mod socket;
pub mod view;

use std::{
    any::Any,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture,
    dev::{SendError, ToEnvelope},
};
use bytes::{Bytes, BytesMut};
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep},
};

use self::{
    downlink::Downlink,
    frame::{Decoder, FrameLimits},
    limiter::{Rate, TokenBucket},
    outbox::{Kind, server_frame_end},
    refused::Refused,
};
use crate::{
    board::{BoxId, BoxRange},
    messages::{
        AlreadyChecked, ClientSilent, DeadlinePassed, EndSessions, Join, MailboxOverflowed,
        OutputWaits, PingDue, PulseDue, RangeAnswered, ReadRange, UpdatesFlushed, Welcome,
    },
    protocol::{
        ClientMessage, Close, Refusal, Version, close_frame, ping_frame, put_refused_frame,
        put_update_frame, refused_frame, total_frame,
    },
    shard::{commit::Asker, gate::NoRoom},
    stats::Tally,
    topology::{Worker, whole_seconds},
};

/// How sessions treat their clients.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// Messages that may wait in a session's mailbox; full: the session counts as lagging.
    pub mailbox: usize,
    /// Output waiting above the kernel's buffer; above: updates are dropped, the session lags.
    pub outbox_bytes: usize,
    /// Size of the kernel's send buffer (SO_SNDBUF).
    pub send_buffer_bytes: usize,
    /// Size of the one read buffer that the sessions of a worker share.
    pub read_buffer_bytes: usize,
    /// Range requests not yet answered and written; at the limit: the socket is not read.
    pub ranges_outstanding: usize,
    /// Own checks of a `v=2` session not yet answered; at the limit: the socket is not read.
    pub checks_outstanding: usize,
    /// What a client may send.
    pub frames: FrameLimits,
    /// Checks a client may send.
    pub checks: Rate,
    /// Range requests a client may send.
    pub ranges: Rate,
    /// Longest wait for room in a shard.
    pub shard_wait_timeout: Duration,
    /// Longest time a client may take to drain its outbox.
    pub drain_timeout: Duration,
    /// Time for the closing handshake.
    pub close_timeout: Duration,
}

/// A wait for a token longer than this is not worth a connection (`protocol.md`: "Too fast").
const RATE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How everybody else reaches a session. The flags are shared because a full mailbox must not lose
/// what they say.
#[derive(Debug)]
pub struct SessionLink {
    addr: Addr<Session>,
    version: Version,
    /// A message did not fit into the mailbox: the session has missed something.
    overflowed: AtomicBool,
    /// Own checks that were not taken.
    refused: Refused,
    /// Second of the node's clock at which the client was last heard.
    seen_s: AtomicU32,
    /// Second at which to be reminded with `DeadlinePassed`; 0: never.
    deadline_s: AtomicU32,
}

impl SessionLink {
    /// Sends without waiting. What does not fit makes the session a lagging one.
    pub fn tell<M>(&self, message: M)
    where
        Session: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
        Context<Session>: ToEnvelope<Session, M>,
    {
        self.try_tell(message);
    }

    /// The same; whether the message will be handled.
    pub(crate) fn try_tell<M>(&self, message: M) -> bool
    where
        Session: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
        Context<Session>: ToEnvelope<Session, M>,
    {
        let sent = self.addr.try_send(message);
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

    /// Has the session look after its socket. A full mailbox does that, too.
    fn nudge(&self) {
        // One that has ended needs nothing any more.
        let _ = self.addr.try_send(OutputWaits);
    }

    /// Whether something did not fit into its mailbox and it has not looked yet.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }

    /// Which protocol it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Second at which its client was last heard.
    pub fn seen_s(&self) -> u32 {
        self.seen_s.load(Ordering::Relaxed)
    }

    /// Whether a deadline it set has passed.
    pub fn deadline_passed(&self, now_s: u32) -> bool {
        let deadline_s = self.deadline_s.load(Ordering::Relaxed);
        deadline_s != 0 && now_s >= deadline_s
    }
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// On its way into the hub; the client has been told nothing yet and is not read.
    Joining,
    /// Playing.
    Open,
    /// A Close frame is the last thing in the outbox.
    Closing,
    /// Everything was written; waiting for the client to close its side.
    Discarding,
}

/// A request that was accepted and needs a shard.
#[derive(Debug, Clone, Copy)]
enum Request {
    Check(BoxId),
    Range(BoxRange, u32),
}

/// Why the socket is not read: one message that cannot go on yet.
enum Held {
    /// Over its rate until the sleep ends.
    Throttled { message: ClientMessage, token: Pin<Box<Sleep>> },
    /// No room in its shard; given up when the sleep ends.
    Busy { request: Request, timeout: Pin<Box<Sleep>> },
}

/// Answers in the order of their requests.
#[derive(Debug, Default)]
struct Answers {
    slots: VecDeque<Option<Bytes>>,
    first: u32,
}

impl Answers {
    fn expect(&mut self) -> u32 {
        self.slots.push_back(None);
        self.first.wrapping_add(self.slots.len() as u32 - 1)
    }

    /// Takes an answer in and gives out those that are next in order.
    fn arrived(&mut self, sequence: u32, frame: Bytes) -> impl Iterator<Item = Bytes> + '_ {
        let place = sequence.wrapping_sub(self.first) as usize;
        // Answers from before a resync find no slot: the resync asked again.
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(frame);
        }
        std::iter::from_fn(|| {
            let next = self.slots.front_mut()?.take()?;
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
            if self.slots.is_empty() {
                self.slots = VecDeque::new();
            }
            Some(next)
        })
    }

    fn forget(&mut self) {
        self.first = self.first.wrapping_add(self.slots.len() as u32);
        self.slots = VecDeque::new();
    }
}

/// A socket to be turned into a session, and what came with it.
pub struct Connection {
    /// The upgraded socket; the 101 response has been written.
    pub stream: TcpStream,
    /// Bytes that arrived behind the handshake.
    pub unread: Vec<u8>,
    /// The protocol the client chose.
    pub version: Version,
    /// Dropped when the session ends: whoever counts connections counts this.
    pub permit: Box<dyn Any>,
}

/// The actor of one WebSocket.
pub struct Session {
    worker: Rc<Worker>,
    link: Arc<SessionLink>,
    downlink: Rc<Downlink>,
    decoder: Decoder,
    /// Received and not yet interpreted; bounded by the read buffer plus one message.
    unread: Vec<u8>,
    answers: Answers,
    held: Option<Box<Held>>,
    checks: TokenBucket,
    ranges: TokenBucket,
    /// The clock of `session.drain_timeout_s` runs.
    watched: bool,
    /// Requests of a resync (`v=2`) that have not gone out yet.
    resync: VecDeque<Request>,
    _permit: Box<dyn Any>,
}

impl Session {
    /// Starts a session on this thread.
    pub fn start_on(worker: Rc<Worker>, connection: Connection) {
        worker.node.stats.connections.inc();
        worker.node.stats.connections_opened.inc();
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(worker.node.settings.session.mailbox);
            let link = Arc::new(SessionLink {
                addr: ctx.address(),
                version: connection.version,
                overflowed: AtomicBool::new(false),
                refused: Refused::default(),
                seen_s: AtomicU32::new(worker.node.clock.now_s()),
                deadline_s: AtomicU32::new(0),
            });
            Self {
                worker,
                downlink: Rc::new(Downlink::new(link.clone(), connection.stream)),
                link,
                decoder: Decoder::default(),
                unread: connection.unread,
                answers: Answers::default(),
                held: None,
                checks: TokenBucket::default(),
                ranges: TokenBucket::default(),
                watched: false,
                resync: VecDeque::new(),
                _permit: connection.permit,
            }
        });
    }

    fn settings(&self) -> &SessionSettings {
        &self.worker.node.settings.session
    }

    fn is_scoped(&self) -> bool {
        self.link.version == Version::V2
    }

    /// Puts frames behind what waits for the socket.
    fn say(&self, frames: Bytes) {
        self.downlink.outbox().push(Kind::Other, frames);
    }

    /// Tells the client a total and remembers it.
    fn tell_total(&self, total: u32) {
        self.say(total_frame(total));
        self.downlink.told.set(total);
    }

    fn set_deadline(&self, after: Option<Duration>) {
        // One second more than asked: the clock counts whole seconds.
        let deadline_s =
            after.map_or(0, |after| self.worker.node.clock.now_s() + whole_seconds(after) + 1);
        self.link.deadline_s.store(deadline_s, Ordering::Relaxed);
    }

    /// Takes one message of the client as far as it goes now.
    fn accept(&mut self, message: ClientMessage) {
        let node = self.worker.node.clone();
        let (bucket, rate) = match message {
            ClientMessage::Check(_) => (&mut self.checks, node.settings.session.checks),
            ClientMessage::Range(_) => (&mut self.ranges, node.settings.session.ranges),
        };
        if let Err(wait) = bucket.take(rate, node.clock.now_ns()) {
            return self.over_rate(message, wait);
        }
        let request = match message {
            ClientMessage::Check(id) => {
                node.stats.checks_received.inc();
                if let Some(mut view) = self.downlink.view() {
                    view.asked(id);
                    self.worker.roster.ask(&self.downlink);
                }
                Request::Check(id)
            }
            ClientMessage::Range(range) => {
                // Register first, then read: a flip in between is in the answer or comes after it.
                if let Some(mut view) = self.downlink.view() {
                    let passed = view.look_at(range);
                    let still = |tile| view.covers(tile);
                    self.worker.roster.look(&self.downlink, range, passed, still);
                }
                Request::Range(range, self.answers.expect())
            }
        };
        self.submit(request);
    }

    fn over_rate(&mut self, message: ClientMessage, wait: Duration) {
        let stats = &self.worker.node.stats;
        match message {
            ClientMessage::Check(id) if self.is_scoped() => {
                stats.refused(Refusal::Rate.label());
                self.say(refused_frame(id.get(), Refusal::Rate));
            }
            _ if wait > RATE_WAIT_MAX => {
                stats.refused(Refusal::Rate.label());
                self.close(Close::RATE);
            }
            _ => {
                stats.sessions_throttled.inc();
                let token = Box::pin(sleep(wait));
                self.held = Some(Box::new(Held::Throttled { message, token }));
            }
        }
    }

    /// Sends a request to its shard, or holds it and thereby stops reading.
    fn submit(&mut self, request: Request) {
        if self.offer(request).is_err() {
            self.worker.node.stats.sessions_paused.inc();
            let timeout = Box::pin(sleep(self.settings().shard_wait_timeout));
            self.held = Some(Box::new(Held::Busy { request, timeout }));
        }
    }

    /// One attempt to put a request on its way to its shard.
    fn offer(&self, request: Request) -> Result<(), NoRoom> {
        let node = &self.worker.node;
        let session = self.link.clone();
        match request {
            Request::Check(id) => {
                let (shard, offset) = node.board.locate(id);
                self.worker.courier.carry(shard, Asker { offset, session })
            }
            Request::Range(range, sequence) => {
                let (shard, _) = node.board.locate(range.first());
                let read = ReadRange { range, sequence, session, begun: None };
                // A shard that is gone takes the node down; until then the session just waits.
                node.shard(shard).addr.try_send(read).map_err(|_full| NoRoom::Mailbox)
            }
        }
    }

    /// Gives up on a request that found no room in time.
    fn give_up(&mut self, request: Request) {
        match request {
            Request::Check(id) if self.is_scoped() => self.refuse(id, Refusal::Busy),
            _ => {
                self.worker.node.stats.refused(Refusal::Busy.label());
                self.close(Close::BUSY);
            }
        }
    }

    /// Tells a `v=2` client that its check was not taken, unless it was answered by now.
    fn refuse(&mut self, id: BoxId, reason: Refusal) {
        if self.downlink.view().is_some_and(|mut view| view.answered(id.get())) {
            self.worker.node.stats.refused(reason.label());
            self.say(refused_frame(id.get(), reason));
        }
    }

    /// Answers for the checks that shards have refused meanwhile: a plain client by one Close, a `v=2`
    /// client by a frame for each, all of them in one piece of output. Counts what the client is told.
    fn answer_refused(&mut self) {
        let refused = self.link.refused.take();
        if refused.is_empty() || !self.downlink.is_open() {
            return;
        }
        let stats = &self.worker.node.stats;
        let Some(mut view) = self.downlink.view() else {
            stats.refused(Refusal::StorageUnavailable.label());
            return self.close(Close::STORAGE);
        };
        let mut frames = BytesMut::new();
        for (id, reason) in refused {
            if view.answered(id.get()) {
                stats.refused(reason.label());
                put_refused_frame(&mut frames, id.get(), reason);
            }
        }
        drop(view);
        if !frames.is_empty() {
            self.say(frames.freeze());
        }
    }

    /// Queues a Close behind what is waiting, or in its place if the client does not drain.
    fn close(&mut self, close: Close) {
        // They were refused before this.
        self.answer_refused();
        if self.is_playing() {
            self.worker.node.stats.closed(close.label());
            self.end_with(close.frame());
        }
    }

    fn end_with(&mut self, close: Bytes) {
        // One that drains gets what waits for it before the Close; its answer is timed from there.
        let mut time_to_drain = self.settings().drain_timeout;
        if self.downlink.lagging.get() {
            self.downlink.outbox().forget_unstarted(server_frame_end);
            self.stop_lagging();
            time_to_drain = self.settings().close_timeout;
        }
        self.say(close);
        self.downlink.phase.set(Phase::Closing);
        self.release_held();
        self.unread = Vec::new();
        self.answers.forget();
        self.heard();
        self.set_deadline(Some(time_to_drain));
    }

    /// Ends at once: nothing of what is unsent may linger in the kernel for minutes.
    fn reset(&self, ctx: &mut Context<Self>) {
        socket::reset_on_drop(&self.downlink.stream);
        ctx.stop();
    }

    /// The client said Close: answer with its code and end.
    fn closed_by_client(&mut self, code: Option<u16>) {
        if self.downlink.is_open() {
            self.worker.node.stats.closed("client");
            self.end_with(close_frame(code.map(|code| (code, &[][..]))));
        }
    }

    /// Whether what is announced still goes into the outbox; too much of it waiting there ends that.
    fn keeps_up(&mut self) -> bool {
        let load = self.downlink.outbox().load();
        if load > self.settings().outbox_bytes {
            self.begin_to_lag();
        }
        !self.downlink.lagging.get() && self.downlink.is_open()
    }

    /// Drops updates from now on: the client does not drain.
    fn begin_to_lag(&mut self) {
        if self.downlink.lagging.get() || !self.downlink.is_open() {
            return;
        }
        self.downlink.lagging.set(true);
        self.worker.node.stats.lags.inc();
        self.worker.node.stats.lagging.inc();
        if !self.is_scoped() {
            self.close(Close::LAGGING);
        }
    }

    fn stop_lagging(&self) {
        self.downlink.lagging.set(false);
        self.worker.node.stats.lagging.dec();
    }

    /// Starts or stops the clock of a client whose outbox is not empty: one that drains a byte a
    /// second must not keep its place for ever, lagging or not.
    fn watch_outbox(&mut self) {
        let waiting = !self.downlink.outbox().is_empty();
        if self.downlink.is_open() && waiting != self.watched {
            self.watched = waiting;
            self.set_deadline(waiting.then_some(self.settings().drain_timeout));
        }
    }

    /// The outbox is empty again: tell the total, read the last ranges again and repeat own checks,
    /// which answers those that were taken and harmlessly repeats the others.
    fn resync(&mut self) {
        self.stop_lagging();
        self.worker.node.stats.resyncs.inc();
        self.tell_total(self.total_now());
        self.answers.forget();
        let Some(view) = self.downlink.view() else { return };
        for range in view.ranges() {
            self.resync.push_back(Request::Range(*range, self.answers.expect()));
        }
        let board = &self.worker.node.board;
        let own = view.unanswered().iter().filter_map(|id| board.box_id(*id));
        self.resync.extend(own.map(Request::Check));
    }

    /// The highest total that no update still to come falls behind.
    fn total_now(&self) -> u32 {
        let heard = self.downlink.told.get().max(self.downlink.latest.get());
        // What waits in the mailbox may be from before.
        if self.downlink.is_behind() { heard } else { heard.max(self.worker.roster.settled()) }
    }

    /// Whether nobody has said goodbye yet.
    fn is_playing(&self) -> bool {
        matches!(self.downlink.phase.get(), Phase::Open | Phase::Joining)
    }

    fn release_held(&mut self) {
        let stats = &self.worker.node.stats;
        match self.held.take().as_deref() {
            Some(Held::Throttled { .. }) => stats.sessions_throttled.dec(),
            Some(Held::Busy { .. }) => stats.sessions_paused.dec(),
            None => return,
        };
        self.heard();
    }

    /// The client is not silent: it spoke, or it was us who did not listen.
    fn heard(&self) {
        self.link.seen_s.store(self.worker.node.clock.now_s(), Ordering::Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let view = self.downlink.view();
        let ranges = view.as_ref().map_or(&[][..], |view| view.ranges());
        self.downlink.end();
        self.worker.roster.leave(&self.downlink, ranges);
        if self.downlink.lagging.get() {
            self.worker.node.stats.lagging.dec();
        }
        match self.held.as_deref() {
            Some(Held::Throttled { .. }) => _ = self.worker.node.stats.sessions_throttled.dec(),
            Some(Held::Busy { .. }) => _ = self.worker.node.stats.sessions_paused.dec(),
            None => {}
        }
        if self.is_playing() {
            self.worker.node.stats.closed("none");
        }
        self.worker.node.stats.connections.dec();
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.worker.roster.announce(&self.downlink);
        // Waiting here costs only this session; its first message is the Welcome.
        let joined = self.worker.hub.send(Join(self.link.clone())).into_actor(self);
        ctx.spawn(joined.map(|joined, _, ctx| {
            if joined.is_err() {
                ctx.stop();
            }
        }));
        ctx.spawn(socket::Pump);
    }
}

impl Handler<Welcome> for Session {
    type Result = ();

    fn handle(&mut self, Welcome { total }: Welcome, _: &mut Self::Context) {
        self.downlink.phase.set(Phase::Open);
        self.downlink.latest.set(total);
        self.tell_total(total);
    }
}

impl Handler<UpdatesFlushed> for Session {
    type Result = ();

    fn handle(&mut self, UpdatesFlushed(batch): UpdatesFlushed, _: &mut Self::Context) {
        self.downlink.handling();
        self.downlink.latest.set(batch.total_after());
        if !self.downlink.is_open() {
            return;
        }
        if !self.keeps_up() {
            self.worker.node.stats.batches_dropped.inc();
            return;
        }
        let (mut picked, mut tally) = (self.worker.picked.borrow_mut(), Tally::default());
        if let Some(frames) = self.downlink.take(&batch, &mut picked, &mut tally) {
            self.say(frames);
            self.worker.node.stats.delivered(&mut tally);
        }
    }
}

impl Handler<RangeAnswered> for Session {
    type Result = ();

    fn handle(&mut self, answered: RangeAnswered, _: &mut Self::Context) {
        if !self.downlink.is_open() {
            return;
        }
        let mut outbox = self.downlink.outbox();
        for frame in self.answers.arrived(answered.sequence, answered.frame) {
            outbox.push(Kind::Range, frame);
        }
    }
}

impl Handler<AlreadyChecked> for Session {
    type Result = ();

    fn handle(&mut self, AlreadyChecked(ids): AlreadyChecked, _: &mut Self::Context) {
        if !self.downlink.is_open() {
            return;
        }
        let mut frames = BytesMut::new();
        for id in ids {
            // A `v=2` client may have got its answer with a batch in the meantime.
            if self.downlink.view().is_none_or(|mut view| view.answered(id.get())) {
                put_update_frame(&mut frames, self.downlink.told.get(), id.get());
            }
        }
        if !frames.is_empty() {
            self.say(frames.freeze());
        }
    }
}

impl Handler<PingDue> for Session {
    type Result = ();

    fn handle(&mut self, _: PingDue, _: &mut Self::Context) {
        if self.downlink.is_open() {
            self.say(ping_frame());
        }
    }
}

impl Handler<PulseDue> for Session {
    type Result = ();

    fn handle(&mut self, PulseDue { total, frame }: PulseDue, _: &mut Self::Context) {
        self.downlink.handling();
        self.downlink.latest.set(total);
        // One that does not fit is left out. Nobody lags for a pulse: after a resync the answers for
        // 16 ranges may fill the outbox, and a pulse behind them would begin another one.
        let fits = self.downlink.outbox().load() <= self.settings().outbox_bytes;
        if self.downlink.is_open() && !self.downlink.lagging.get() && fits {
            debug_assert!(total >= self.downlink.told.get(), "a hub tells what it has announced");
            self.say(frame);
            self.downlink.told.set(total);
        }
    }
}

impl Handler<DeadlinePassed> for Session {
    type Result = ();

    fn handle(&mut self, _: DeadlinePassed, ctx: &mut Self::Context) {
        // The client may have drained since the hub looked, or been told goodbye with a new deadline.
        if !self.link.deadline_passed(self.worker.node.clock.now_s()) {
            return;
        }
        match self.downlink.phase.get() {
            Phase::Open => {
                self.begin_to_lag();
                self.close(Close::LAGGING);
            }
            Phase::Joining => {}
            Phase::Closing | Phase::Discarding => self.reset(ctx),
        }
    }
}

impl Handler<ClientSilent> for Session {
    type Result = ();

    fn handle(&mut self, ClientSilent { seen_s }: ClientSilent, ctx: &mut Self::Context) {
        // It is us who do not listen while a message of its is held, which is not for long.
        if self.link.seen_s() != seen_s || self.held.is_some() {
            return;
        }
        match self.downlink.phase.get() {
            Phase::Open | Phase::Joining => self.close(Close::TIMEOUT),
            Phase::Closing | Phase::Discarding => self.reset(ctx),
        }
    }
}

impl Handler<OutputWaits> for Session {
    type Result = ();

    fn handle(&mut self, _: OutputWaits, _: &mut Self::Context) {
        // The pump, which is polled after every message, looks at everything that may wait.
    }
}

impl Handler<MailboxOverflowed> for Session {
    type Result = ();

    fn handle(&mut self, _: MailboxOverflowed, _: &mut Self::Context) {
        // The pump, which is polled after every message, looks at the flag.
    }
}

impl Handler<EndSessions> for Session {
    type Result = ();

    fn handle(&mut self, EndSessions(close): EndSessions, _: &mut Self::Context) {
        self.close(close);
    }
}
