//! The embedded store: one database file that holds a board, for a server that runs alone.
//!
//! Shards talk to it through the port; everything happens on the store's own thread, so batches
//! of all shards that wait at the same moment share one sync. In the order a check meets them:
//!
//! - [`worker`]: the queue, group commit, going down and coming back; [`outlook`]: what others see of it;
//! - [`checkpoint`]: moving boxes from the log into chunks, a few per commit;
//! - [`credits`]: who is credited with what, in the same transaction;
//! - [`disk`]: the database file, its transactions and its verification;
//! - [`backend`]: the file as the engine uses it;
//! - [`place`]: whether its name still leads to it, and copying it to where it belongs;
//! - [`recovery`]: the way back after a failure or a loss;
//! - [`format`]: bytes and checksums;
//! - [`fault`]: errors in words;
//! - [`snapshot`] and [`merge`]: reading and filling the database of a server that is stopped;
//! - [`overlay`]: repairing a crashed one for reading, without changing its file.
//!
//! A commit appends one entry to a log instead of writing the bitmap, because random boxes touch
//! most chunks: 12,800 checks are 51 KB of log, but up to 125 MB of chunks.

mod backend;
pub mod bus;
pub mod channels;
mod checkpoint;
mod credits;
pub mod disk;
mod fault;
mod format;
mod overlay;
pub mod place;
mod outlook;
mod recovery;
mod worker;
pub mod merge;
pub mod snapshot;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use actors::{
    board::{Board, ShardIndex},
    store::{
        BoxFuture, Feed, Store, StoreError, StoreState, Words,
        batch::OpenBatch,
        credits::{
            ChangedCredits, Counted, CreditCursor, CreditKey, CreditPage, CreditRange, Credits,
        },
    },
};
use tokio::sync::{mpsc, oneshot};

use self::{
    checkpoint::Checkpoint,
    disk::{Disk, saved},
    fault::Fault,
    outlook::{Outlook, lock},
    worker::{Job, Worker},
};
use super::{
    credits::{Changed, Today},
    window::Window,
};
use crate::wall;

/// Jobs that may wait for the thread. When the queue is full, commits wait for room: a shard has
/// one batch in flight, so that takes more than a thousand shards.
const QUEUE_JOBS: usize = 1024;

/// Where an [`EmbeddedStore`] lives and when it tidies up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the database file `<board name>.redb`; made if missing.
    pub path: PathBuf,
    /// The board to be kept.
    pub board: Board,
    /// Log size at which its content begins to move into the chunks. The log stays below twice
    /// this; it is read at every start, and its boxes are also kept in RAM.
    pub log_bytes: u64,
    /// How batches are gathered to be committed together.
    pub window: Window,
    /// Says on which day boxes are checked.
    pub today: Today,
}

impl Options {
    /// 64 MiB: 16 million checks, read in about 0.1 s.
    pub const LOG_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

    /// The board `board` in the folder `path`, which commits as fast as the disk takes it.
    pub fn new(path: impl Into<PathBuf>, board: Board) -> Self {
        let log_bytes = Self::LOG_BYTES_DEFAULT;
        let (window, today) = (Window::none(), wall::today as Today);
        Self { path: path.into(), board, log_bytes, window, today }
    }
}

/// The database file of the board named `board` in the folder `folder`.
pub fn file_of(folder: &Path, board: &str) -> PathBuf {
    folder.join(format!("{board}.redb"))
}

/// Tells one store from every other on this machine: the device and number of its file.
///
/// # Errors
/// If there is no such file.
pub fn identity(file: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(file)?;
    Ok(format!("{:x}-{:x}", file.dev(), file.ino()))
}

/// A board in a local database file. See the module's documentation.
pub struct EmbeddedStore {
    board: Board,
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
    outlook: Arc<Outlook>,
    changed: Arc<Changed>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl EmbeddedStore {
    /// Opens the board's database, or creates it, and verifies everything in it. Blocks while
    /// reading: call it before serving begins.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let board = options.board.clone();
        let mut checkpoint = Checkpoint::new(board.boxes(), options.log_bytes);
        let disk =
            Disk::open_or_create(&options.path, &board, &mut |_, indexes| checkpoint.add(indexes))?;
        if let Some(lost) = disk.look() {
            return Err(Fault::Lost(lost).at(disk.path()));
        }
        let saved = saved(disk.path());
        if saved.exists() {
            log::warn!(
                "{} is there: another file was put in the place of this store while a server ran, and \
                 that is what it had; go on with it (stop the server, mv it to {}) or remove it",
                saved.display(),
                disk.path().display()
            );
        }
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let outlook = Arc::new(Outlook::new());
        let file = disk.path().to_owned();
        let changed = Arc::<Changed>::default();
        let shared = (Arc::clone(&outlook), Arc::clone(&changed));
        let worker = Worker::new(disk, checkpoint, &options, shared, queue);
        // Failing to get a runtime or a thread is a matter of the machine's limits.
        let limits = |error: std::io::Error| Fault::Io(error).at(&file);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(limits)?;
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || worker.run(&runtime))
            .map_err(limits)?;
        let folder = options.path;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { board, folder, jobs, outlook, changed, thread })
    }

    /// Size of the log at the moment, for metrics: from 0 to twice [`Options::log_bytes`].
    pub fn log_bytes(&self) -> u64 {
        self.outlook.log_bytes()
    }

    /// Bytes that this process may still write where the store is, for metrics; `None` if nobody can say.
    pub fn free_bytes(&self) -> Option<u64> {
        let volume = rustix::fs::statvfs(&self.folder).ok()?;
        Some(volume.f_bavail.saturating_mul(volume.f_frsize))
    }

    /// Identifies this store among all on this machine, as [`identity`] of its file: another one once the file
    /// had to be made again.
    pub fn identity(&self) -> String {
        self.outlook.identity()
    }

    /// Sends the job that `job` makes, and waits for its answer.
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job + Send + 'static,
    ) -> BoxFuture<Result<T, StoreError>> {
        // While down, a refusal must not wait behind an attempt to come back.
        if let Err(error) = self.outlook.ready() {
            return Box::pin(async { Err(error) });
        }
        let (jobs, outlook) = (self.jobs.clone(), Arc::clone(&self.outlook));
        Box::pin(async move {
            let (done, answer) = oneshot::channel();
            if jobs.send(job(done)).await.is_ok()
                && let Ok(result) = answer.await
            {
                return result;
            }
            // The thread ended without an answer; its state says why.
            outlook.ready()?;
            Err(StoreError::Unavailable("the store has stopped".into()))
        })
    }
}

impl Store for EmbeddedStore {
    fn board(&self) -> &Board {
        &self.board
    }

    fn load(&self, shard: ShardIndex) -> BoxFuture<Result<Words, StoreError>> {
        if shard.0 >= self.board.shards() {
            let text = format!("{} has no shard {}", self.board, shard.0);
            return Box::pin(async { Err(StoreError::Unusable(text.into())) });
        }
        self.ask(move |done| Job::Load { shard, done })
    }

    fn commit(&self, shard: ShardIndex, batch: OpenBatch) -> BoxFuture<Result<(), StoreError>> {
        self.ask(move |done| Job::Commit { shard, batch, done })
    }

    fn feed(&self, feed: Arc<dyn Feed>) {
        self.outlook.set_feed(feed);
    }

    fn state(&self) -> StoreState {
        self.outlook.state()
    }

    fn close(&self) -> BoxFuture<Result<(), StoreError>> {
        let (jobs, thread) = (self.jobs.clone(), Arc::clone(&self.thread));
        Box::pin(async move {
            let (done, closed) = oneshot::channel();
            let mut saved = Ok(());
            if jobs.send(Job::Close { done }).await.is_ok() {
                // No answer means the thread has ended already.
                saved = closed.await.unwrap_or(Ok(()));
            }
            // The file is released by now, so there is next to nothing to wait for.
            let thread = lock(&thread).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                log::error!("the store's thread ended in a panic");
            }
            saved
        })
    }
}

impl Credits for EmbeddedStore {
    /// One: the whole board lies in one file.
    fn credit_ranges(&self) -> u32 {
        1
    }

    fn changed_credits(&self) -> ChangedCredits {
        self.changed.take()
    }

    fn credits(
        &self,
        _: CreditRange,
        keys: Vec<CreditKey>,
    ) -> BoxFuture<Result<Vec<u64>, StoreError>> {
        self.ask(move |done| Job::Credits { keys, done })
    }

    fn all_credits(
        &self,
        _: CreditRange,
        from: CreditCursor,
    ) -> BoxFuture<Result<CreditPage, StoreError>> {
        self.ask(move |done| Job::AllCredits { from, done })
    }

    fn forget_credits(
        &self,
        _: CreditRange,
        counted: Vec<Counted>,
    ) -> BoxFuture<Result<u64, StoreError>> {
        self.ask(move |done| Job::ForgetCredits { counted, done })
    }
}
