//! Tasks that keep memory and Redis the same: one per key range passes messages on and compares bits
//! when something was missed, one looks at Redis every second, one follows resets.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

#[cfg(feature = "faults")]
use actors::faults::{Fault, active};
use actors::store::{Feed, StoreState};
use futures_util::{StreamExt, stream};
use tokio::{runtime::Handle, sync::mpsc, time::sleep};

use super::{
    Shared,
    keys::record,
    lane::Lane,
    layout,
    script::{Outcome, State, Update},
    sync::{PATIENCE, offsets, without},
    trouble::{Trouble, one_line},
};

/// Time between two looks at Redis, and while something is amiss.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(200));

/// Looks at the same moment: more than the key ranges of a master that is away, usually.
const LOOKS: usize = 64;

/// Boxes passed on at once: what a resync finds reaches players in pieces.
const PIECE: usize = 4096;

/// Pause after a comparison that failed.
const RESYNC_PAUSE: Duration = Duration::from_millis(300);

/// Trouble shorter than this is not worth a line.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Starts all tasks.
pub fn start(runtime: &Handle, shared: &Arc<Shared>, inboxes: Vec<mpsc::Receiver<Update>>) {
    for (index, inbox) in inboxes.into_iter().enumerate() {
        runtime.spawn(follow(shared.clone(), index, inbox));
    }
    runtime.spawn(look(shared.clone()));
    runtime.spawn(reset(shared.clone()));
}

/// Passes one key range's messages on, in their order.
async fn follow(shared: Arc<Shared>, index: usize, mut inbox: mpsc::Receiver<Update>) {
    let lane = &shared.lanes[index];
    let feed = shared.feed.get().expect("given before this was started").clone();
    loop {
        tokio::select! {
            update = inbox.recv() => {
                let Some(update) = update else { return };
                shared.take(lane, &*feed, update).await;
            }
            () = lane.wake.notified() => {}
        }
        shared.release(index, &*feed).await;
        let Some(reason) = lane.take_wanted() else { continue };
        #[cfg(feature = "faults")]
        if active(Fault::NoResync) {
            continue;
        }
        shared.stats.gap(reason);
        let compared = shared.resync(index, &*feed).await;
        shared.stats.resynced(compared.is_ok());
        match compared {
            Ok(()) => lane.synced.send_modify(|times| *times += 1),
            Err(error) => {
                log::debug!("shard {index}: {error}");
                sleep(RESYNC_PAUSE).await;
                lane.want(reason);
            }
        }
    }
}

/// Looks at every key range again and again.
async fn look(shared: Arc<Shared>) {
    let mut told = Told::default();
    loop {
        let amiss = shared.lanes.iter().any(|lane| lane.is_behind() || lane.failing().is_some());
        let pause = if amiss { LOOK.1 } else { LOOK.0 };
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.look.notified() => {}
        }
        tokio::join!(shared.look_at_lanes(), shared.look_at_record());
        told.tell(&shared);
    }
}

/// Clears memory whenever somebody has raised the epoch.
async fn reset(shared: Arc<Shared>) {
    let mut seen = shared.seen.subscribe();
    loop {
        let epoch = *seen.borrow_and_update();
        if epoch > shared.epoch.load(Ordering::Acquire) {
            shared.follow_reset(epoch).await;
        }
        if seen.changed().await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// Takes one message as far as it goes.
    async fn take(&self, lane: &Lane, feed: &dyn Feed, update: Update) {
        let era = self.era.read().await;
        if update.epoch != *era {
            // One of an earlier epoch speaks of a board that is gone.
            return self.see(update.epoch);
        }
        let own = update.origin == self.origin;
        self.stats.updated(own);
        let followed = lane.follow(&update);
        // What this node has checked by itself is learned when its batch is acknowledged.
        // Once one was given up, it learns from its messages, as soon as the replicas it waits for have them.
        if own && lane.is_doubtful() && self.options.wait_replicas > 0 {
            lane.hold(update);
        } else if !own || lane.is_doubtful() {
            self.learn(lane, feed, update).await;
        }
        if let Err(gap) = followed {
            lane.want(gap);
        }
    }

    async fn learn(&self, lane: &Lane, feed: &dyn Feed, update: Update) {
        if !update.offsets.is_empty() {
            self.stats.boxes_learned.inc_by(update.offsets.len() as u64);
            feed.learned(lane.shard, update.offsets).await;
        }
    }

    /// Learns the held messages whose boxes replicas have; asks for these if no batch under way does.
    async fn release(&self, index: usize, feed: &dyn Feed) {
        let lane = &self.lanes[index];
        if lane.is_holding() && self.wait_for_copies(index).await.is_err() {
            // Which tries again until there are replicas.
            return lane.want("outcome");
        }
        let era = self.era.read().await;
        for update in lane.take_copied() {
            if update.epoch == *era {
                self.learn(lane, feed, update).await;
            }
        }
    }

    /// Waits until the replicas that a check has to wait for have everything of a key range that Redis
    /// has now. Nothing that a master alone has may be taken for acknowledged.
    pub(super) async fn wait_for_copies(&self, index: usize) -> Result<(), Trouble> {
        let replicas = self.options.wait_replicas;
        if replicas == 0 {
            return Ok(());
        }
        let lane = &self.lanes[index];
        match self.probe(index, lane, replicas).await? {
            Outcome::Applied { after, .. } => {
                lane.copied(&after);
                Ok(())
            }
            Outcome::Foreign(epoch) => Err(Trouble::Reset(epoch)),
        }
    }

    async fn probe(&self, index: usize, lane: &Lane, replicas: u32) -> Result<Outcome, Trouble> {
        let sender = self.sender(self.epoch.load(Ordering::Acquire));
        let probe = self.scripts.probe(&lane.keys, sender);
        Outcome::read(&self.lines().call(index, lane.keys.slot, &probe, replicas).await?)
    }

    async fn look_at_lanes(&self) {
        let lanes = stream::iter(self.lanes.iter().enumerate());
        lanes.for_each_concurrent(LOOKS, |(index, lane)| self.look_at(index, lane)).await;
    }

    /// Asks Redis how far a key range has come, and whether it takes anything.
    async fn look_at(&self, index: usize, lane: &Lane) {
        let before = lane.known();
        match self.state_of(index, lane).await {
            Err(error) => lane.fails(&one_line(&error)),
            Ok(state) => {
                lane.works();
                #[cfg(feature = "faults")]
                if active(Fault::NoLook) {
                    return;
                }
                let epoch = self.epoch.load(Ordering::Acquire);
                match state {
                    Some(state) if state.epoch > epoch => self.see(state.epoch),
                    Some(state) if state.epoch == epoch => {
                        if let Err(gap) = lane.judge(before.as_ref(), &state.position) {
                            lane.want(gap);
                        }
                    }
                    // Lost, or brought back by a failover that a reset did not survive.
                    _ => lane.want("missing"),
                }
            }
        }
    }

    /// Asks for the epoch that the board's record names. A reset raises it there first, and may have ended
    /// before it came to any key range.
    async fn look_at_record(&self) {
        let (key, slot) = record(self.board.name());
        let mut ask = redis::cmd("HGET");
        let answer = self.lines().command(0, slot, ask.arg(&key).arg("epoch")).await;
        let epoch = answer.and_then(|answer| Ok(redis::from_redis_value::<Option<u64>>(answer)?));
        match epoch {
            Ok(Some(epoch)) => self.see(epoch),
            Ok(None) => self.write_record(self.epoch.load(Ordering::Acquire)).await,
            // What is not answered now is a second later.
            Err(_) => {}
        }
    }

    /// Writes the record that is lost or behind. If that fails, the next look does.
    async fn write_record(&self, epoch: u64) {
        let kept = self.kept(epoch);
        if let Err(error) = layout::write(&self.nodes, &kept, Instant::now()).await {
            log::debug!("the board's record: {error}");
        }
    }

    /// While checks fail, reading proves nothing: Redis may be full, not allowed to write, or without its
    /// replicas.
    async fn state_of(&self, index: usize, lane: &Lane) -> Result<Option<State>, Trouble> {
        let slot = lane.keys.slot;
        if lane.failing().is_some() {
            self.probe(index, lane, self.options.wait_replicas).await?;
        }
        State::read(self.lines().command(index, slot, &State::ask(&lane.keys)).await?)
    }

    /// Makes memory and Redis equal in one key range, whatever either has missed.
    async fn resync(&self, index: usize, feed: &dyn Feed) -> Result<(), Trouble> {
        let lane = &self.lanes[index];
        // Before it takes the place of others: a master that is away answers nobody, and takes its time.
        self.nodes.command(lane.keys.slot, Instant::now(), &State::ask(&lane.keys)).await?;
        let _permit = self.resyncs.acquire().await.expect("never closed");
        let era = self.era.read().await;
        lane.compare();
        let deadline = Instant::now() + PATIENCE;
        let kept = self.kept(*era);
        let mut made = 0;
        let read = self.bits().read_kept(&lane.keys, lane.boxes, &kept, deadline, &mut made);
        let (state, redis) = read.await?;
        self.stats.repairs.inc_by(made);
        if state.layout != kept.layout() {
            let told = layout::judged(&self.board, state.layout);
            let text = told.map_or_else(|error| error.to_string(), |board| format!("{board}"));
            return Err(Trouble::AnotherGeometry(text));
        }
        if state.epoch > *era {
            self.see(state.epoch);
            return Ok(());
        }
        lane.begin_at(state.position);
        let Some(memory) = feed.snapshot(lane.shard).await else { return Ok(()) };
        let found = without(&redis, &memory);
        if found.iter().any(|word| *word != 0) {
            self.wait_for_copies(index).await?;
            self.pass_on(lane, feed, &found).await?;
        }
        #[cfg(feature = "faults")]
        if active(Fault::NoPutBack) {
            return Ok(());
        }
        let lacking = without(&memory, &redis);
        let sender = self.sender(*era);
        let put = self.bits().put_back(&lane.keys, sender, &lacking, deadline).await?;
        self.stats.boxes_pushed.inc_by(put.fresh);
        if let Some(after) = put.after {
            lane.acknowledged(after);
        }
        Ok(())
    }

    /// Passes boxes on in pieces that are made one by one: all of a key range would take more memory
    /// than the board. A reset does not wait for them.
    async fn pass_on(&self, lane: &Lane, feed: &dyn Feed, found: &[u64]) -> Result<(), Trouble> {
        let mut boxes = offsets(found);
        loop {
            let piece: Vec<_> = boxes.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                return Ok(());
            }
            if self.resetting.load(Ordering::Acquire) {
                return Err(Trouble::Resetting);
            }
            self.stats.boxes_found.inc_by(piece.len() as u64);
            feed.learned(lane.shard, piece).await;
        }
    }

    /// Forgets everything that is in memory and begins anew in `epoch`.
    async fn follow_reset(&self, epoch: u64) {
        log::warn!("{} was reset (epoch {epoch}): ending every session", self.board);
        // First: a batch that waits for a repair gives up now.
        self.resetting.store(true, Ordering::Release);
        let mut era = self.era.write().await;
        let feed = self.feed.get().expect("given before this was started");
        #[cfg(feature = "faults")]
        let forgetting = !active(Fault::NoForgetting);
        #[cfg(not(feature = "faults"))]
        let forgetting = true;
        if forgetting {
            feed.reset().await;
        }
        *era = epoch;
        self.epoch.store(epoch, Ordering::Release);
        self.stats.epoch.set(epoch as i64);
        self.stats.resets.inc();
        // Each key range is read, and made if the reset did not come that far.
        for lane in &self.lanes {
            lane.begin_anew();
        }
        drop(era);
        self.resetting.store(false, Ordering::Release);
        self.write_record(epoch).await;
    }

    /// Whether checks are taken everywhere.
    pub fn state(&self) -> StoreState {
        match self.troubles().down {
            (0, _) => StoreState::Up,
            (down, reason) => StoreState::Down(
                format!("{down} of {} key ranges are down: {reason}", self.lanes.len()).into(),
            ),
        }
    }

    fn troubles(&self) -> Troubles {
        let mut troubles = Troubles::default();
        for (since, reason) in self.lanes.iter().filter_map(Lane::failing) {
            troubles.failing += 1;
            troubles.longest = troubles.longest.max(since);
            if since >= self.options.commit_timeout {
                troubles.down.0 += 1;
                troubles.down.1 = reason;
            }
        }
        troubles
    }
}

/// Key ranges that do not work.
#[derive(Default)]
struct Troubles {
    failing: usize,
    longest: Duration,
    /// Those whose checks are refused, and one of the reasons.
    down: (usize, Arc<str>),
}

/// What operators were told last: one line per change.
#[derive(Default)]
struct Told {
    down: usize,
    longest: Duration,
    most: usize,
}

impl Told {
    fn tell(&mut self, shared: &Shared) {
        let Troubles { failing, longest, down: (down, reason) } = shared.troubles();
        shared.stats.shards_down.set(down as i64);
        let all = shared.lanes.len();
        self.longest = self.longest.max(longest);
        self.most = self.most.max(failing);
        if down > 0 && self.down == 0 {
            log::error!(
                "Redis: {down} of {all} key ranges take no checks, which are refused; what is in \
                 memory is still served: {reason}"
            );
            self.down = down;
        }
        if failing > 0 {
            return;
        }
        if self.down > 0 || self.longest >= WORTH_TELLING {
            let (most, seconds) = (self.most, self.longest.as_secs_f64());
            log::warn!(
                "Redis: all {all} key ranges take checks; {most} did not for {seconds:.1} s"
            );
        }
        *self = Self::default();
    }
}
