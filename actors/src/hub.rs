//! One per worker thread: the sessions of that thread, and the only place that walks them.
//!
//! Hands each batch to whom it concerns: every plain session, and the `v=2` sessions that look at one of
//! its tiles. It does so in slices, so that sockets are served in between, and writes to idle sockets
//! itself; what comes behind something else goes through the session's mailbox. Never waits for a
//! session: a full mailbox marks its session as overflowed and the walk goes on. A pulse goes along with
//! the next batch that concerns a `v=2` session; the others are told in slots over the second, so that a
//! socket write for each does not come in one burst. One timer drives pings, idle timeouts and session
//! deadlines.

mod heartbeat;
pub(crate) mod roster;
pub mod viewers;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler,
    ResponseActFuture, ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

use self::{
    heartbeat::{Beat, Heartbeat},
    roster::Roster,
};
use crate::{
    broadcaster::{Broadcaster, batch::Batch, census::Pulse},
    interval::every,
    messages::{
        AttachHub, BoardForgotten, ClientSilent, DeadlinePassed, Drain, EndSessions, FlushBatch,
        Join, MailboxOverflowed, PingDue, PulseMade, Welcome,
    },
    protocol::{Close, Version},
    session::downlink::{Downlink, Rider},
    shard::courier::Courier,
    stats::{Stats, Tally},
    topology::{Clock, Vital, whole_seconds},
};

/// Sessions handed a batch before the thread's other tasks get a turn. Latency at 5,000 listeners
/// halved with 64 compared with one uninterrupted walk.
const SLICE: usize = 64;

/// Parts of a second in which a pulse goes out, each to its share of the sessions.
const PULSE_SLOTS: u8 = 20;

/// Length of a slot: 20 of them are over before the next pulse comes.
const PULSE_SLOT: Duration = Duration::from_millis(45);

/// Pulses that may wait while a walk goes on; the oldest is given up then. Whoever missed it sees
/// its tiles when they change again or when it asks for the overview again.
const PULSES_MAX: usize = 4;

/// How a hub treats its sessions.
#[derive(Debug, Clone, Copy)]
pub struct HubSettings {
    /// Messages that may wait; full: a joining session and the broadcaster's flush wait.
    pub mailbox: usize,
    /// Time between two Pings to one session.
    pub ping_interval: Duration,
    /// Silence after which a session is ended.
    pub idle_timeout: Duration,
}

struct Member {
    /// Gone when its session has ended, which closes the socket.
    downlink: Weak<Downlink>,
    heartbeat: Heartbeat,
    /// Number of the last pulse whose slot it has had. Here as well as in the downlink, so that a slot
    /// visits only those whose turn it is.
    pulse: u32,
    /// Its part of the second.
    slot: u8,
    /// Was told to end: hears nothing else any more.
    ended: Option<EndSessions>,
}

/// Pulses on their way out, oldest first.
#[derive(Default)]
struct Pulses {
    waiting: VecDeque<Arc<Pulse>>,
    /// When the first of them began.
    began: Option<Instant>,
    /// Slots of the first that were told.
    slots_done: u8,
    /// Number of the newest there was.
    newest: u32,
}

/// The sessions of one worker thread.
pub struct Hub {
    settings: HubSettings,
    clock: Clock,
    broadcaster: Addr<Broadcaster>,
    stats: Arc<Stats>,
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
    /// Sessions that ever joined, which spreads them over the slots.
    joined: usize,
    /// Set once the node says goodbye: who joins after that is told at once.
    ended: Option<EndSessions>,
    _vital: Vital,
}

impl Hub {
    /// A hub without sessions, to be attached to `broadcaster` when it starts.
    pub(crate) fn new(
        settings: HubSettings,
        clock: Clock,
        broadcaster: Addr<Broadcaster>,
        stats: Arc<Stats>,
        roster: Rc<Roster>,
        courier: Rc<Courier>,
        vital: Vital,
    ) -> Self {
        Self {
            settings,
            clock,
            broadcaster,
            stats,
            roster,
            courier,
            plain: Vec::new(),
            scoped: Vec::new(),
            picked: Vec::new(),
            walks: 0,
            announced: 0,
            walking: false,
            pulses: Pulses::default(),
            joined: 0,
            ended: None,
            _vital: vital,
        }
    }

    /// Removes sessions that ended. Never during a walk, whose position it would shift.
    fn sweep(&mut self) {
        for members in [&mut self.plain, &mut self.scoped] {
            let mut at = 0;
            while at < members.len() {
                if members[at].downlink.strong_count() == 0 {
                    members.swap_remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }

    /// Once a second: pings, timeouts and deadlines.
    fn tick(&mut self) {
        let now_s = self.clock.now_s();
        let ping_s = whole_seconds(self.settings.ping_interval);
        let idle_s = whole_seconds(self.settings.idle_timeout);
        for member in self.plain.iter_mut().chain(&mut self.scoped) {
            let Some(downlink) = member.downlink.upgrade() else { continue };
            let link = &downlink.link;
            if link.has_overflowed() {
                link.tell(MailboxOverflowed);
            }
            if let Some(end) = member.ended {
                // Again, in case it did not fit the first time.
                link.tell(end);
            }
            if link.deadline_passed(now_s) {
                link.tell(DeadlinePassed);
            }
            let seen_s = link.seen_s();
            match member.heartbeat.tick(seen_s, ping_s, idle_s) {
                Beat::Rest => {}
                Beat::Ping => {
                    if link.try_tell(PingDue) {
                        member.heartbeat.pinged();
                    }
                }
                Beat::Silent => link.tell(ClientSilent { seen_s }),
            }
        }
        if !self.walking {
            self.sweep();
        }
    }

    /// Tells every session to end.
    fn end_all(&mut self, end: EndSessions) {
        for member in self.plain.iter_mut().chain(&mut self.scoped) {
            member.ended = Some(end);
            if let Some(downlink) = member.downlink.upgrade() {
                downlink.end();
                downlink.link.tell(end);
            }
        }
    }

    /// The pulse at hand, for those `v=2` sessions that the batch being walked concerns. They hear the
    /// batch first, and with it every update that the pulse counts.
    fn rider(&self) -> Option<Rider> {
        let pulse = self.pulses.waiting.front().filter(|pulse| pulse.total <= self.announced)?;
        let (sequence, total) = (pulse.sequence, self.announced);
        Some(Rider { sequence, total, frame: pulse.frame(total) })
    }

    /// Tells the pulse at hand to the sessions whose slot has come.
    ///
    /// Not during a walk, and not while updates it counts are still on their way here: members would
    /// hear the total before its updates. A pulse that a newer one has caught up with goes out whole.
    fn tell_pulses(&mut self, now: Instant) {
        while let Some(pulse) = self.pulses.waiting.front()
            && !self.walking
            && pulse.total <= self.announced
        {
            let began = *self.pulses.began.get_or_insert(now);
            let slots = match self.pulses.waiting.len() {
                1 => slots_due(now.saturating_duration_since(began)),
                _ => PULSE_SLOTS,
            };
            if slots > self.pulses.slots_done {
                let (total, sequence) = (self.announced, pulse.sequence);
                let frame = pulse.frame(total);
                let mut tally = Tally::default();
                for member in &mut self.scoped {
                    let told = member.pulse == sequence || member.slot >= slots;
                    if told || member.ended.is_some() {
                        continue;
                    }
                    member.pulse = sequence;
                    // It may have come to it with a batch.
                    if let Some(downlink) = member.downlink.upgrade()
                        && downlink.take_pulse(sequence)
                    {
                        downlink.tell_pulse(total, &frame, &mut tally);
                    }
                }
                self.stats.delivered(&mut tally);
                self.pulses.slots_done = slots;
            }
            if slots < PULSE_SLOTS {
                return;
            }
            self.pulses.next();
        }
    }
}

impl Pulses {
    fn push(&mut self, pulse: Arc<Pulse>) {
        if self.waiting.len() == PULSES_MAX {
            self.next();
        }
        self.newest = pulse.sequence;
        self.waiting.push_back(pulse);
    }

    fn forget(&mut self) {
        self.waiting.clear();
        (self.began, self.slots_done) = (None, 0);
    }

    fn next(&mut self) {
        self.waiting.pop_front();
        (self.began, self.slots_done) = (None, 0);
    }
}

/// Slots that have come within this time; the first one comes at once.
fn slots_due(elapsed: Duration) -> u8 {
    let passed = elapsed.as_millis() / PULSE_SLOT.as_millis();
    u8::try_from(passed + 1).unwrap_or(PULSE_SLOTS).min(PULSE_SLOTS)
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.settings.mailbox);
        // Sessions that join meanwhile wait in the mailbox, and so does the first batch.
        let attached = self.broadcaster.send(AttachHub(ctx.address())).into_actor(self);
        ctx.wait(attached.map(|total, hub, ctx| match total {
            Ok(total) => {
                hub.announced = total;
                hub.roster.settle(total);
            }
            Err(_) => ctx.stop(),
        }));
        every(ctx, Duration::from_secs(1), Self::tick);
        every(ctx, PULSE_SLOT, |hub: &mut Self| hub.tell_pulses(Instant::now()));
    }
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, Join(link): Join, _: &mut Self::Context) {
        let Some(downlink) = self.roster.let_in(&link) else { return };
        // One step: on the list from here on, and told exactly what the others have been told.
        link.tell(Welcome { total: self.announced });
        let ended = self.ended;
        if let Some(end) = ended {
            downlink.end();
            link.tell(end);
        }
        let (heartbeat, pulse) = (Heartbeat::new(link.seen_s()), self.pulses.newest);
        downlink.take_pulse(pulse);
        let slot = (self.joined % usize::from(PULSE_SLOTS)) as u8;
        self.joined += 1;
        let downlink = Rc::downgrade(&downlink);
        let members = match link.version() {
            Version::Plain => &mut self.plain,
            Version::V2 => &mut self.scoped,
        };
        members.push(Member { downlink, heartbeat, pulse, slot, ended });
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
            if !downlink.has_ended() {
                downlink.tell_batch(&self.batch, rider, picked, &mut tally);
            }
            handed += 1;
        }
        let slice_end = (self.at + SLICE - handed).min(self.end);
        for member in &plain[self.at..slice_end] {
            if let Some(downlink) = member.downlink.upgrade().filter(|it| !it.has_ended()) {
                downlink.tell_batch(&self.batch, None, picked, &mut tally);
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
        let rider = if found.len() > 0 { self.rider() } else { None };
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

    fn handle(&mut self, PulseMade(pulse): PulseMade, _: &mut Self::Context) {
        self.pulses.push(pulse);
        self.tell_pulses(Instant::now());
    }
}

impl Handler<Drain> for Hub {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let (drained, all_drained) = oneshot::channel();
        self.courier.drain(drained);
        Box::pin(async move {
            // Dropped with the thread, whose end takes the node down.
            let _ = all_drained.await;
        })
    }
}

impl Handler<EndSessions> for Hub {
    type Result = ();

    fn handle(&mut self, end: EndSessions, _: &mut Self::Context) {
        self.ended = Some(end);
        self.end_all(end);
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
        self.end_all(EndSessions(Close::BOARD_RESET));
    }
}

#[cfg(test)]
mod tests {
    use actix::Message;

    use super::*;
    use crate::tests::{Client, FREELY, TestStore, run, settings};

    /// A pulse at a moment of the test's choice.
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Moment {
        announced: u32,
        walking: bool,
        pulse: Option<Pulse>,
    }

    impl Handler<Moment> for Hub {
        type Result = ();

        fn handle(&mut self, moment: Moment, _: &mut Self::Context) {
            (self.announced, self.walking) = (moment.announced, moment.walking);
            if let Some(pulse) = moment.pulse {
                self.pulses.push(Arc::new(pulse));
            }
            self.tell_pulses(Instant::now());
        }
    }

    fn pulse(sequence: u32, total: u32) -> Option<Pulse> {
        Some(Pulse { sequence, total, players: 1, tiles: vec![(2, sequence)] })
    }

    /// A batch raises the hub's total before its walk has reached anybody. A total told in between
    /// came before its updates, which then seemed to lower it.
    #[test]
    fn no_total_is_told_while_its_updates_are_still_on_their_way() {
        let store = TestStore::new(1000, 1, FREELY);
        run(settings(), &store, async |worker| {
            let mut client = Client::connect(&worker, Version::V2).await;
            let moment = async |announced, walking, pulse| {
                let sent = worker.hub.send(Moment { announced, walking, pulse });
                sent.await.expect("the hub is there");
            };
            moment(5, true, pulse(1, 5)).await;
            client.send(&[1, 8]).await;
            assert_eq!(client.frame().await.len(), 9, "the answer, and no pulse during a walk");
            // The next pulse counts a batch that has not come to this hub yet.
            moment(5, false, pulse(2, 6)).await;
            let first = client.frame().await;
            assert_eq!((first[5], first[15]), (5, 1), "total and the tile's count");
            client.send(&[1, 8]).await;
            assert_eq!(client.frame().await.len(), 9, "the second one waits for its batch");
            moment(7, false, None).await;
            let second = client.frame().await;
            assert_eq!((second[5], second[15]), (7, 2), "the total it has been told by now");
        });
    }

    #[test]
    fn a_pulse_goes_along_with_a_batch_and_is_told_once() {
        let store = TestStore::new(1000, 1, FREELY);
        run(settings(), &store, async |worker| {
            let writes = || worker.node.stats.socket_writes.get();
            let mut looks = Client::connect(&worker, Version::V2).await;
            let mut idles = Client::connect(&worker, Version::V2).await;
            let mut checks = Client::connect(&worker, Version::Plain).await;
            looks.send(&[1, 8]).await;
            assert_eq!(looks.frame().await.len(), 9);
            let moment = Moment { announced: 0, walking: false, pulse: pulse(1, 1) };
            worker.hub.send(moment).await.expect("the hub is there");

            let before = writes();
            checks.send(&[5]).await;
            assert_eq!(looks.frame().await, [1, 0, 0, 0, 5, 0, 0, 0], "the update is told first");
            let rides = looks.frame().await;
            assert_eq!(rides[5], 1, "the pulse with the total of the batch: {rides:?}");
            // Its slot is after the other's.
            assert_eq!(idles.frame().await, rides, "whom the batch does not concern has it, too");
            assert_eq!(checks.frame().await.len(), 8);
            assert_eq!(writes() - before, 3, "one for each of them");
            checks.send(&[6]).await;
            assert_eq!(looks.frame().await, [2, 0, 0, 0, 6, 0, 0, 0], "and not a second time");
        });
    }

    #[test]
    fn slots_fill_the_time_between_two_pulses() {
        assert_eq!(slots_due(Duration::ZERO), 1);
        assert_eq!(slots_due(PULSE_SLOT), 2);
        assert_eq!(slots_due(PULSE_SLOT * 19), PULSE_SLOTS);
        assert_eq!(slots_due(Duration::from_secs(9_999)), PULSE_SLOTS);
    }
}
