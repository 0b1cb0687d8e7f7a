//! The store's own thread: takes what is queued, makes it durable with one sync, answers everyone.
//!
//! It is the only user of the [`Disk`]. When the disk fails, or the file is not where it was, it closes the
//! database, refuses commits at once, and tries to come back in the background ([`recovery`](super::recovery)).
//! It never answers `Ok` before the sync of the transaction that holds the boxes, nor before it has seen that
//! the file's name still leads to what was synced: what is acknowledged is what a restart finds.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    board::{Board, Offset, ShardIndex},
    store::{
        StoreError, StoreState, Words,
        batch::OpenBatch,
        credits::{Counted, CreditCursor, CreditKey, CreditPage, CreditRange},
        words_for,
    },
};
use tokio::sync::{mpsc, oneshot};

use crate::store::{credits::Changed, window::Window, within};

use super::{
    Options,
    checkpoint::Checkpoint,
    credits::Crediting,
    disk::Disk,
    fault::panic_text,
    format::{Seal, chunks_of},
    outlook::Outlook,
    place::Lost,
    recovery::{Outage, Recovered, Wanted, reason},
};

/// Ids in one log entry after which no further batch joins it: 4 MiB, a few milliseconds of disk.
const GROUP_IDS: usize = 1 << 20;

/// Pause between the steps of a checkpoint when nobody commits: 8 chunks each, so a full board
/// takes 2,000 / 8 × 50 ms = 12.5 s of light work.
const IDLE_STEP: Duration = Duration::from_millis(50);

/// Between two looks at the file while nobody commits.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts to save a lost file before the end.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// What the thread is asked to do.
pub enum Job {
    /// Make boxes of a shard durable.
    Commit { shard: ShardIndex, batch: OpenBatch, done: oneshot::Sender<Result<(), StoreError>> },
    /// Read one shard.
    Load { shard: ShardIndex, done: oneshot::Sender<Result<Words, StoreError>> },
    /// Read counters of credits.
    Credits { keys: Vec<CreditKey>, done: oneshot::Sender<Result<Vec<u64>, StoreError>> },
    /// Read those that come after the cursor.
    AllCredits { from: CreditCursor, done: oneshot::Sender<Result<CreditPage, StoreError>> },
    /// Remove those that have not changed.
    ForgetCredits { counted: Vec<Counted>, done: oneshot::Sender<Result<u64, StoreError>> },
    /// Finish and release the file. An error: a restart would not find all that was acknowledged.
    Close { done: oneshot::Sender<Result<(), StoreError>> },
    /// Stands for a bug on this thread.
    #[cfg(test)]
    Panic,
    /// Stands for a disk that failed after `acknowledged` log entries, though more reached it.
    #[cfg(test)]
    Fail { acknowledged: u64 },
    /// Stands for somebody who does this to the file while the next commit is on its way to the disk.
    #[cfg(test)]
    Meddle(Box<dyn FnOnce() + Send>),
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
    crediting: Crediting,
    changed: Arc<Changed>,
    /// Whom the commit under way answers. Here, not on the stack, so that a panic drops them
    /// only after the state says down.
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    #[cfg(test)]
    meddle: Option<Box<dyn FnOnce() + Send>>,
}

enum Phase {
    Up { disk: Disk, checkpoint: Checkpoint },
    Down(Outage),
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
        (outlook, changed): (Arc<Outlook>, Arc<Changed>),
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        outlook.opened(&disk);
        Self {
            path: disk.path().to_owned(),
            board: options.board.clone(),
            log_bytes: options.log_bytes,
            window: options.window.clone(),
            outlook,
            jobs,
            acknowledged: disk.seal().log_next,
            phase: Phase::Up { disk, checkpoint },
            crediting: Crediting::new(options.today, options.board.boxes()),
            changed,
            waiting: Vec::new(),
            #[cfg(test)]
            meddle: None,
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
                Event::Abandoned => {
                    // Nobody is left who would wait, or could be told.
                    let _ = self.save_before_the_end(|| true);
                    self.shut();
                }
            }
            if matches!(self.phase, Phase::Closed) {
                return;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let pause = match &self.phase {
            Phase::Up { disk, checkpoint } if checkpoint.is_due(disk.seal()) => IDLE_STEP,
            Phase::Up { .. } => LOOK_INTERVAL,
            Phase::Down(outage) => outage.retry_at.saturating_duration_since(Instant::now()),
            // Ends at once.
            Phase::Closed => Duration::ZERO,
        };
        match tokio::time::timeout(pause, self.jobs.recv()).await {
            Ok(job) => job.map_or(Event::Abandoned, Event::Job),
            Err(_) => Event::Pause,
        }
    }

    /// Does one job. Returns the job after it if that was taken from the queue already.
    fn handle(&mut self, job: Job) -> Option<Job> {
        match job {
            Job::Commit { shard, batch, done } => return self.commit(shard, &batch, done),
            Job::Load { shard, done } => {
                // Nobody may be waiting any more; then nobody misses the answer.
                let _ = done.send(self.load(shard));
            }
            Job::Credits { keys, done } => {
                let _ = done.send(self.disk().and_then(|disk| disk.credits(&keys)));
            }
            Job::AllCredits { from, done } => {
                let _ = done.send(self.disk().and_then(|disk| disk.credit_page(from)));
            }
            Job::ForgetCredits { counted, done } => {
                let _ = done.send(self.forget_credits(&counted));
            }
            Job::Close { done } => {
                let saved = self.save_before_the_end(|| done.is_closed());
                self.shut();
                let _ = done.send(saved);
            }
            #[cfg(test)]
            Job::Panic => panic!("asked to"),
            #[cfg(test)]
            Job::Fail { acknowledged } => {
                self.acknowledged = acknowledged;
                self.fall(&StoreError::Unavailable("asked to fail".into()));
            }
            #[cfg(test)]
            Job::Meddle(meddle) => self.meddle = Some(meddle),
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
        let credits = self.crediting.take();
        let result = self.write(&indexes, &credits);
        // Whatever came of it: what was refused may have reached the disk.
        self.changed.note(CreditRange(0), credits.iter().map(|(key, _)| *key));
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
        let batch = batch.close();
        // One box past the board in the log, and the next start would refuse the file.
        if let Err(error) = within(&self.board, shard, batch.offsets()) {
            let _ = done.send(Err(error));
            return;
        }
        let offsets = batch.offsets().iter();
        indexes.extend(offsets.map(|offset| self.board.id(shard, *offset).get() - 1));
        self.crediting.add(&self.board, shard, &batch);
        self.waiting.push(done);
    }

    fn write(&mut self, indexes: &[u32], credits: &[Counted]) -> Result<(), StoreError> {
        let Phase::Up { disk, checkpoint } = &mut self.phase else {
            self.outlook.ready()?;
            return Err(StoreError::Unavailable("the store is closed".into()));
        };
        if indexes.is_empty() {
            return Ok(());
        }
        if let Some(lost) = disk.look() {
            return Err(self.lose(lost));
        }
        checkpoint.add(indexes);
        let step = checkpoint.step(disk.seal(), Seal::entry_cost(indexes.len() * 4));
        if let Err(error) = disk.commit_credited(indexes, credits, &step) {
            return Err(self.fall(&error));
        }
        #[cfg(test)]
        if let Some(meddle) = self.meddle.take() {
            meddle();
        }
        if let Some(lost) = disk.look() {
            return Err(self.lose(lost));
        }
        self.acknowledged = disk.seal().log_next;
        self.outlook.set_log_bytes(disk.seal().log_bytes);
        Ok(())
    }

    /// While nobody commits: looks at the file, and moves the checkpoint on.
    fn step(&mut self) {
        let Phase::Up { disk, checkpoint } = &mut self.phase else { return };
        if let Some(lost) = disk.look() {
            self.lose(lost);
            return;
        }
        let step = checkpoint.step(disk.seal(), 0);
        if step.is_empty(disk.seal()) {
            return;
        }
        if let Err(error) = disk.commit(&[], &step) {
            self.fall(&error);
        } else if let Some(lost) = disk.look() {
            self.lose(lost);
        } else {
            self.outlook.set_log_bytes(disk.seal().log_bytes);
        }
    }

    /// The open database.
    fn disk(&mut self) -> Result<&mut Disk, StoreError> {
        match &mut self.phase {
            Phase::Up { disk, .. } => Ok(disk),
            _ => {
                self.outlook.ready()?;
                Err(StoreError::Unavailable("the store is closed".into()))
            }
        }
    }

    fn forget_credits(&mut self, counted: &[Counted]) -> Result<u64, StoreError> {
        self.disk()?.forget_credits(counted).map_err(|error| self.fall(&error))
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
        let reason = reason(error);
        log::warn!("checks are refused until the store is back: {reason}");
        self.outlook.set_state(StoreState::Down(Arc::clone(&reason)));
        if let Phase::Up { disk, .. } = std::mem::replace(&mut self.phase, Phase::Closed) {
            self.phase = Phase::Down(Outage::of_fault(Arc::clone(&reason), disk.close()));
        }
        StoreError::Unavailable(reason)
    }

    /// Goes down because the file is not where it was, or not what it was.
    fn lose(&mut self, lost: Lost) -> StoreError {
        let taken = lost.is_taken();
        if let Phase::Up { disk, .. } = std::mem::replace(&mut self.phase, Phase::Closed) {
            if matches!(lost, Lost::WrittenOver) {
                disk.leave_alone();
            }
            let content = disk.content();
            let outage = Outage::of_loss(lost, &self.path, disk.close(), content);
            self.outlook.set_state(StoreState::Down(Arc::clone(&outage.reason)));
            self.phase = Phase::Down(outage);
        }
        // Nothing is in the way of saving a copy now, and what is said names it.
        if taken {
            self.try_to_return();
        }
        if let Phase::Down(outage) = &self.phase {
            log::error!("checks are refused until the store is back: {}", outage.reason);
        }
        // Also if it is back already: what this answers was not acknowledged.
        StoreError::Unavailable("the store's file was lost".into())
    }

    fn reopen_if_due(&mut self) {
        let Phase::Down(outage) = &self.phase else { return };
        if Instant::now() < outage.retry_at {
            return;
        }
        let (since, loss, before) = (outage.since, outage.is_loss(), Arc::clone(&outage.reason));
        self.try_to_return();
        match &self.phase {
            Phase::Down(outage) if loss && outage.reason != before => {
                log::error!("the store is still down: {}", outage.reason);
            }
            Phase::Down(outage) => log::debug!("the store is still down: {}", outage.reason),
            _ => log::info!("checks are accepted again after {:.1?}", since.elapsed()),
        }
    }

    /// Tries to be up again.
    fn try_to_return(&mut self) {
        let Phase::Down(mut outage) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return;
        };
        let wanted = Wanted {
            path: &self.path,
            board: &self.board,
            log_bytes: self.log_bytes,
            acknowledged: self.acknowledged,
        };
        let Some(recovered) = outage.attempt(&wanted) else {
            self.outlook.set_state(StoreState::Down(Arc::clone(&outage.reason)));
            self.phase = Phase::Down(outage);
            return;
        };
        let Recovered { disk, checkpoint, learned, made_again } = recovered;
        if made_again {
            let file = self.path.display();
            log::warn!("{file} was made again, with every box that was acknowledged");
        }
        self.acknowledged = disk.seal().log_next;
        self.crediting.found(&learned);
        self.outlook.opened(&disk);
        self.phase = Phase::Up { disk, checkpoint };
        self.outlook.learned(by_shard(&self.board, learned));
        self.outlook.set_state(StoreState::Up);
    }

    /// Before the end: a file that was lost has to be there at the next start. Tries until it is, or until
    /// `given_up`.
    fn save_before_the_end(&mut self, given_up: impl Fn() -> bool) -> Result<(), StoreError> {
        if let Phase::Up { disk, .. } = &self.phase
            && let Some(lost) = disk.look()
        {
            self.lose(lost);
        }
        loop {
            if matches!(&self.phase, Phase::Down(outage) if outage.is_loss()) {
                self.try_to_return();
            }
            let Phase::Down(outage) = &self.phase else { return Ok(()) };
            if !outage.is_unsaved(&self.path) {
                return Ok(());
            }
            if given_up() || !outage.is_hopeful() {
                return Err(StoreError::Unavailable(Arc::clone(&outage.reason)));
            }
            std::thread::sleep(SAVE_INTERVAL);
        }
    }

    /// Ends the work: what was queued before was done, what comes later is refused.
    fn shut(&mut self) {
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            // Dropping a batch or a load refuses it; a second close is content already.
            if let Job::Close { done } = job {
                let _ = done.send(Ok(()));
            }
        }
        self.release();
        // Not before: who waits for it in vain takes a store that is down for one that has lost something.
        self.outlook.set_state(StoreState::Down("the store is closed".into()));
    }

    fn release(&mut self) {
        if let Phase::Up { disk, .. } = std::mem::replace(&mut self.phase, Phase::Closed) {
            disk.close();
        }
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
