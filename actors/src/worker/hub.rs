//! One for each board on each worker thread: the sessions there, and the only place that walks them.
//!
//! Hands each batch to whom it concerns: every plain session, and the `v=2` sessions that look at one of
//! its tiles. It does so in slices, so that sockets are served in between, and writes to idle sockets
//! itself; what comes behind something else goes through the session's mailbox. Never waits for a
//! session: a full mailbox marks its session as overflowed and the walk goes on. One timer drives
//! pings, idle timeouts and session deadlines, another one pulses ([`Pulses`]).

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, AsyncContext, Context, Handler,
    MessageResult, ResponseActFuture, ResponseFuture, WrapFuture,
};

use super::{
    courier::Courier,
    downlink::{Downlink, Told},
    member::Member,
    pulses::{PULSE_SLOT, PULSE_SLOTS, Pulses, Rider},
    roster::Roster,
};
use crate::{
    billboard::Billboard,
    broadcaster::batch::Batch,
    clock::{Clock, whole_seconds},
    interval::every,
    link::ToSession,
    live::LiveCopy,
    messages::{
        BoardForgotten, Drain, EndPlayers, EndSessions, FlushBatch, Join, Leave, PulseMade,
        ReadSessions, SendFrame, TraceSession,
    },
    player::Player,
    protocol::{Close, Version},
    settings::HubSettings,
    stats::{Stats, Tally},
    vital::Vital,
    wires::{AttachHub, BroadcasterLink, HubLink},
};

/// Between two looks at the clients of all sessions.
const TICK: Duration = Duration::from_secs(1);

/// Sessions handed a batch before the thread's other tasks get a turn. Latency at 5,000 listeners
/// halved with 64 compared with one uninterrupted walk.
const SLICE: usize = 64;

/// The sessions of one board on one worker thread.
pub struct Hub {
    settings: HubSettings,
    live: Rc<LiveCopy>,
    clock: Clock,
    broadcaster: Arc<BroadcasterLink>,
    /// Its own, until it is attached.
    link: Option<Arc<HubLink>>,
    stats: Arc<Stats>,
    billboard: Arc<Billboard>,
    roster: Rc<Roster>,
    /// Has checks of the sessions of this thread.
    courier: Rc<Courier>,
    /// Sessions that hear everything.
    plain: Vec<Member>,
    /// Sessions that hear of what they look at; the roster knows where that is.
    scoped: Vec<Member>,
    /// Positions of the updates that concern the session at hand.
    picked: Vec<u32>,
    /// Number of the last walk.
    walks: u32,
    /// What every member has been told, the batch being walked included.
    announced: u32,
    walking: bool,
    pulses: Pulses,
    /// A timer runs until the next slot.
    awaits_slot: bool,
    /// Sessions that ever joined, which spreads them over the slots.
    joined: usize,
    /// Set once the board says goodbye: who joins after that is told at once.
    ended: Option<Close>,
    /// Ends with its last session.
    leaving: bool,
    _vital: Vital,
}

/// What a hub is made from.
pub(super) struct HubParts {
    pub(super) settings: HubSettings,
    pub(super) live: Rc<LiveCopy>,
    pub(super) clock: Clock,
    pub(super) broadcaster: Arc<BroadcasterLink>,
    pub(super) stats: Arc<Stats>,
    pub(super) billboard: Arc<Billboard>,
    pub(super) roster: Rc<Roster>,
    pub(super) courier: Rc<Courier>,
    pub(super) vital: Vital,
}

impl Hub {
    /// A hub without sessions, reached by `link`, which attaches itself to the broadcaster when it starts.
    pub(super) fn new(parts: HubParts, link: Arc<HubLink>) -> Self {
        Self {
            settings: parts.settings,
            live: parts.live,
            clock: parts.clock,
            broadcaster: parts.broadcaster,
            link: Some(link),
            stats: parts.stats,
            roster: parts.roster,
            courier: parts.courier,
            billboard: parts.billboard,
            plain: Vec::new(),
            scoped: Vec::new(),
            picked: Vec::new(),
            walks: 0,
            announced: 0,
            walking: false,
            pulses: Pulses::default(),
            awaits_slot: false,
            joined: 0,
            ended: None,
            leaving: false,
            _vital: parts.vital,
        }
    }

    fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.plain.iter_mut().chain(&mut self.scoped)
    }

    /// Removes sessions that ended. Never during a walk, whose position it would shift.
    fn sweep(&mut self) {
        for members in [&mut self.plain, &mut self.scoped] {
            let mut at = 0;
            while at < members.len() {
                if members[at].is_gone() {
                    members.swap_remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }

    /// Once a second: pings, timeouts and deadlines.
    fn tick(&mut self) {
        let (now_s, live) = (self.clock.now_s(), self.live.now());
        let (ping_s, idle_s) =
            (whole_seconds(live.ping_interval), whole_seconds(live.idle_timeout));
        let mut tally = Tally::default();
        self.members().for_each(|member| member.tick(now_s, ping_s, idle_s, &mut tally));
        self.stats.delivered(&mut tally);
        if !self.walking {
            self.sweep();
        }
    }

    /// Tells every session to end.
    fn end_all(&mut self, end: Close) {
        self.members().for_each(|member| member.end(end));
    }

    /// Ends with the last session, once it is to.
    fn end_if_left(&self, ctx: &mut Context<Self>) {
        if self.leaving && self.plain.is_empty() && self.scoped.is_empty() {
            ctx.stop();
        }
    }

    /// Looks at the pulses again when the next slot has come, as long as there are any: a board that nobody looks at
    /// wakes no thread for them.
    fn await_slot(&mut self, ctx: &mut Context<Self>) {
        if self.pulses.is_empty() || self.awaits_slot {
            return;
        }
        self.awaits_slot = true;
        ctx.run_later(PULSE_SLOT, |hub, ctx| {
            hub.awaits_slot = false;
            hub.tell_pulses(Instant::now());
            hub.await_slot(ctx);
        });
    }

    /// Tells the pulse at hand to the sessions whose slot has come. Not during a walk: members would hear a
    /// total before its updates.
    fn tell_pulses(&mut self, now: Instant) {
        while !self.walking
            && let Some(turn) = self.pulses.turn(now, self.announced)
        {
            let mut tally = Tally::default();
            for member in &mut self.scoped {
                member.tell_pulse(&turn, &mut self.picked, &mut tally);
            }
            self.stats.delivered(&mut tally);
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.settings.mailbox);
        // Sessions that join meanwhile wait in the mailbox, and so does the first batch.
        let link = self.link.take().expect("started once");
        let attached = self.broadcaster.attach.send(AttachHub(link)).into_actor(self);
        ctx.wait(attached.map(|total, hub, ctx| match total {
            Ok(total) => {
                hub.announced = total;
                hub.roster.settle(total);
            }
            Err(_) => ctx.stop(),
        }));
        every(ctx, TICK, |hub: &mut Self, ctx| {
            hub.tick();
            hub.end_if_left(ctx);
        });
    }
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, Join(link): Join, _: &mut Self::Context) {
        let Some(downlink) = self.roster.let_in(&link) else { return };
        // One step: on the list from here on, and told exactly what the others have been told.
        link.tell(ToSession::Welcome(self.announced));
        let slot = (self.joined % usize::from(PULSE_SLOTS)) as u8;
        self.joined += 1;
        let member = Member::new(&downlink, self.pulses.newest(), slot);
        if let Some(end) = self.ended {
            member.end(end);
        }
        match link.version() {
            Version::Plain => self.plain.push(member),
            Version::V2 => {
                if let Some(notice) = self.billboard.notice() {
                    downlink.tell(Told::Frame(&notice), &mut self.picked, &mut Tally::default());
                }
                self.scoped.push(member);
            }
        }
    }
}

/// A batch on its way through those who were there, and looked there, when it came.
struct Walk {
    batch: Arc<Batch>,
    /// Goes along to `v=2` sessions.
    rider: Option<Rider>,
    /// The `v=2` sessions that it concerns.
    found: std::vec::IntoIter<Rc<Downlink>>,
    /// How far it has come through the plain ones.
    at: usize,
    end: usize,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Walk {
    /// Hands the batch to the next sessions; whether that was all of them.
    fn slice(&mut self, hub: &mut Hub) -> bool {
        let Hub { plain, picked, stats, .. } = hub;
        let (mut handed, mut tally) = (0, Tally::default());
        let rider = self.rider.as_ref();
        for downlink in self.found.by_ref().take(SLICE) {
            // One that was to end may not have noticed yet, and may not hear of another board.
            if downlink.ending().is_none() {
                downlink.tell(Told::Batch(&self.batch, rider), picked, &mut tally);
            }
            handed += 1;
        }
        let slice_end = (self.at + SLICE - handed).min(self.end);
        for member in &plain[self.at..slice_end] {
            if let Some(downlink) = member.listening() {
                downlink.tell(Told::Batch(&self.batch, None), picked, &mut tally);
            }
        }
        stats.delivered(&mut tally);
        self.at = slice_end;
        self.at == self.end && self.found.len() == 0
    }
}

impl ActorFuture<Hub> for Walk {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        hub: &mut Hub,
        _: &mut Context<Hub>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(task));
                self.pause = None;
            }
            if self.slice(hub) {
                return Poll::Ready(());
            }
            // yield_now, not wake_by_ref: a local set polls 61 tasks before it looks at I/O.
            self.pause = Some(Box::pin(tokio::task::yield_now()));
        }
    }
}

impl Handler<FlushBatch> for Hub {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, FlushBatch(batch): FlushBatch, _: &mut Self::Context) -> Self::Result {
        debug_assert!(!self.walking, "the broadcaster waits for one walk before the next");
        // From here on a joining session is greeted with this batch's total and is beyond `end`.
        self.announced = batch.total_after();
        self.walking = true;
        // 0 is the number of no walk.
        self.walks = self.walks.checked_add(1).unwrap_or(1);
        let found = self.roster.find(|| batch.tiles(), self.walks).into_iter();
        let rider = if found.len() > 0 { self.pulses.rider(self.announced) } else { None };
        let walk = Walk { batch, rider, found, at: 0, end: self.plain.len(), pause: None };
        Box::pin(walk.map(|(), hub: &mut Self, _| {
            hub.walking = false;
            hub.roster.settle(hub.announced);
            // Here as well: when one walk follows another, the timer may never find a gap.
            hub.tell_pulses(Instant::now());
            hub.sweep();
        }))
    }
}

impl Handler<PulseMade> for Hub {
    type Result = ();

    fn handle(&mut self, PulseMade(pulse): PulseMade, ctx: &mut Self::Context) {
        self.pulses.push(pulse);
        if self.scoped.is_empty() {
            // Who joins later knows of it.
            return self.pulses.forget();
        }
        self.tell_pulses(Instant::now());
        self.await_slot(ctx);
    }
}

impl Handler<Drain> for Hub {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.courier.drain()
    }
}

impl Handler<EndSessions> for Hub {
    type Result = ();

    fn handle(&mut self, EndSessions(end): EndSessions, _: &mut Self::Context) {
        self.ended = Some(end);
        self.end_all(end);
    }
}

impl Handler<EndPlayers> for Hub {
    type Result = ();

    fn handle(&mut self, EndPlayers { are_meant, close }: EndPlayers, _: &mut Self::Context) {
        let meant = self.members().filter_map(|member| member.of(&*are_meant));
        meant.for_each(|downlink| downlink.end(close));
    }
}

impl Handler<ReadSessions> for Hub {
    type Result = MessageResult<ReadSessions>;

    fn handle(&mut self, read: ReadSessions, _: &mut Self::Context) -> Self::Result {
        let ReadSessions { are_meant, most } = read;
        let (clock, live) = (self.clock, self.live.now());
        let mut meant: Vec<_> =
            self.members().filter_map(|member| member.of(&*are_meant)).collect();
        meant.sort_unstable_by_key(|downlink| downlink.link.id());
        MessageResult(meant.iter().take(most).map(|downlink| downlink.seen(clock, &live)).collect())
    }
}

impl Handler<SendFrame> for Hub {
    type Result = MessageResult<SendFrame>;

    fn handle(&mut self, send: SendFrame, _: &mut Self::Context) -> Self::Result {
        let SendFrame { are_meant, frame } = send;
        let (mut tally, mut sent) = (Tally::default(), 0);
        for downlink in self.scoped.iter().filter_map(Member::listening) {
            if are_meant(downlink.link.player()) {
                let told = downlink.tell(Told::Frame(&frame), &mut self.picked, &mut tally);
                sent += usize::from(told);
            }
        }
        self.stats.delivered(&mut tally);
        MessageResult(sent)
    }
}

impl Handler<TraceSession> for Hub {
    type Result = MessageResult<TraceSession>;

    fn handle(&mut self, trace: TraceSession, _: &mut Self::Context) -> Self::Result {
        let TraceSession { session, tracer } = trace;
        let is_meant = move |player: &Player| player.session == session;
        let found = self.members().find_map(|member| member.of(&is_meant));
        MessageResult(found.map(|downlink| downlink.trace.begin(tracer)))
    }
}

impl Handler<Leave> for Hub {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        self.leaving = true;
        // Who came when the others had been told to end.
        if self.ended.is_none() {
            self.ended = Some(Close::GOING_AWAY);
            self.end_all(Close::GOING_AWAY);
        }
        if !self.walking {
            self.sweep();
        }
        self.end_if_left(ctx);
    }
}

impl Handler<BoardForgotten> for Hub {
    type Result = ();

    fn handle(&mut self, _: BoardForgotten, _: &mut Self::Context) {
        debug_assert!(!self.walking, "the broadcaster waits for the last walk");
        // One step: who joins from here on continues from 0.
        self.announced = 0;
        self.roster.settle(0);
        self.pulses.forget();
        self.courier.forget();
        self.end_all(Close::BOARD_RESET);
    }
}
