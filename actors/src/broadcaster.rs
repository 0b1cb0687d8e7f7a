//! Owns the announced total: numbers flipped boxes in the order it flushes them, encodes a batch
//! once and hands it to every hub.
//!
//! A flush begins when something waits, the last flush has been handed out by every hub, and the [`Pace`]
//! allows it; under load it gathers for a moment before, after quiet it begins at once. It waits for hubs,
//! which wait for nobody, and never for a session. When a batch is full while a flush is out, the mailbox
//! is left alone: shards then pause, their gates fill, and sessions stop reading.
//!
//! It also counts every tile's boxes as it numbers them, and once a second hands the hubs a pulse
//! of what changed and publishes the overview of the whole.

pub mod batch;
pub mod census;
mod pace;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, ResponseFuture};
use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

use self::{
    batch::Batch,
    census::{Census, Overview},
    pace::Pace,
};
use crate::{
    board::{Board, BoxId},
    interval::every,
    link::{SessionLink, ToSession},
    messages::{BoardForgotten, BoxesChecked, Drain, FlushBatch, ForgetBoard, Leave, PulseMade},
    player::SessionId,
    settings::BroadcasterSettings,
    stats::Stats,
    vital::Vital,
    waiters::Waiters,
    wires::{AttachHub, HubLink},
};

/// A batch on its way through the hubs.
struct Flight {
    began: Instant,
    /// When a shard took in the oldest of its checks.
    since: Option<Instant>,
    handed_out: Pin<Box<dyn Future<Output = ()>>>,
    /// Whom to tell when it was.
    waiters: Waiters,
}

/// The one actor that numbers updates.
pub struct Broadcaster {
    settings: BroadcasterSettings,
    stats: Arc<Stats>,
    hubs: Vec<Arc<HubLink>>,
    /// Announced, the batch in flight included.
    total: u32,
    waiting: Vec<u32>,
    already: Vec<(BoxId, Arc<SessionLink>)>,
    /// When a shard took in the oldest check of those in `waiting`.
    since: Option<Instant>,
    /// Whom to tell when what is in `waiting` was handed out.
    waiters: Waiters,
    flight: Option<Flight>,
    pace: Pace,
    /// What comes within the next moment shall be in the next flush.
    gathering: bool,
    timer: Option<Pin<Box<Sleep>>>,
    drains: Waiters,
    board: Arc<Board>,
    census: Census,
    /// Number of the last pulse.
    pulse: u32,
    /// The overview as of the last pulse before which anything had changed.
    overview: watch::Sender<Arc<Overview>>,
    _vital: Vital,
}

impl Broadcaster {
    /// A broadcaster of a board as counted by `census`, which publishes overviews of it.
    pub fn new(
        settings: BroadcasterSettings,
        stats: Arc<Stats>,
        board: Arc<Board>,
        census: Census,
        overview: watch::Sender<Arc<Overview>>,
        vital: Vital,
    ) -> Self {
        let total = census.total();
        Self {
            settings,
            stats,
            board,
            census,
            pulse: 0,
            overview,
            hubs: Vec::new(),
            total,
            waiting: Vec::new(),
            already: Vec::new(),
            since: None,
            waiters: Waiters::default(),
            flight: None,
            pace: Pace::new(settings.interval, Instant::now()),
            gathering: false,
            timer: None,
            drains: Waiters::default(),
            _vital: vital,
        }
    }

    fn gathered(&self) -> usize {
        self.waiting.len() + self.already.len()
    }

    /// Sends everything gathered on its way. Only called while nothing is in flight, so every
    /// session has been handed all earlier updates by now.
    fn flush(&mut self) {
        debug_assert!(self.flight.is_none(), "one flush at a time keeps numbers in order");
        let began = Instant::now();
        let ids = std::mem::take(&mut self.waiting);
        self.census.count(&ids);
        let batch = Arc::new(Batch::encode(self.total, ids));
        self.total = batch.total_after();
        self.pace.began(began);
        self.timer = None;
        let mut answers: HashMap<SessionId, (Arc<SessionLink>, Vec<BoxId>)> = HashMap::new();
        for (id, session) in self.already.drain(..) {
            // In this batch the public update is the answer.
            if !batch.contains(id.get()) {
                let answer = answers.entry(session.id());
                answer.or_insert_with(|| (session, Vec::new())).1.push(id);
            }
        }
        for (session, ids) in answers.into_values() {
            session.tell(ToSession::AlreadyChecked(ids));
        }
        self.stats.broadcast_queue.set(0);
        let since = self.since.take();
        if batch.is_empty() {
            return;
        }
        self.stats.announced.set(i64::from(self.total));
        self.stats.updates_flushed.inc_by(batch.len() as u64);
        self.stats.batch_updates.observe(batch.len() as f64);
        // A hub that is gone answers with an error at once; its end is fatal elsewhere.
        let hubs =
            join_all(self.hubs.iter().map(|hub| hub.batches.send(FlushBatch(batch.clone()))));
        self.flight = Some(Flight {
            began,
            since,
            handed_out: Box::pin(async move {
                hubs.await;
            }),
            waiters: std::mem::take(&mut self.waiters),
        });
    }

    /// Publishes the overview if it changed, then pulses: who asks for the overview after a pulse
    /// came gets one that holds everything the pulses before it told.
    fn pulse(&mut self) {
        // Boxes are never unchecked, so the same total is the same board. Tiles that still wait for
        // their pulse are in the overview already, and one that is new is compressed anew.
        if self.overview.borrow().total != self.total {
            self.overview.send_replace(Arc::new(self.census.overview(&self.board)));
        }
        self.pulse = self.pulse.wrapping_add(1);
        let players = u32::try_from(self.stats.connections_now()).unwrap_or(u32::MAX);
        let pulse = Arc::new(self.census.pulse(self.pulse, self.total, players));
        let mut missed = false;
        for hub in &self.hubs {
            missed |= hub.pulses.try_send(PulseMade(pulse.clone())).is_err();
        }
        if missed {
            self.census.take_back(&pulse);
        }
    }

    /// The board is another one, without a checked box.
    fn begin_again(&mut self) {
        self.total = 0;
        self.stats.announced.set(0);
        self.census.clear();
        self.overview.send_replace(Arc::new(self.census.overview(&self.board)));
    }

    /// Whether nothing is in flight (any more).
    fn poll_flight(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let Some(flight) = &mut self.flight else { return Poll::Ready(()) };
        std::task::ready!(flight.handed_out.as_mut().poll(task));
        self.stats.flush_seconds.observe(flight.began.elapsed().as_secs_f64());
        if let Some(since) = flight.since {
            self.stats.to_screens.observe(since.elapsed());
        }
        flight.waiters.tell();
        self.flight = None;
        Poll::Ready(())
    }

    /// Ready when it is time for the next flush.
    fn poll_interval(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let remaining = self.pace.remaining(Instant::now());
        if remaining.is_zero() {
            self.timer = None;
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(remaining)));
        timer.as_mut().poll(task)
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.settings.mailbox);
        ctx.spawn(Pacer);
        every(ctx, self.settings.pulse_interval, |broadcaster: &mut Self, _| broadcaster.pulse());
    }
}

/// Flushes when it is time; polled after every drain of the mailbox.
struct Pacer;

impl ActorFuture<Broadcaster> for Pacer {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Broadcaster,
        _: &mut Context<Broadcaster>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            std::task::ready!(actor.poll_flight(task));
            if actor.gathered() == 0 {
                actor.drains.tell();
                return Poll::Pending;
            }
            if actor.gathering {
                return Poll::Pending;
            }
            std::task::ready!(actor.poll_interval(task));
            actor.flush();
        }
    }
}

/// Keeps the mailbox closed until the flush in flight has been handed out.
struct FlightLanded;

impl ActorFuture<Broadcaster> for FlightLanded {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Broadcaster,
        _: &mut Context<Broadcaster>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        std::task::ready!(actor.poll_flight(task));
        // The pacer, which actix polls once before this, may have done it.
        if actor.gathered() > 0 {
            actor.flush();
        }
        Poll::Ready(())
    }
}

/// Keeps the mailbox closed and the pacer waiting for a moment.
struct Gathering(Pin<Box<Sleep>>);

impl ActorFuture<Broadcaster> for Gathering {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut Broadcaster,
        _: &mut Context<Broadcaster>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        // A flush that lands meanwhile is not to seem longer than it was.
        let _ = actor.poll_flight(task);
        std::task::ready!(self.0.as_mut().poll(task));
        actor.gathering = false;
        Poll::Ready(())
    }
}

impl Handler<BoxesChecked> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mut checked: BoxesChecked, ctx: &mut Self::Context) {
        let is_first = self.gathered() == 0;
        self.waiting.extend(checked.flipped.iter().map(|id| id.get()));
        self.already.append(&mut checked.already);
        self.waiters.append(&mut checked.handed_out);
        self.since = [self.since, checked.since].into_iter().flatten().min();
        self.stats.broadcast_queue.set(self.gathered() as i64);
        if self.gathered() >= self.settings.batch_updates {
            ctx.wait(FlightLanded);
        } else if is_first && !self.pace.is_quiet(Instant::now()) {
            // The mailbox is closed meanwhile, so that each of them does not wake this thread. The flag is there
            // because actix polls the pacer once more before it waits.
            self.gathering = true;
            ctx.wait(Gathering(Box::pin(sleep(self.settings.gather))));
        }
    }
}

/// Keeps the mailbox closed until the old board's last flush is out and every hub has ended its
/// sessions.
struct Forgetting {
    hubs: Option<Pin<Box<dyn Future<Output = ()>>>>,
    forgotten: Waiters,
}

impl ActorFuture<Broadcaster> for Forgetting {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut Broadcaster,
        _: &mut Context<Broadcaster>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while self.hubs.is_none() {
            std::task::ready!(actor.poll_flight(task));
            if actor.gathered() > 0 {
                actor.flush();
                continue;
            }
            actor.begin_again();
            let hubs = join_all(actor.hubs.iter().map(|hub| hub.forget.send(BoardForgotten)));
            self.hubs = Some(Box::pin(async move {
                // A hub that is gone takes the node down, or the board is closed.
                hubs.await;
            }));
        }
        if let Some(hubs) = &mut self.hubs {
            std::task::ready!(hubs.as_mut().poll(task));
        }
        self.forgotten.tell();
        Poll::Ready(())
    }
}

impl Handler<ForgetBoard> for Broadcaster {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: ForgetBoard, ctx: &mut Self::Context) -> Self::Result {
        let mut forgotten = Waiters::default();
        let all_forgotten = forgotten.wait();
        ctx.wait(Forgetting { hubs: None, forgotten });
        all_forgotten
    }
}

impl Handler<AttachHub> for Broadcaster {
    type Result = u32;

    fn handle(&mut self, AttachHub(hub): AttachHub, _: &mut Self::Context) -> u32 {
        self.hubs.push(hub);
        self.total
    }
}

impl Handler<Drain> for Broadcaster {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.drains.wait()
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[cfg(test)]
mod tests;
