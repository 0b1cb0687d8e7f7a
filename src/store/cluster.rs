//! The cluster store: one board in a Redis Cluster, shared by any number of nodes.
//!
//! Each shard is a key range of its own: a bitmap, its count, and an epoch, in one hash slot, written by
//! one script. All connections live on the store's own thread. In the order a check meets them:
//!
//! - [`lines`]: connections for checks; [`script`]: what runs in Redis, and the messages it sends;
//! - [`feed`]: other nodes' messages; [`lane`]: what is known of one key range, gaps included;
//! - [`follow`]: tasks that pass messages on, look for gaps, compare, and follow a reset;
//! - [`credits`]: who is credited with what, beside each key range;
//! - [`sync`]: bits between Redis and memory; [`layout`]: what all nodes have to agree on;
//! - [`nodes`]: masters one by one, for loading and administration; [`access`]: how to reach them;
//! - [`trouble`]: what can go wrong, and whether it passes; [`explanation`]: what operators read of it;
//! - [`admin`]: what operators' commands do to a board, without serving it;
//! - [`keys`]: names; [`stats`]: counters; [`go`]: the older server's board, to be taken over.
//!
//! What Redis has acknowledged may be lost in a failover: replication is asynchronous. Then every node
//! that knew it puts it back. With `wait_replicas` a check is not acknowledged before so many replicas have it.

pub mod access;
pub mod admin;
pub mod bus;
pub mod channels;
mod credits;
mod explanation;
mod feed;
mod follow;
pub mod go;
pub mod keys;
mod lane;
pub mod layout;
mod lines;
pub mod nodes;
pub mod script;
mod stats;
mod sync;
mod trouble;

#[cfg(test)]
pub mod tests;

use std::{
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use actors::{
    board::{Board, ShardIndex},
    store::{
        BoxFuture, Feed, Store, StoreError, StoreState, Words,
        batch::{Batch, OpenBatch, Piece},
        credits::{CreditKey, CreditRange, Day},
    },
};
use prometheus_client::registry::Registry;
use tokio::{
    runtime::{Handle, Runtime},
    sync::{Notify, RwLock, Semaphore, mpsc, oneshot, watch},
    time::{sleep, sleep_until},
};

use self::{
    access::Access,
    explanation::{Explanation, explain, meaning},
    lane::Lane,
    layout::{Kept, unavailable},
    lines::Lines,
    nodes::Nodes,
    script::{BATCH_MAX, Outcome, Scripts, Sender, Update},
    stats::ClusterStats,
    sync::Bits,
    trouble::{Trouble, is_passing, one_line},
};
use super::{
    credits::{Changed, Today},
    window::Window,
    within,
};

/// Key ranges compared with memory at the same moment: each holds its bits twice.
const RESYNCS: usize = 4;

/// Key ranges loaded at the same moment. More of them only wait for each other's bytes, and a slow
/// network would take longer for one answer than `redis.response_timeout_ms`.
const LOADS: usize = 8;

/// Pauses between attempts of one batch, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Time between two lines about a cluster that is not there yet.
const TELL: Duration = Duration::from_secs(10);

/// What a [`ClusterStore`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// How Redis is reached.
    pub access: Access,
    /// The board to be kept.
    pub board: Board,
    /// Connections for checks.
    pub lines: usize,
    /// How batches are gathered to be sent at the same moment.
    pub window: Window,
    /// Longest time from a batch to its acknowledgement; then its checks are refused.
    pub commit_timeout: Duration,
    /// Replicas that must have a batch before it is acknowledged.
    pub wait_replicas: u32,
    /// Longest wait for a cluster at the start.
    pub start_timeout: Duration,
    /// Says on which day boxes are checked.
    pub today: Today,
}

/// What the store's tasks share.
struct Shared {
    options: Options,
    board: Board,
    /// Tells this node's messages from others'.
    origin: u64,
    nodes: Nodes,
    scripts: Scripts,
    lines: OnceLock<Lines>,
    lanes: Vec<Lane>,
    stats: Arc<ClusterStats>,
    changed: Changed,
    feed: OnceLock<Arc<dyn Feed>>,
    /// Epoch of what is in memory. Whoever passes boxes on holds it for reading, a reset for writing.
    era: RwLock<u64>,
    /// Epoch that batches are sent with: that of `era`, for those who must not wait.
    epoch: AtomicU64,
    /// Highest epoch that was seen in Redis.
    seen: watch::Sender<u64>,
    resetting: AtomicBool,
    closed: AtomicBool,
    window: Mutex<Window>,
    /// Asks for a look at Redis now.
    look: Notify,
    resyncs: Semaphore,
    loads: Semaphore,
}

/// A board in a Redis Cluster. See the module's documentation.
pub struct ClusterStore {
    shared: Arc<Shared>,
    inboxes: Mutex<Vec<mpsc::Receiver<Update>>>,
    runtime: Handle,
    thread: Arc<Mutex<Option<StoreThread>>>,
}

/// The thread that drives all connections, until told to stop.
struct StoreThread {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl ClusterStore {
    /// Connects, waiting for a cluster that is not complete yet, agrees on the board with the other
    /// nodes, and begins to listen to them.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        // One provider of cryptography per process; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (thread, runtime) = StoreThread::start()?;
        let opened = runtime.spawn(Shared::open(options)).await;
        let opened = opened.unwrap_or_else(|panic| {
            Err(StoreError::Unavailable(format!("the store has ended: {panic}").into()))
        });
        let thread = Arc::new(Mutex::new(Some(thread)));
        match opened {
            Ok((shared, inboxes)) => {
                Ok(Self { shared, inboxes: Mutex::new(inboxes), runtime, thread })
            }
            Err(error) => {
                StoreThread::end(&thread);
                Err(error)
            }
        }
    }

    /// Adds the store's counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.stats.register(registry, self.runtime.clone());
    }

    /// Runs `task` on the store's thread, where its connections are.
    fn on_thread<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<Result<T, StoreError>> {
        let running = self.runtime.spawn(task);
        Box::pin(async move { running.await.unwrap_or_else(|_| Err(closed())) })
    }
}

impl StoreThread {
    fn start() -> Result<(Self, Handle), StoreError> {
        // Failing to get a runtime or a thread is a matter of the machine's limits.
        let limits = |error: std::io::Error| StoreError::Unusable(error.to_string().into());
        let runtime: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(limits)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                // An error means that nobody is left who could say so.
                let _ = runtime.block_on(stopped);
                // Tasks that are left are dropped; the resolver may hang for longer than anybody waits.
                runtime.shutdown_background();
            })
            .map_err(limits)?;
        Ok((Self { stop, handle: thread }, handle))
    }

    fn end(thread: &Mutex<Option<Self>>) {
        let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Self { stop, handle }) = thread {
            let _ = stop.send(());
            if handle.join().is_err() {
                log::error!("the store's thread ended in a panic");
            }
        }
    }
}

impl Shared {
    async fn open(
        options: Options,
    ) -> Result<(Arc<Self>, Vec<mpsc::Receiver<Update>>), StoreError> {
        let nodes = Nodes::new(options.access.clone());
        let deadline = Instant::now() + options.start_timeout;
        wait_for_cluster(&nodes, deadline).await?;
        let scripts = Scripts::default();
        let kept = layout::agree(&nodes, &scripts, &options.board, deadline).await?;
        let board = kept.board.clone();
        let stats = Arc::new(ClusterStats::default());
        stats.epoch.set(kept.epoch as i64);
        let (lanes, inboxes) = board
            .shard_indexes()
            .map(|shard| Lane::new(board.name(), shard, board.boxes_in(shard)))
            .unzip();
        let shared = Arc::new(Self {
            origin: rand::random(),
            nodes,
            scripts,
            lines: OnceLock::new(),
            lanes,
            stats,
            changed: Changed::default(),
            feed: OnceLock::new(),
            era: RwLock::new(kept.epoch),
            epoch: AtomicU64::new(kept.epoch),
            seen: watch::Sender::new(kept.epoch),
            resetting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            window: Mutex::new(options.window.clone()),
            look: Notify::new(),
            resyncs: Semaphore::new(RESYNCS),
            loads: Semaphore::new(LOADS),
            board,
            options,
        });
        let lines = shared.connect_lines(deadline).await?;
        // Set once, here.
        let _ = shared.lines.set(lines);
        shared.listen(deadline).await?;
        Ok((shared, inboxes))
    }

    async fn connect_lines(&self, deadline: Instant) -> Result<Lines, StoreError> {
        loop {
            let Options { access, lines, .. } = &self.options;
            match Lines::connect(access, *lines, &self.stats).await {
                Ok(lines) => return Ok(lines),
                Err(error) => again(&self.nodes, &error.into(), deadline).await?,
            }
        }
    }

    /// Starts the feed. Loading begins after this, so that no message falls in between.
    async fn listen(self: &Arc<Self>, deadline: Instant) -> Result<(), StoreError> {
        loop {
            let (first, heard) = oneshot::channel();
            tokio::spawn(feed::run(self.clone(), first));
            match heard.await.expect("the feed tells before it ends") {
                Ok(()) => return Ok(()),
                Err(error) => again(&self.nodes, &error.into(), deadline).await?,
            }
        }
    }

    fn bits(&self) -> Bits<'_> {
        Bits { nodes: &self.nodes, scripts: &self.scripts }
    }

    /// The board in `epoch`.
    fn kept(&self, epoch: u64) -> Kept {
        Kept { board: self.board.clone(), epoch }
    }

    fn sender(&self, epoch: u64) -> Sender {
        Sender { origin: self.origin, epoch }
    }

    fn lines(&self) -> &Lines {
        self.lines.get().expect("connected before the store is opened")
    }

    /// Somebody has raised the epoch.
    fn see(&self, epoch: u64) {
        let raise = |seen: &mut u64| std::mem::replace(seen, epoch.max(*seen)) < epoch;
        self.seen.send_if_modified(raise);
    }

    /// Why checks of a key range are refused at once, if they are.
    fn ready(&self, lane: &Lane) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        if self.resetting.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the board is being reset".into()));
        }
        match lane.failing() {
            Some((since, reason)) if since >= self.options.commit_timeout => {
                Err(StoreError::Unavailable(reason))
            }
            _ => Ok(()),
        }
    }

    /// Reads a key range for the first time.
    async fn load(&self, index: usize) -> Result<Words, StoreError> {
        let _permit = self.loads.acquire().await.expect("never closed");
        let lane = &self.lanes[index];
        let epoch = *self.era.read().await;
        let deadline = Instant::now() + self.options.start_timeout;
        let mut made = 0;
        let kept = self.kept(epoch);
        let read = self.bits().read_kept(&lane.keys, lane.boxes, &kept, deadline, &mut made);
        let (state, words) = read.await.map_err(|error| unavailable(&error))?;
        if state.layout != kept.layout() {
            layout::judged(&self.board, state.layout)?;
            let text = format!("{} is kept with another geometry in shard {index}", self.board);
            return Err(StoreError::Unusable(text.into()));
        }
        if state.epoch > epoch {
            let text = "the board was reset while it was loaded: start again";
            return Err(StoreError::Unavailable(text.into()));
        }
        lane.begin_at(state.position);
        Ok(words)
    }

    /// Makes a piece of a batch durable on the board of `epoch`, trying again until it is or the time is over.
    async fn apply(
        &self,
        index: usize,
        epoch: u64,
        piece: &Piece<'_>,
        day: Day,
    ) -> Result<(), StoreError> {
        let lane = &self.lanes[index];
        let deadline = Instant::now() + self.options.commit_timeout;
        let mut pause = RETRY.0;
        let mut line = index;
        loop {
            let mut synced = lane.synced.subscribe();
            let call = self.scripts.apply_credited(&lane.keys, self.sender(epoch), piece, day);
            let replicas = self.options.wait_replicas;
            #[cfg(feature = "faults")]
            let replicas =
                if actors::faults::active(actors::faults::Fault::NoWait) { 0 } else { replicas };
            let answer = self.lines().call(line, lane.keys.slot, &call, replicas).await;
            let problem = match answer.and_then(|answer| Outcome::read(&answer)) {
                Ok(Outcome::Applied { after, .. }) => {
                    if replicas > 0 {
                        lane.copied(&after);
                    }
                    lane.acknowledged(after);
                    lane.works();
                    return Ok(());
                }
                Ok(Outcome::Foreign(Some(seen))) if seen > epoch => {
                    self.see(seen);
                    return Err(StoreError::Unavailable("the board was reset".into()));
                }
                Ok(Outcome::Foreign(_)) => {
                    lane.want("missing");
                    // Repaired from memory within moments.
                    let _ = tokio::time::timeout(RETRY.1, synced.changed()).await;
                    StoreError::Unavailable("Redis has lost the key range".into())
                }
                Err(error) => {
                    lane.fails(&one_line(&error));
                    if !is_passing(&error) && !matches!(error, Trouble::TooFewCopies { .. }) {
                        return Err(unavailable(&error));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    // After a failover some lines find the new master sooner than others.
                    line += 1;
                    unavailable(&error)
                }
            };
            if Instant::now() >= deadline {
                return Err(problem);
            }
            self.ready(lane)?;
        }
    }

    /// A batch begins: now, and when it goes out. All key ranges go at the same moment, so that what they bring
    /// about does, too: one flush for all of them on every node.
    fn join_window(&self) -> (Instant, Instant) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        (now, window.join(now))
    }

    /// Makes boxes durable on the board of `epoch`.
    async fn commit(&self, index: usize, epoch: u64, batch: &Batch) -> Result<(), StoreError> {
        let lane = &self.lanes[index];
        self.ready(lane)?;
        let day = (self.options.today)();
        let _noted = Noted { changed: &self.changed, index, batch, day };
        let mut outcome = Unknown(Some(lane));
        lane.set_committing(true);
        for piece in batch.pieces(BATCH_MAX) {
            self.apply(index, epoch, &piece, day).await?;
        }
        outcome.0 = None;
        lane.set_committing(false);
        if lane.is_holding() {
            // One that was given up has come meanwhile, later than what replicas are known to have.
            lane.wake.notify_one();
        }
        Ok(())
    }
}

/// A batch whose outcome is not known: unless it is, its key range is compared with Redis, because
/// this node does not learn from its own messages. From then on it does: the batch may still be on its
/// way, and arrive after that.
struct Unknown<'l>(Option<&'l Lane>);

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if let Some(lane) = self.0 {
            lane.set_committing(false);
            lane.doubt();
        }
    }
}

/// Notes which counters a batch has changed, when it is done with, whatever became of it.
struct Noted<'n> {
    changed: &'n Changed,
    index: usize,
    batch: &'n Batch,
    day: Day,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let shares = self.batch.shares().iter();
        let keys = shares.map(|share| CreditKey { day: self.day, user: share.user });
        self.changed.note(CreditRange(self.index as u32), keys);
    }
}

impl Store for ClusterStore {
    fn board(&self) -> &Board {
        &self.shared.board
    }

    fn load(&self, shard: ShardIndex) -> BoxFuture<Result<Words, StoreError>> {
        if shard.0 >= self.shared.board.shards() {
            let text = format!("{} has no shard {}", self.shared.board, shard.0);
            return Box::pin(async { Err(StoreError::Unusable(text.into())) });
        }
        let shared = self.shared.clone();
        self.on_thread(async move { shared.load(shard.index()).await })
    }

    fn commit(&self, shard: ShardIndex, batch: OpenBatch) -> BoxFuture<Result<(), StoreError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            // One for all: what was meant for a board that is reset meanwhile is not for the next one.
            let epoch = shared.epoch.load(Ordering::Acquire);
            shared.ready(&shared.lanes[shard.index()])?;
            let (now, at) = shared.join_window();
            if at > now {
                sleep_until(at.into()).await;
            }
            let batch = batch.close();
            within(&shared.board, shard, batch.offsets())?;
            shared.commit(shard.index(), epoch, &batch).await
        })
    }

    fn feed(&self, feed: Arc<dyn Feed>) {
        let inboxes =
            std::mem::take(&mut *self.inboxes.lock().unwrap_or_else(PoisonError::into_inner));
        // Called once.
        if self.shared.feed.set(feed).is_ok() {
            follow::start(&self.runtime, &self.shared, inboxes);
        }
    }

    fn state(&self) -> StoreState {
        if self.shared.closed.load(Ordering::Acquire) {
            return StoreState::Down("the store is closed".into());
        }
        self.shared.state()
    }

    fn close(&self) -> BoxFuture<Result<(), StoreError>> {
        self.shared.closed.store(true, Ordering::Release);
        let thread = self.thread.clone();
        Box::pin(async move {
            StoreThread::end(&thread);
            Ok(())
        })
    }
}

impl Drop for ClusterStore {
    fn drop(&mut self) {
        StoreThread::end(&self.thread);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// Waits until every slot has a master that answers.
async fn wait_for_cluster(nodes: &Nodes, deadline: Instant) -> Result<(), StoreError> {
    let access = nodes.access();
    let mut told: Option<Instant> = None;
    loop {
        let problem = match nodes.masters().await {
            Ok(masters) => {
                let masters: Vec<_> = masters.iter().map(ToString::to_string).collect();
                log::info!("Redis Cluster with masters {}", masters.join(", "));
                return Ok(());
            }
            Err(error) => error,
        };
        let (is_due, is_over) =
            (told.is_none_or(|told| told.elapsed() > TELL), Instant::now() > deadline);
        let explanation = match meaning(&problem) {
            // A look at who answers there is not worth it every time.
            None if is_due || is_over => Some(explain(access, &problem).await),
            meaning => meaning,
        };
        if let Some(Explanation { text, is_final }) = explanation {
            let (seeds, setting) = (access.shown(), access.setting);
            if is_final {
                let text = format!("no Redis Cluster at {seeds} ({setting}): {text}");
                return Err(StoreError::Unusable(text.into()));
            }
            if is_over {
                let text =
                    format!("no complete Redis Cluster at {seeds} ({setting}) in time: {text}");
                return Err(StoreError::Unavailable(text.into()));
            }
            told = Some(Instant::now());
            log::warn!("waiting for a Redis Cluster at {seeds} ({setting}): {text}");
        }
        sleep(RETRY.1).await;
    }
}

/// Pauses before another attempt, unless the time is over or none is of any use.
async fn again(nodes: &Nodes, error: &Trouble, deadline: Instant) -> Result<(), StoreError> {
    let refused = match meaning(error) {
        // A client of the whole cluster reports why no node took it as mere text. One node's does not.
        None => nodes.masters().await.err().and_then(|problem| meaning(&problem)),
        refused => refused,
    };
    if let Some(Explanation { text, .. }) = refused {
        return Err(StoreError::Unusable(format!("Redis: {text}").into()));
    }
    if Instant::now() > deadline {
        return Err(unavailable(error));
    }
    sleep(RETRY.1).await;
    Ok(())
}
