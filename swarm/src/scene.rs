//! The course every run takes: look at the server, gather the players, load, drain, audit. A command file says who the
//! players are and what its figures mean; what is common to all is here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::{Common, Verify};
use crate::board::{Bitmap, announced_total, read_tiles};
use crate::books::{Books, TILE_BOXES};
use crate::client::Player;
use crate::crew::{Crew, Ended, Pace, Run, Stage, Sums};
use crate::faults::{Fault, Faults};
use crate::limiter;
use crate::observer::{Observer, Reading, Waited};
use crate::report::Report;
use crate::seat::Fate;
use crate::shuffle::Shuffle;
use crate::target::Target;
use crate::usage::{Cpu, Memory};

/// After everything expected has come, how long to listen for what should not.
const SURPLUS_WAIT: Duration = Duration::from_millis(300);
/// From this many boxes on, every tile of a full board has one of them: no need to look which.
const BOXES_IN_EVERY_TILE: u32 = 200_000;

/// A run under way.
pub(crate) struct Scene {
    pub(crate) common: Common,
    pub(crate) pace: Pace,
    pub(crate) target: Target,
    pub(crate) run: Arc<Run>,
    pub(crate) observer: Observer,
    pub(crate) report: Report,
    /// Boxes that were checked before the run, in the tiles the run checks in; `None` if the board was empty.
    pub(crate) taken: Option<Arc<Bitmap>>,
    memory_before: Option<Memory>,
}

/// What happened between the end of the warm-up and the end of the load.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) updates: u64,
    pub(crate) acknowledged: u64,
    pub(crate) ranges: u64,
    pub(crate) bytes: u64,
    pub(crate) server: Option<Cpu>,
    pub(crate) swarm: Option<Cpu>,
    pub(crate) socket_writes: Option<f64>,
}

impl Scene {
    /// Asks the server for its total and opens the books.
    pub(crate) async fn set(
        command: &'static str,
        parameters: Value,
        common: Common,
        pace: Pace,
        target: Target,
    ) -> Result<Self> {
        let seed = common.seed.context("the seed was chosen before the run")?;
        let shuffle = Shuffle::new(common.boxes, seed);
        let observer = Observer::new(common.pid, common.metrics.clone());
        let mut report = Report::new(command, parameters);
        let probe = Run::new(Books::new(shuffle.clone(), 0, false));
        let base = announced_total(&target, &probe).await?;
        let memory_before = observer.memory();
        if common.pid.is_some() && memory_before.is_none() {
            report.note("--pid: no such process, or it cannot be measured");
        }
        // Who checks nothing cannot be surprised that somebody else does.
        let checks = matches!(command, "fanout" | "checks" | "relay" | "storm" | "soak");
        let exclusive = common.exclusive.unwrap_or(base == 0 && checks);
        let run = Run::new(Books::new(shuffle, base, exclusive));
        Ok(Self { common, pace, target, run, observer, report, taken: None, memory_before })
    }

    /// Places in which `checkers` find enough unchecked boxes for `rate` checks a second, together, in so many seconds,
    /// and in those that it takes to ask for a limit meanwhile.
    pub(crate) async fn places(&mut self, rate: f64, seconds: f64, checkers: u32) -> Result<u64> {
        let seconds = seconds + limiter::LIMIT.as_secs_f64();
        let planned = (rate * seconds * 1.05).ceil() + f64::from(checkers);
        Ok(self.find_unchecked(planned.min(f64::from(u32::MAX)) as u32).await?.into())
    }

    /// Learns which boxes are checked already, so that `checks` unchecked ones can be found among the first places of
    /// the shuffle; says how many places those are.
    pub(crate) async fn find_unchecked(&mut self, checks: u32) -> Result<u32> {
        let boxes = self.common.boxes;
        let base = self.run.books.base;
        let unchecked = boxes.saturating_sub(base);
        if unchecked < checks {
            bail!(
                "{checks} checks are planned, but only {unchecked} of {boxes} boxes are unchecked"
            );
        }
        if base == 0 {
            return Ok(checks);
        }
        // A tenth and a thousand more than expected on average: far beyond chance.
        let expected = f64::from(checks) * f64::from(boxes) / f64::from(unchecked);
        let places = (expected * 1.1 + 1000.0).min(f64::from(boxes)) as u32;
        let shuffle = &self.run.books.shuffle;
        let tiles: BTreeSet<u32> =
            if places >= BOXES_IN_EVERY_TILE || self.common.verify == Verify::All {
                (0..boxes.div_ceil(TILE_BOXES)).collect()
            } else {
                (0..places).map(|place| (shuffle.id(place) - 1) / TILE_BOXES).collect()
            };
        self.observer.say(format!("reading {} tiles to find unchecked boxes", tiles.len()));
        let limit = Duration::from_secs_f64(self.common.read_timeout);
        let taken = read_tiles(&self.target, &self.run, tiles.into_iter().collect(), limit).await?;
        self.taken = Some(Arc::new(taken));
        Ok(places)
    }

    /// Opens all connections and waits until each is open and its player ready, or has failed.
    pub(crate) async fn gather<P: Player + Send>(
        &mut self,
        make: impl Fn(usize) -> P + Send + Sync + 'static,
    ) -> Result<Crew<P>> {
        let (target, pace) = (self.target.clone(), self.pace.clone());
        self.gather_at(&target, &pace, "connections", make).await
    }

    /// The same at any server, with `what` as the connections' name in the report.
    pub(crate) async fn gather_at<P: Player + Send>(
        &mut self,
        target: &Target,
        pace: &Pace,
        what: &'static str,
        make: impl Fn(usize) -> P + Send + Sync + 'static,
    ) -> Result<Crew<P>> {
        let crew = Crew::muster(&self.run, target, pace, make)?;
        let opening = Duration::from_secs_f64(pace.connections as f64 / pace.connect_rate);
        let limit = opening.mul_f64(1.5) + pace.connect_timeout + Duration::from_secs(10);
        let all = pace.connections;
        let line = || {
            let sums = crew.sums();
            format!("opening {what}: {} of {all}, {} failed", sums.open, sums.failed)
        };
        let waited = self.observer.wait(limit, || crew.sums().unsettled == Some(0), line).await;
        let sums = crew.sums();
        if waited == Waited::TimedOut {
            self.report.note(format!("{:?} connections were not ready in time", sums.unsettled));
        }
        self.report.section(what);
        self.report.count(&format!("{what}_open"), sums.open);
        self.report.count(&format!("{what}_not_open"), all as u64 - sums.open);
        let open = sums.open.max(1) as f64;
        let grown = self.observer.memory().zip(self.memory_before);
        let grown = grown
            .map(|(now, before)| (now.resident_kib as f64 - before.resident_kib as f64) / open);
        self.report.number_if_known("server_kib_per_connection", grown);
        Ok(crew)
    }

    /// Fails if it is the server's limit that keeps most checks from coming back. Asks only if they do not.
    async fn refuse_a_limit(&self) -> Result<()> {
        let books = &self.run.books;
        let accepted = books.ours_announced().max(books.answered() - books.refused());
        if accepted * 2 >= books.sent() {
            return Ok(());
        }
        let known = books.all_sent().find(|sent| sent.total > 0 || sent.acknowledged);
        match known {
            Some(sent) if limiter::is_on(&self.target, &self.run, sent.id).await => {
                Err(limiter::Limited.into())
            }
            _ => Ok(()),
        }
    }

    /// Loads for warm-up and measured time, or until `exhausted`, or until interrupted.
    pub(crate) async fn load<P: Player + Send>(
        &mut self,
        crew: &Crew<P>,
        warmup: f64,
        seconds: f64,
        exhausted: impl Fn(&Sums) -> bool,
        line: impl Fn(&Sums) -> String,
    ) -> Result<Measured> {
        let warmup = Duration::from_secs_f64(warmup);
        self.run.books.measure_from(self.run.clock.us() + warmup.as_micros() as u32);
        self.run.enter(Stage::Running);
        let say = || line(&crew.sums());
        let mut waited = self.observer.wait(warmup, || exhausted(&crew.sums()), say).await;
        self.refuse_a_limit().await?;
        let (sums, reading) = (crew.sums(), self.observer.read());
        if waited == Waited::TimedOut {
            let seconds = Duration::from_secs_f64(seconds);
            waited = self.observer.wait(seconds, || exhausted(&crew.sums()), say).await;
        }
        let measured = Measured::between((&sums, &reading), (&crew.sums(), &self.observer.read()));
        match waited {
            Waited::Interrupted => self.report.note("interrupted: the load ended early"),
            Waited::Fulfilled => self.report.note("the load ended early: nothing was left to do"),
            Waited::TimedOut => {}
        }
        Ok(measured)
    }

    /// Waits for what is under way: until every player is settled and `done`, then a little for what should not come.
    pub(crate) async fn drain<P: Player + Send>(
        &mut self,
        crew: &Crew<P>,
        done: impl Fn(&Books) -> bool,
    ) -> Result<()> {
        self.refuse_a_limit().await?;
        self.observer.rearm();
        self.run.enter(Stage::Draining);
        let limit = Duration::from_secs_f64(self.common.settle);
        let books = Arc::clone(&self.run);
        let settled = || done(&books.books) && crew.sums().unsettled == Some(0);
        let line = || format!("settling: {:?} connections expect more", crew.sums().unsettled);
        if self.observer.wait(limit, settled, line).await == Waited::TimedOut {
            self.report.note(format!(
                "not everything expected had come {} s after the load",
                self.common.settle
            ));
        }
        self.observer.wait(SURPLUS_WAIT, || false, || "listening for surplus".into()).await;
        Ok(())
    }

    /// Counts what became of the connections.
    pub(crate) fn muster_out<P>(&mut self, ended: &mut Ended<P>) {
        for seat in &ended.seats {
            match &seat.fate {
                Fate::Failed(error) => {
                    self.report.failed(error.to_string());
                    ended.tally.faults.note(Fault::NotConnected, || {
                        format!("connection {}: {error}", seat.index)
                    });
                }
                Fate::Opening => {
                    self.report.failed("still opening when the run ended".into());
                    ended.tally.faults.note(Fault::NotConnected, || {
                        format!("connection {}: too late", seat.index)
                    });
                }
                Fate::Lost(closed) => {
                    self.report.lost(closed.to_string());
                    if !self.common.allow_close {
                        ended.tally.faults.note(Fault::ConnectionLost, || {
                            format!("connection {}: {closed}", seat.index)
                        });
                    }
                }
                Fate::Open | Fate::Left => {}
            }
        }
    }

    /// Memory and CPU, the same for all commands.
    pub(crate) fn costs(&mut self, measured: &Measured) {
        self.report.section("costs, over the measured time");
        self.report.cpu("server", measured.server);
        self.report.cpu("swarm", measured.swarm);
        self.report.number_if_known("server_socket_writes", measured.socket_writes);
        let per_write = measured.server.zip(measured.socket_writes);
        let per_write = per_write.map(|(cpu, writes)| cpu.total_s() * 1e6 / writes.max(1.0));
        self.report.number_if_known("server_cpu_us_per_socket_write", per_write);
        let kib = |memory: Option<Memory>| memory.map(|memory| memory.resident_kib as f64);
        let after = self.observer.memory();
        self.report.number_if_known("server_rss_before_kib", kib(self.memory_before));
        self.report.number_if_known(
            "server_rss_peak_kib",
            self.observer.resident_peak_kib.map(|kib| kib as f64),
        );
        self.report.number_if_known("server_rss_after_kib", kib(after));
        self.report.number_if_known(
            "server_rss_high_water_kib",
            after.map(|memory| memory.high_water_kib as f64),
        );
    }

    /// Compares the books with the server's final total and with its board.
    pub(crate) async fn verify(&mut self, faults: &mut Faults) {
        let books = &self.run.books;
        let (mut acknowledged, mut refused, mut unknown) = (0_u64, 0_u64, 0_u64);
        for sent in books.all_sent() {
            match (sent.acknowledged, sent.refused) {
                (true, _) => acknowledged += 1,
                (_, true) => refused += 1,
                _ => unknown += 1,
            }
        }
        self.report.section("books");
        self.report.count("total_before", u64::from(books.base));
        self.report.count("checks_sent", books.sent());
        self.report.count("checks_acknowledged", acknowledged);
        self.report.count("checks_refused", refused);
        self.report.count("checks_unanswered", unknown);
        if let Err(error) = self.verify_on_server(acknowledged, refused + unknown, faults).await {
            faults.note(Fault::Unverified, || format!("{error:#}"));
        }
        if !self.run.books.exclusive {
            self.report.note("others may play on this board: totals and foreign boxes were not held against the server");
        }
    }

    async fn verify_on_server(
        &mut self,
        acknowledged: u64,
        maybe: u64,
        faults: &mut Faults,
    ) -> Result<()> {
        let books = &self.run.books;
        let total = announced_total(&self.target, &self.run).await?;
        self.report.count("total_after", u64::from(total));
        let least = u64::from(books.base) + acknowledged;
        // A check that was refused, or whose connection was lost, may or may not have been stored.
        if books.exclusive && !(least..=least + maybe).contains(&u64::from(total)) {
            faults.note(Fault::FinalTotal, || {
                format!(
                    "{} before, {acknowledged} acknowledged, {maybe} uncertain, {total} after",
                    books.base
                )
            });
        }
        if total < books.highest() {
            faults.note(Fault::FinalTotal, || {
                format!("{total} after {} was announced", books.highest())
            });
        }
        let tiles: BTreeSet<u32> = match self.common.verify {
            Verify::Nothing => return Ok(()),
            Verify::All => (0..books.shuffle.boxes().div_ceil(TILE_BOXES)).collect(),
            Verify::Acknowledged => books
                .all_sent()
                .filter(|sent| sent.acknowledged)
                .map(|sent| (sent.id - 1) / TILE_BOXES)
                .collect(),
        };
        self.observer.say(format!("reading {} tiles to verify the books", tiles.len()));
        self.report.count("tiles_verified", tiles.len() as u64);
        let limit = Duration::from_secs_f64(self.common.read_timeout);
        let found = read_tiles(&self.target, &self.run, tiles.into_iter().collect(), limit).await?;
        let taken = self.taken.as_deref();
        compare(books, &found, taken, faults);
        if self.common.verify == Verify::All && books.exclusive && found.count() != u64::from(total)
        {
            faults.note(Fault::Popcount, || {
                format!("total {total}, {} boxes are set", found.count())
            });
        }
        Ok(())
    }
}

/// Every acknowledged check must be in `found`; on a board of our own, nothing else may be.
fn compare(books: &Books, found: &Bitmap, taken: Option<&Bitmap>, faults: &mut Faults) {
    let mut expected = taken.cloned().unwrap_or_else(|| Bitmap::new(books.shuffle.boxes()));
    for sent in books.all_sent() {
        expected.set(sent.id);
        if sent.acknowledged && !found.get(sent.id) {
            faults.note(Fault::NotOnBoard, || format!("id {}", sent.id));
        }
    }
    // With boxes already checked but not read, what is ours cannot be told.
    if books.exclusive && (books.base == 0 || taken.is_some()) {
        found
            .beyond(&expected)
            .for_each(|id| faults.note(Fault::StrangerOnBoard, || format!("id {id}")));
    }
}

impl Measured {
    pub(crate) fn between(from: (&Sums, &Reading), to: (&Sums, &Reading)) -> Self {
        Self {
            seconds: to.1.seconds_since(from.1).max(1e-9),
            updates: to.0.updates - from.0.updates,
            acknowledged: to.0.acknowledged - from.0.acknowledged,
            ranges: to.0.ranges - from.0.ranges,
            bytes: to.0.bytes - from.0.bytes,
            server: to.1.server_since(from.1),
            swarm: to.1.swarm_since(from.1),
            socket_writes: to.1.socket_writes_since(from.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(books: &Books, found: &[u32], taken: Option<&[u32]>) -> Vec<(Fault, u64)> {
        let bitmap = |ids: &[u32]| {
            let mut bitmap = Bitmap::new(books.shuffle.boxes());
            ids.iter().for_each(|id| bitmap.set(*id));
            bitmap
        };
        let mut faults = Faults::default();
        compare(books, &bitmap(found), taken.map(bitmap).as_ref(), &mut faults);
        faults.counts()
    }

    #[test]
    fn the_board_must_hold_what_was_acknowledged_and_nothing_strange() {
        let books = Books::new(Shuffle::new(1000, 1), 0, true);
        (0..3).for_each(|place| books.send(place, 1));
        let [one, two, unanswered, stranger] = [0, 1, 2, 3].map(|place| books.shuffle.id(place));
        books.acknowledge(one).unwrap();
        books.acknowledge(two).unwrap();
        assert_eq!(compared(&books, &[one, two], None), []);
        assert_eq!(compared(&books, &[one, two, unanswered], None), [], "it may be set, or not");
        assert_eq!(compared(&books, &[one], None), [(Fault::NotOnBoard, 1)]);
        assert_eq!(compared(&books, &[one, two, stranger], None), [(Fault::StrangerOnBoard, 1)]);
        assert_eq!(compared(&books, &[one, two, stranger], Some(&[stranger])), []);
    }

    #[test]
    fn on_a_shared_board_strangers_are_no_fault() {
        let books = Books::new(Shuffle::new(1000, 1), 5, false);
        books.send(0, 1);
        books.acknowledge(books.shuffle.id(0)).unwrap();
        let found = [books.shuffle.id(0), books.shuffle.id(9)];
        assert_eq!(compared(&books, &found, None), []);
        assert_eq!(compared(&books, &found[1..], None), [(Fault::NotOnBoard, 1)]);
    }
}
