//! The store's own thread: takes what is queued, makes it durable with one sync, answers everyone.
//!
//! It is the only user of the [`Disk`]. When the disk fails it closes the database, refuses
//! commits at once, and opens it again in the background until a probe succeeds. It never answers
//! `Ok` before the sync of the transaction that holds the boxes.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actors::{
    board::{Board, Offset, ShardIndex},
    store::{Feed, OpenBatch, StoreError, StoreState, Words, words_for},
};
use tokio::sync::{mpsc, oneshot};

use crate::store::{window::Window, within};

use super::{
    Options,
    checkpoint::Checkpoint,
    disk::{Disk, probe_room},
    fault::panic_text,
    format::{Seal, chunks_of},
};

/// Ids in one log entry after which no further batch joins it: 4 MiB, a few milliseconds of disk.
const GROUP_IDS: usize = 1 << 20;

/// Pause between the steps of a checkpoint when nobody commits: 8 chunks each, so a full board
/// takes 2,000 / 8 × 50 ms = 12.5 s of light work.
const IDLE_STEP: Duration = Duration::from_millis(50);

/// First and longest pause before trying to open a failed database again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// What the thread is asked to do.
pub enum Job {
    /// Make boxes of a shard durable.
    Commit { shard: ShardIndex, batch: OpenBatch, done: oneshot::Sender<Result<(), StoreError>> },
    /// Read one shard.
    Load { shard: ShardIndex, done: oneshot::Sender<Result<Words, StoreError>> },
    /// Finish and release the file.
    Close { done: oneshot::Sender<()> },
    /// Stands for a bug on this thread.
    #[cfg(test)]
    Panic,
    /// Stands for a disk that failed after `acknowledged` log entries, though more reached it.
    #[cfg(test)]
    Fail { acknowledged: u64 },
}

/// What callers on other threads see of the worker.
pub struct Outlook {
    state: Mutex<StoreState>,
    feed: Mutex<FeedSlot>,
    log_bytes: AtomicU64,
}

#[derive(Default)]
struct FeedSlot {
    feed: Option<Arc<dyn Feed>>,
    /// Learned before there was anyone to tell.
    waiting: Vec<(ShardIndex, Vec<Offset>)>,
}

impl Outlook {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(StoreState::Up),
            feed: Mutex::default(),
            log_bytes: AtomicU64::new(0),
        }
    }

    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub fn state(&self) -> StoreState {
        lock(&self.state).clone()
    }

    /// `Err` with the reason if commits are refused.
    pub fn ready(&self) -> Result<(), StoreError> {
        match &*lock(&self.state) {
            StoreState::Up => Ok(()),
            StoreState::Down(reason) => Err(StoreError::Unavailable(Arc::clone(reason))),
        }
    }

    pub fn set_feed(&self, feed: Arc<dyn Feed>) {
        let waiting = {
            let mut slot = lock(&self.feed);
            slot.feed = Some(Arc::clone(&feed));
            std::mem::take(&mut slot.waiting)
        };
        pass_on(&*feed, waiting);
    }

    fn set_state(&self, state: StoreState) {
        *lock(&self.state) = state;
    }

    pub fn learned(&self, learned: Vec<(ShardIndex, Vec<Offset>)>) {
        let feed = {
            let mut slot = lock(&self.feed);
            let Some(feed) = slot.feed.clone() else {
                slot.waiting.extend(learned);
                return;
            };
            feed
        };
        pass_on(&*feed, learned);
    }
}

/// Waits for the shards on the calling thread: they always make room.
fn pass_on(feed: &dyn Feed, learned: Vec<(ShardIndex, Vec<Offset>)>) {
    for (shard, offsets) in learned {
        futures_executor::block_on(feed.learned(shard, offsets));
    }
}

/// A panic elsewhere cannot leave these values half-written: each is replaced as a whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// State of the store's thread.
pub struct Worker {
    path: PathBuf,
    board: Board,
    log_bytes: u64,
    window: Window,
    outlook: Arc<Outlook>,
    jobs: mpsc::Receiver<Job>,
    phase: Phase,
    /// The sequence number after the last log entry that was acknowledged, or learned.
    acknowledged: u64,
    /// Whom the commit under way answers. Here, not on the stack, so that a panic drops them
    /// only after the state says down.
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

enum Phase {
    Up { disk: Disk, checkpoint: Checkpoint },
    Down { since: Instant, retry_at: Instant, pause: Duration },
    Closed,
}

enum Event {
    Job(Job),
    /// The pause ended without a job.
    Pause,
    /// Nobody is left who could send a job.
    Abandoned,
}

impl Worker {
    pub fn new(
        disk: Disk,
        checkpoint: Checkpoint,
        options: &Options,
        outlook: Arc<Outlook>,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        outlook.log_bytes.store(disk.seal().log_bytes, Ordering::Relaxed);
        Self {
            path: disk.path().to_owned(),
            board: options.board.clone(),
            log_bytes: options.log_bytes,
            window: options.window.clone(),
            outlook,
            jobs,
            acknowledged: disk.seal().log_next,
            phase: Phase::Up { disk, checkpoint },
            waiting: Vec::new(),
        }
    }

    /// Works until closed or abandoned. A panic ends the store, but not those who wait for it.
    pub fn run(mut self, runtime: &tokio::runtime::Runtime) {
        let ran = panic::catch_unwind(panic::AssertUnwindSafe(|| runtime.block_on(self.work())));
        if let Err(panic) = ran {
            let what = panic_text(&*panic);
            log::error!("{}: the store's thread failed: {what}: restart", self.path.display());
            let reason = format!("the store failed inside ({what}); restart the server");
            self.outlook.set_state(StoreState::Down(reason.into()));
            self.release();
        }
        // What is still queued is dropped with `self`, which its senders see as a refusal.
    }

    async fn work(&mut self) {
        loop {
            self.reopen_if_due();
            match self.next().await {
                Event::Job(job) => {
                    let mut next = Some(job);
                    while let Some(job) = next {
                        next = self.handle(job);
                    }
                }
                Event::Pause => self.step(),
                Event::Abandoned => self.shut(),
            }
            if matches!(self.phase, Phase::Closed) {
                return;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let pause = match &self.phase {
            Phase::Up { disk, checkpoint } => checkpoint.is_due(disk.seal()).then_some(IDLE_STEP),
            Phase::Down { retry_at, .. } => {
                Some(retry_at.saturating_duration_since(Instant::now()))
            }
            Phase::Closed => None,
        };
        let job = match pause {
            None => self.jobs.recv().await,
            Some(pause) => match tokio::time::timeout(pause, self.jobs.recv()).await {
                Ok(job) => job,
                Err(_) => return Event::Pause,
            },
        };
        job.map_or(Event::Abandoned, Event::Job)
    }

    /// Does one job. Returns the job after it if that was taken from the queue already.
    fn handle(&mut self, job: Job) -> Option<Job> {
        match job {
            Job::Commit { shard, batch, done } => return self.commit(shard, &batch, done),
            Job::Load { shard, done } => {
                // Nobody may be waiting any more; then nobody misses the answer.
                let _ = done.send(self.load(shard));
            }
            Job::Close { done } => {
                self.shut();
                let _ = done.send(());
            }
            #[cfg(test)]
            Job::Panic => panic!("asked to"),
            #[cfg(test)]
            Job::Fail { acknowledged } => {
                self.acknowledged = acknowledged;
                self.fall(&StoreError::Unavailable("asked to fail".into()));
            }
        }
        None
    }

    /// Commits a batch together with every batch queued behind it, under load also with those that come
    /// while it gathers: shards speak at the same moment, and a transaction takes 0.4 ms of CPU, for one as
    /// for all. The queue is not looked at meanwhile, so that nothing wakes this thread.
    fn commit(
        &mut self,
        shard: ShardIndex,
        batch: &OpenBatch,
        done: oneshot::Sender<Result<(), StoreError>>,
    ) -> Option<Job> {
        // While it is down nobody needs to wait to be refused.
        if matches!(self.phase, Phase::Up { .. }) {
            let now = Instant::now();
            // Nothing else runs on this thread, and its runtime's timers round up to a millisecond or two.
            std::thread::sleep(self.window.join(now) - now);
        }
        let mut indexes = Vec::new();
        self.begin(shard, batch, done, &mut indexes);
        let mut next = None;
        while indexes.len() < GROUP_IDS {
            match self.jobs.try_recv() {
                Ok(Job::Commit { shard, batch, done }) => {
                    self.begin(shard, &batch, done, &mut indexes);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = self.write(&indexes);
        for done in self.waiting.drain(..) {
            let _ = done.send(result.clone());
        }
        next
    }

    /// Adds a batch to the commit under way, by its boxes' indexes on the board.
    fn begin(
        &mut self,
        shard: ShardIndex,
        batch: &OpenBatch,
        done: oneshot::Sender<Result<(), StoreError>>,
        indexes: &mut Vec<u32>,
    ) {
        let offsets = batch.close();
        // One box past the board in the log, and the next start would refuse the file.
        if let Err(error) = within(&self.board, shard, &offsets) {
            let _ = done.send(Err(error));
            return;
        }
        indexes.extend(offsets.iter().map(|offset| self.board.id(shard, *offset).get() - 1));
        self.waiting.push(done);
    }

    fn write(&mut self, indexes: &[u32]) -> Result<(), StoreError> {
        let Phase::Up { disk, checkpoint } = &mut self.phase else {
            self.outlook.ready()?;
            return Err(StoreError::Unavailable("the store is closed".into()));
        };
        if indexes.is_empty() {
            return Ok(());
        }
        checkpoint.add(indexes);
        let step = checkpoint.step(disk.seal(), Seal::entry_cost(indexes.len() * 4));
        match disk.commit(indexes, &step) {
            Ok(()) => {
                self.acknowledged = disk.seal().log_next;
                self.outlook.log_bytes.store(disk.seal().log_bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(self.fall(&error)),
        }
    }

    /// Moves the checkpoint on while nobody commits.
    fn step(&mut self) {
        let Phase::Up { disk, checkpoint } = &mut self.phase else { return };
        let step = checkpoint.step(disk.seal(), 0);
        if step.is_empty(disk.seal()) {
            return;
        }
        match disk.commit(&[], &step) {
            Ok(()) => self.outlook.log_bytes.store(disk.seal().log_bytes, Ordering::Relaxed),
            Err(error) => {
                self.fall(&error);
            }
        }
    }

    fn load(&mut self, shard: ShardIndex) -> Result<Words, StoreError> {
        let Phase::Up { disk, checkpoint } = &self.phase else {
            self.outlook.ready()?;
            return Err(StoreError::Unavailable("the store is closed".into()));
        };
        let indexes = indexes_of(&self.board, shard);
        let mut bytes = disk.read(&indexes)?;
        or_missing(&mut bytes, &indexes, checkpoint);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let mut words = vec![0; words_for(self.board.boxes_in(shard))];
        debug_assert_eq!(bytes.len(), words.len() * 8);
        // Zeros are not written: pages of an empty stretch stay unmapped (14 MB instead of 137 MB
        // for an empty board of a billion).
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            if *bytes != [0; 8] {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        Ok(words)
    }

    /// Goes down because of `error`: nothing of this database is believed until it was opened
    /// and verified again.
    fn fall(&mut self, error: &StoreError) -> StoreError {
        self.release();
        let reason = reason(error);
        log::warn!("checks are refused until the store is back: {reason}");
        self.outlook.set_state(StoreState::Down(Arc::clone(&reason)));
        let since = Instant::now();
        self.phase = Phase::Down { since, retry_at: since + RETRY_FIRST, pause: RETRY_FIRST };
        StoreError::Unavailable(reason)
    }

    fn reopen_if_due(&mut self) {
        let Phase::Down { since, retry_at, pause } = self.phase else { return };
        if Instant::now() < retry_at {
            return;
        }
        match reopen(&self.path, &self.board, self.log_bytes, self.acknowledged) {
            Ok((disk, checkpoint, learned)) => {
                self.acknowledged = disk.seal().log_next;
                self.phase = Phase::Up { disk, checkpoint };
                self.outlook.learned(by_shard(&self.board, learned));
                self.outlook.set_state(StoreState::Up);
                log::info!("checks are accepted again after {:.1?}", since.elapsed());
            }
            Err(error) => {
                let reason = reason(&error);
                log::debug!("the store is still down: {reason}");
                self.outlook.set_state(StoreState::Down(reason));
                let pause = (pause * 2).min(RETRY_LONGEST);
                self.phase = Phase::Down { since, retry_at: Instant::now() + pause, pause };
            }
        }
    }

    /// Ends the work: what was queued before was done, what comes later is refused.
    fn shut(&mut self) {
        self.outlook.set_state(StoreState::Down("the store is closed".into()));
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            // Dropping a batch or a load refuses it; a second close is content already.
            if let Job::Close { done } = job {
                let _ = done.send(());
            }
        }
        self.release();
    }

    fn release(&mut self) {
        if let Phase::Up { disk, .. } = std::mem::replace(&mut self.phase, Phase::Closed) {
            disk.close();
        }
    }
}

/// Opens the database again and proves that it takes writes. Also returns the boxes of log
/// entries from `acknowledged` on: a commit that failed here may have reached the disk.
pub fn reopen(
    path: &Path,
    board: &Board,
    log_bytes: u64,
    acknowledged: u64,
) -> Result<(Disk, Checkpoint, Vec<u32>), StoreError> {
    probe_room(path)?;
    let mut checkpoint = Checkpoint::new(board.boxes(), log_bytes);
    let mut learned = Vec::new();
    let mut disk = Disk::open(path, board, &mut |sequence, indexes| {
        checkpoint.add(indexes);
        if sequence >= acknowledged {
            learned.extend_from_slice(indexes);
        }
    })?;
    let checked = if disk.seal().log_next < acknowledged {
        let text = format!(
            "{} is older than what was acknowledged: restore the newer file, or restart the \
             server to go on from this one",
            path.display()
        );
        Err(StoreError::Unusable(text.into()))
    } else {
        disk.probe()
    };
    match checked {
        Ok(()) => Ok((disk, checkpoint, learned)),
        Err(error) => {
            disk.close();
            Err(error)
        }
    }
}

fn reason(error: &StoreError) -> Arc<str> {
    match error {
        StoreError::Unavailable(reason)
        | StoreError::Unusable(reason)
        | StoreError::InUse(reason) => Arc::clone(reason),
    }
}

fn indexes_of(board: &Board, shard: ShardIndex) -> Range<u64> {
    let first = u64::from(board.first_id(shard).get() - 1);
    first..first + u64::from(board.boxes_in(shard))
}

/// Adds to `bytes`, which hold the boxes `indexes`, what the log has and the chunks have not.
fn or_missing(bytes: &mut [u8], indexes: &Range<u64>, checkpoint: &Checkpoint) {
    for chunk in chunks_of(indexes) {
        for index in checkpoint.missing(chunk) {
            let index = u64::from(*index);
            if indexes.contains(&index) {
                let bit = index - indexes.start;
                let byte = usize::try_from(bit / 8).expect("inside a shard's bytes");
                bytes[byte] |= 1 << (bit % 8);
            }
        }
    }
}

fn by_shard(board: &Board, indexes: Vec<u32>) -> Vec<(ShardIndex, Vec<Offset>)> {
    let mut shards: BTreeMap<ShardIndex, Vec<Offset>> = BTreeMap::new();
    for id in indexes.into_iter().filter_map(|index| board.box_id(index + 1)) {
        let (shard, offset) = board.locate(id);
        shards.entry(shard).or_default().push(offset);
    }
    shards.into_iter().collect()
}
