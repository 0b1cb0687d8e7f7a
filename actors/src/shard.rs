//! One actor per key range: owns its bits, commits checks in groups, answers ranges from memory.
//!
//! `learn` is the only way a bit flips, whoever learned of the box: a player's check after its
//! commit, another node, a recovery. A check is passed on to the broadcaster only after the store
//! has it. At most one batch is with the store, which more may join until the store begins with it, and
//! one with the broadcaster; what waits behind them is bounded by the [`Gate`]. Ranges never wait for either.

pub mod bitmap;
pub mod commit;
pub mod gate;
pub mod ledger;
pub mod packed;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use actix::{
    Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, MessageResult,
    ResponseFuture, dev::SendError, fut::wrap_future,
};
use bytes::{BufMut, Bytes, BytesMut};

use self::{
    bitmap::Bitmap,
    commit::Asker,
    gate::{Gate, Place},
    ledger::{Ledger, News},
    packed::Packed,
};
use crate::{
    board::{Board, ShardIndex},
    link::{SessionLink, ToSession},
    messages::{
        BoxesChecked, CheckBoxes, Drain, ForgetBoxes, LearnBoxes, Leave, MergeBoxes, ReadRange,
        ReadTile, ReadWords,
    },
    protocol::{Refusal, begin_range_frame, range_frame_bytes},
    settings::ShardSettings,
    stats::Stats,
    store::{BoxFuture, Store, StoreError, batch::OpenBatch},
    vital::Vital,
    waiters::Waiters,
    wires::{BroadcasterLink, ShardDirectory},
};

/// A batch with the store.
struct Committing {
    began: Instant,
    /// When the oldest of its checks came.
    since: Instant,
    batch: OpenBatch,
    answer: BoxFuture<Result<(), StoreError>>,
}

/// News on its way into the broadcaster's mailbox.
struct HandingOver {
    places: Vec<Place>,
    taken: Waiters,
    accepted: Pin<Box<dyn Future<Output = ()>>>,
}

/// The actor of one key range.
pub struct Shard {
    index: ShardIndex,
    settings: ShardSettings,
    stats: Arc<Stats>,
    store: Arc<dyn Store>,
    broadcaster: Arc<BroadcasterLink>,
    directory: ShardDirectory,
    gate: Arc<Gate>,
    /// Refuses every check while it is set.
    read_only: Arc<AtomicBool>,
    ledger: Ledger<Arc<SessionLink>>,
    packed: Packed,
    committing: Option<Committing>,
    /// When the oldest of the checks that wait for a commit came, while any do.
    waiting_since: Instant,
    /// The same of those that the broadcaster is to be told of.
    news_since: Option<Instant>,
    /// Whom to tell when the broadcaster has taken the ledger's news over.
    news_taken: Waiters,
    /// Whom to tell when every hub has handed them out.
    handed_out: Waiters,
    handing_over: Option<HandingOver>,
    drains: Waiters,
    /// Who waits for every box to be forgotten. While anybody does, nothing is committed.
    forgetting: Waiters,
    _vital: Vital,
}

/// What a shard is made from.
pub struct ShardParts {
    /// Which key range.
    pub index: ShardIndex,
    /// The board it is part of.
    pub board: Arc<Board>,
    /// Its bounds.
    pub settings: ShardSettings,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Where checks are made durable.
    pub store: Arc<dyn Store>,
    /// Who is told of flipped boxes.
    pub broadcaster: Arc<BroadcasterLink>,
    /// The other shards, for ranges that go on there.
    pub directory: ShardDirectory,
    /// The bound on checks, shared with the sessions.
    pub gate: Arc<Gate>,
    /// Set while the board takes no checks.
    pub read_only: Arc<AtomicBool>,
    /// The bits as loaded.
    pub bitmap: Bitmap,
    /// Reports the shard's unexpected end.
    pub vital: Vital,
}

impl Shard {
    /// A shard that is ready to be started.
    pub fn new(parts: ShardParts) -> Self {
        Self {
            index: parts.index,
            ledger: Ledger::new(parts.index, parts.board, parts.bitmap),
            packed: Packed::new(parts.settings.compression),
            settings: parts.settings,
            stats: parts.stats,
            store: parts.store,
            broadcaster: parts.broadcaster,
            directory: parts.directory,
            gate: parts.gate,
            read_only: parts.read_only,
            committing: None,
            waiting_since: Instant::now(),
            news_since: None,
            news_taken: Waiters::default(),
            handed_out: Waiters::default(),
            handing_over: None,
            drains: Waiters::default(),
            forgetting: Waiters::default(),
            _vital: parts.vital,
        }
    }

    /// Sends the next batch to the store, if nothing is in the way; whether it did.
    fn begin_commit(&mut self) -> bool {
        if !self.forgetting.is_empty() {
            return false;
        }
        let Some(checks) = self.ledger.begin(self.settings.commit_checks) else { return false };
        #[cfg(feature = "faults")]
        if crate::faults::active(crate::faults::Fault::AcknowledgeBeforeCommit) {
            for offset in checks.offsets() {
                self.ledger.learn(*offset);
            }
        }
        let batch = OpenBatch::new(checks);
        let answer = self.store.commit(self.index, batch.clone());
        let (began, since) = (Instant::now(), self.waiting_since);
        self.committing = Some(Committing { began, since, batch, answer });
        true
    }

    fn finish_commit(&mut self, began: Instant, since: Instant, result: Result<(), StoreError>) {
        self.stats.committed(began.elapsed(), result.is_ok());
        // What is durable on a board that is being forgotten is not of the next one.
        let durable = result.is_ok() && self.forgetting.is_empty();
        for asker in self.ledger.finish(durable, &self.stats) {
            asker.session.refuse(self.ledger.id(asker.offset), Refusal::StorageUnavailable);
        }
        // Other nodes' news of the same boxes may have come before the store's answer, and be told by now.
        if !self.ledger.has_no_news() {
            self.news_since.get_or_insert(since);
        }
    }

    /// Hands the news to the broadcaster, if it has taken the last over; whether there were any.
    fn hand_over(&mut self) -> bool {
        if self.handing_over.is_some() {
            return false;
        }
        let Some(News { flipped, already, places }) = self.ledger.take_news() else { return false };
        let handed_out = std::mem::take(&mut self.handed_out);
        let news_since = self.news_since.take();
        let with_store = self.committing.as_ref().map(|with_store| with_store.since);
        // Only checks of this node's players hold places.
        let since = news_since.or(with_store).filter(|_| !places.is_empty());
        let news = BoxesChecked { flipped, already, handed_out, since };
        let taken = std::mem::take(&mut self.news_taken);
        match self.broadcaster.news.try_send(news) {
            // If it is gone the node is going down, and nothing more can be told.
            Ok(()) | Err(SendError::Closed(_)) => handed_over(places, taken),
            // The broadcaster is behind: wait for room, and let the gate fill meanwhile.
            Err(SendError::Full(news)) => {
                let accepted = self.broadcaster.news.send(news);
                let accepted = Box::pin(async move {
                    let _ = accepted.await;
                });
                self.handing_over = Some(HandingOver { places, taken, accepted });
            }
        }
        true
    }

    /// Advances commit and hand-over as far as they go; whether anything moved.
    fn advance(&mut self, task: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        if let Some(handing) = &mut self.handing_over
            && handing.accepted.as_mut().poll(task).is_ready()
            && let Some(HandingOver { places, taken, .. }) = self.handing_over.take()
        {
            handed_over(places, taken);
            moved = true;
        }
        if let Some(committing) = &mut self.committing
            && let Poll::Ready(result) = committing.answer.as_mut().poll(task)
        {
            let (began, since) = (committing.began, committing.since);
            self.committing = None;
            self.finish_commit(began, since, result);
            moved = true;
        }
        moved |= self.hand_over();
        moved | self.begin_commit()
    }

    /// Forgets every box once nothing of the old board is under way any more.
    fn forget(&mut self) {
        let rests = self.committing.is_none() && self.ledger.has_no_news();
        if self.forgetting.is_empty() || !rests || self.handing_over.is_some() {
            return;
        }
        self.ledger.forget();
        self.packed.forget();
        self.forgetting.tell();
    }

    /// The compressed answer to a request for a whole tile, for who understands it, if that is smaller.
    fn packed(&mut self, read: &ReadRange) -> Option<Bytes> {
        if !read.session.takes_compressed() || read.begun.is_some() {
            return None;
        }
        let (ledger, range) = (&self.ledger, read.range);
        let (tile, version) = ledger.whole_tile(range)?;
        self.packed.frame(tile, version, || {
            let mut payload = BytesMut::with_capacity(range_frame_bytes(range.boxes()));
            payload.put_u32_le(range.first().get());
            ledger.read_part(range, &mut payload);
            payload
        })
    }

    fn is_drained(&self) -> bool {
        self.ledger.is_idle()
            && self.committing.is_none()
            && self.ledger.has_no_news()
            && self.handing_over.is_none()
    }
}

fn handed_over(places: Vec<Place>, mut taken: Waiters) {
    drop(places);
    taken.tell();
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.settings.mailbox);
        ctx.spawn(Committer);
    }
}

/// Drives commits; polled after every drain of the mailbox, which gives group commit for free.
struct Committer;

impl ActorFuture<Shard> for Committer {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        shard: &mut Shard,
        _: &mut Context<Shard>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while shard.advance(task) {}
        shard.forget();
        // What waited meanwhile.
        while shard.advance(task) {}
        if shard.is_drained() {
            shard.drains.tell();
        }
        shard.gate.wake();
        Poll::Pending
    }
}

impl Handler<CheckBoxes> for Shard {
    type Result = ();

    fn handle(&mut self, CheckBoxes(checks): CheckBoxes, _: &mut Self::Context) {
        #[cfg(feature = "faults")]
        crate::faults::panic_if(crate::faults::Fault::ShardPanic);
        // Sessions ask the table first: these were on their way when it became read-only.
        if self.read_only.load(Ordering::Acquire) {
            for check in checks {
                check.session.refuse(self.ledger.id(check.offset), Refusal::ReadOnly);
            }
            return;
        }
        if self.ledger.nothing_waits() {
            self.waiting_since = Instant::now();
        }
        let open = self.committing.as_ref().filter(|_| self.forgetting.is_empty());
        let most = self.settings.commit_checks;
        for check in checks {
            let joins = |check: &Asker<_>| {
                open.is_some_and(|with| with.batch.join(check.offset, check.user, most))
            };
            self.ledger.check(check, joins, &self.stats);
        }
    }
}

impl Handler<LearnBoxes> for Shard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, LearnBoxes(offsets): LearnBoxes, _: &mut Self::Context) -> Self::Result {
        if self.ledger.learn_all(offsets, &self.stats) == 0 {
            return Box::pin(std::future::ready(()));
        }
        self.news_taken.wait()
    }
}

impl Handler<ReadWords> for Shard {
    type Result = MessageResult<ReadWords>;

    fn handle(&mut self, _: ReadWords, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.ledger.bitmap().words().clone())
    }
}

impl Handler<ForgetBoxes> for Shard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: ForgetBoxes, _: &mut Self::Context) -> Self::Result {
        self.forgetting.wait()
    }
}

impl Handler<MergeBoxes> for Shard {
    type Result = ResponseFuture<u32>;

    fn handle(&mut self, merge: MergeBoxes, _: &mut Self::Context) -> Self::Result {
        if merge.generation != self.ledger.generation() {
            return Box::pin(std::future::ready(0));
        }
        let flipped = self.ledger.learn_all(merge.offsets, &self.stats);
        if flipped == 0 {
            return Box::pin(std::future::ready(0));
        }
        let everybody_told = self.handed_out.wait();
        Box::pin(async move {
            everybody_told.await;
            flipped
        })
    }
}

impl Handler<ReadTile> for Shard {
    type Result = MessageResult<ReadTile>;

    fn handle(&mut self, ReadTile(range): ReadTile, _: &mut Self::Context) -> Self::Result {
        let mut bits = BytesMut::with_capacity(range.boxes().div_ceil(8) as usize);
        let is_whole = self.ledger.read_part(range, &mut bits);
        debug_assert!(is_whole, "a tile lies within one shard");
        MessageResult(bits.freeze())
    }
}

impl Handler<ReadRange> for Shard {
    type Result = ();

    fn handle(&mut self, mut read: ReadRange, ctx: &mut Self::Context) {
        if let Some(frame) = self.packed(&read) {
            self.stats.ranges.inc();
            return read.session.tell(ToSession::Range { sequence: read.sequence, frame });
        }
        let mut frame = read.begun.take().unwrap_or_else(|| begin_range_frame(read.range));
        if !self.ledger.read_part(read.range, &mut frame) {
            read.begun = Some(frame);
            let directory = self.directory.get().expect("set before the first session");
            let next = &directory[self.index.index() + 1].ranges;
            if let Err(SendError::Full(read)) = next.try_send(read) {
                // Bounded by the ranges that sessions may have outstanding.
                let accepted = next.send(read);
                ctx.spawn(wrap_future(async move {
                    let _ = accepted.await;
                }));
            }
            return;
        }
        // Short answers are padded; a joined one may carry one empty byte too many.
        frame.resize(range_frame_bytes(read.range.boxes()), 0);
        self.stats.ranges.inc();
        let frame = frame.freeze();
        read.session.tell(ToSession::Range { sequence: read.sequence, frame });
    }
}

impl Handler<Drain> for Shard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.drains.wait()
    }
}

impl Handler<Leave> for Shard {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
