//! Players on threads: opens a run's connections at the asked pace, keeps each on one thread for life, publishes sums the
//! coordinator can watch, and hands all players back at the end. Threads share the books and nothing else.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use crate::books::Books;
use crate::client::{self, Player, SCRATCH_BYTES};
use crate::faults::Faults;
use crate::latency::{Clock, Latency};
use crate::seat::{Door, Fate, Left, Place, Seat};
use crate::target::Target;
use crate::wire::Outgoing;

/// How often a thread publishes its sums and looks at the stage.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(10);

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Connections are being opened and made ready.
    Opening,
    /// Load.
    Running,
    /// Nothing new is sent; what is under way arrives.
    Draining,
    Over,
}

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: Clock,
    pub(crate) books: Arc<Books>,
    stage: AtomicU8,
}

impl Run {
    pub(crate) fn new(books: Books) -> Arc<Self> {
        let stage = AtomicU8::new(Stage::Opening as u8);
        Arc::new(Self { clock: Clock::start(), books: Arc::new(books), stage })
    }

    /// Another run by the same clock and in the same books, with stages of its own.
    pub(crate) fn beside(other: &Self) -> Arc<Self> {
        let (clock, books) = (other.clock, Arc::clone(&other.books));
        Arc::new(Self { clock, books, stage: AtomicU8::new(Stage::Opening as u8) })
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Opening,
            1 => Stage::Running,
            2 => Stage::Draining,
            _ => Stage::Over,
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }
}

/// What one thread counts. Merged at the end of the run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What the command measures: update, acknowledgement or range latency.
    pub(crate) latency: Latency,
    /// The same of what was sent all at once.
    pub(crate) burst: Latency,
    /// Of each message that was sent alone, in µs to each member.
    pub(crate) by_message: Vec<Vec<u32>>,
    pub(crate) handshake: Latency,
    /// Handshakes answered with 429 or 503.
    pub(crate) turned_away: u64,
    /// What the first of them said.
    pub(crate) turned_away_by: Option<String>,
    pub(crate) updates: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: [u64; 6],
    pub(crate) ranges: u64,
    pub(crate) pulses: u64,
    pub(crate) resyncs: u64,
    pub(crate) bytes: u64,
    /// Of the last message to a group: all are equally long, but for the digits of a number.
    pub(crate) frame_bytes: u64,
    pub(crate) faults: Faults,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            latency: Latency::new(),
            burst: Latency::new(),
            by_message: Vec::new(),
            handshake: Latency::new(),
            turned_away: 0,
            turned_away_by: None,
            updates: 0,
            acknowledged: 0,
            refused: [0; 6],
            ranges: 0,
            pulses: 0,
            resyncs: 0,
            bytes: 0,
            frame_bytes: 0,
            faults: Faults::default(),
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latency.merge(&other.latency);
        self.burst.merge(&other.burst);
        let messages = self.by_message.len().max(other.by_message.len());
        self.by_message.resize_with(messages, Vec::new);
        self.by_message
            .iter_mut()
            .zip(other.by_message)
            .for_each(|(mine, other)| mine.extend(other));
        self.handshake.merge(&other.handshake);
        self.turned_away += other.turned_away;
        self.turned_away_by = self.turned_away_by.take().or(other.turned_away_by);
        self.updates += other.updates;
        self.acknowledged += other.acknowledged;
        self.refused.iter_mut().zip(other.refused).for_each(|(mine, other)| *mine += other);
        self.ranges += other.ranges;
        self.pulses += other.pulses;
        self.resyncs += other.resyncs;
        self.bytes += other.bytes;
        self.frame_bytes = self.frame_bytes.max(other.frame_bytes);
        self.faults.merge(other.faults);
    }
}

/// What a player finds at hand: the run, the time of the bytes it is given, and its thread's tally.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) run: Arc<Run>,
    pub(crate) now_us: u32,
    pub(crate) tally: Tally,
}

/// One thread's desk and read buffer.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) desk: RefCell<Desk>,
    pub(crate) scratch: RefCell<Vec<u8>>,
}

impl Station {
    pub(crate) fn new(run: Arc<Run>) -> Rc<Self> {
        let desk = Desk { now_us: run.clock.us(), run, tally: Tally::new() };
        Rc::new(Self { desk: RefCell::new(desk), scratch: RefCell::new(vec![0; SCRATCH_BYTES]) })
    }

    pub(crate) fn into_tally(station: Rc<Self>) -> Option<Tally> {
        Some(Rc::try_unwrap(station).ok()?.desk.into_inner().tally)
    }
}

/// A thread's sums, for the coordinator to read while the thread works.
#[derive(Debug, Default)]
struct Live {
    open: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    updates: AtomicU64,
    acknowledged: AtomicU64,
    ranges: AtomicU64,
    bytes: AtomicU64,
    /// Stage in the high half, so that a sum from an earlier stage, or from
    /// before the first look, cannot be taken for this one's.
    unsettled: AtomicU64,
}

/// All threads' sums at one moment.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) open: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) updates: u64,
    pub(crate) acknowledged: u64,
    pub(crate) ranges: u64,
    pub(crate) bytes: u64,
    /// Players that still expect something; `None` while a thread has not looked since the stage began.
    pub(crate) unsettled: Option<u64>,
}

/// How to open connections.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) connect_rate: f64,
    pub(crate) connect_timeout: Duration,
    /// Handshakes under way at once, per thread.
    pub(crate) at_once: usize,
    /// Whoever fails to connect tries again.
    pub(crate) insists: bool,
    pub(crate) goodbye: Goodbye,
}

/// How connections end that are open when a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goodbye {
    /// With a Close, as pages do.
    Close,
    /// Without a word: the end of the stream.
    End,
    /// With a reset, as when a proxy dies.
    Reset,
}

struct Thread<P> {
    live: Arc<Live>,
    handle: JoinHandle<Result<ThreadEnded<P>>>,
}

/// What one thread hands back.
type ThreadEnded<P> = (Vec<Left<P>>, Tally);

/// The threads of a run.
pub(crate) struct Crew<P> {
    run: Arc<Run>,
    threads: Vec<Thread<P>>,
}

/// What a run left behind.
pub(crate) struct Ended<P> {
    pub(crate) seats: Vec<Left<P>>,
    pub(crate) tally: Tally,
}

impl<P: Player + Send> Crew<P> {
    /// Starts the threads and lets them open all connections; `make` makes the player of connection `index`.
    pub(crate) fn muster(
        run: &Arc<Run>,
        target: &Target,
        pace: &Pace,
        make: impl Fn(usize) -> P + Send + Sync + 'static,
    ) -> Result<Self> {
        let make = Arc::new(make);
        let threads = (0..pace.threads)
            .map(|thread| {
                let live =
                    Arc::new(Live { unsettled: AtomicU64::new(u64::MAX), ..Live::default() });
                let (run, target, pace, make) =
                    (Arc::clone(run), target.clone(), pace.clone(), Arc::clone(&make));
                let published = Arc::clone(&live);
                let work = move || work(thread, run, Arc::new(target), &pace, &*make, &published);
                let handle =
                    std::thread::Builder::new().name(format!("swarm-{thread}")).spawn(work)?;
                Ok(Thread { live, handle })
            })
            .collect::<std::io::Result<_>>()
            .context("cannot start threads")?;
        Ok(Self { run: Arc::clone(run), threads })
    }

    pub(crate) fn sums(&self) -> Sums {
        let stage = self.run.stage() as u64;
        let mut sums = Sums { unsettled: Some(0), ..Sums::default() };
        for Thread { live, .. } in &self.threads {
            sums.open += live.open.load(Relaxed);
            sums.failed += live.failed.load(Relaxed);
            sums.lost += live.lost.load(Relaxed);
            sums.updates += live.updates.load(Relaxed);
            sums.acknowledged += live.acknowledged.load(Relaxed);
            sums.ranges += live.ranges.load(Relaxed);
            sums.bytes += live.bytes.load(Relaxed);
            let unsettled = live.unsettled.load(Relaxed);
            let fresh = (unsettled >> 32 == stage).then_some(unsettled & u64::from(u32::MAX));
            sums.unsettled = sums.unsettled.zip(fresh).map(|(sum, fresh)| sum + fresh);
        }
        sums
    }

    /// Ends the run: closes what is open and takes the players back, in the order of their indices.
    pub(crate) fn finish(self) -> Result<Ended<P>> {
        self.run.enter(Stage::Over);
        let mut ended = Ended { seats: Vec::new(), tally: Tally::new() };
        for Thread { handle, .. } in self.threads {
            let (seats, tally) =
                handle.join().map_err(|_| anyhow!("a swarm thread panicked"))??;
            ended.seats.extend(seats);
            ended.tally.merge(tally);
        }
        ended.seats.sort_by_key(|seat| seat.index);
        Ok(ended)
    }
}

/// One thread, from its first connection to its last.
fn work<P: Player>(
    thread: usize,
    run: Arc<Run>,
    target: Arc<Target>,
    pace: &Pace,
    make: &impl Fn(usize) -> P,
    live: &Live,
) -> Result<ThreadEnded<P>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let station = Station::new(Arc::clone(&run));
    let indices = (thread..pace.connections).step_by(pace.threads);
    let places = indices.map(|index| Place::new(index, make(index), Rc::clone(&station)));
    let places: Vec<_> = places.collect();
    let seats: Vec<_> = places.iter().map(|place| Rc::clone(&place.seat)).collect();
    let tasks = LocalSet::new();
    tasks.spawn_local(open_all(places, target, pace.clone()));
    tasks.block_on(&runtime, async {
        while run.stage() != Stage::Over {
            sleep(PUBLISH_INTERVAL).await;
            publish(&seats, &station.desk.borrow(), live);
        }
    });
    for stream in seats.iter().filter_map(|seat| seat.stream.borrow_mut().take()) {
        say_goodbye(&stream, pace.goodbye);
    }
    drop(tasks);
    let seats = seats
        .into_iter()
        .map(|seat| Rc::try_unwrap(seat).map(Seat::leave))
        .collect::<Result<_, _>>();
    let seats = seats.map_err(|_| anyhow!("a task outlived its thread"))?;
    let tally = Station::into_tally(station).context("a task outlived its thread")?;
    Ok((seats, tally))
}

/// Best effort: the run is over, and a full socket need not hear of it.
fn say_goodbye(stream: &TcpStream, how: Goodbye) {
    match how {
        Goodbye::Close => {
            let mut goodbye = Outgoing::new(1);
            goodbye.close(1000);
            let _ = stream.try_write(goodbye.pending());
        }
        Goodbye::End => {}
        Goodbye::Reset => client::reset_on_drop(stream),
    }
}

async fn open_all<P: Player>(places: Vec<Place<P>>, target: Arc<Target>, pace: Pace) {
    let began = tokio::time::Instant::now();
    let gate = Arc::new(Semaphore::new(pace.at_once));
    let door = Door { limit: pace.connect_timeout, gate, insists: pace.insists };
    for place in places {
        // By the index over all threads, so that threads take turns.
        sleep_until(began + Duration::from_secs_f64(place.seat.index as f64 / pace.connect_rate))
            .await;
        let Ok(permit) = Arc::clone(&door.gate).acquire_owned().await else { return };
        let (target, door) = (Arc::clone(&target), door.clone());
        tokio::task::spawn_local(async move { place.live(&target, &door, Some(permit)).await });
    }
}

fn publish<P: Player>(seats: &[Rc<Seat<P>>], desk: &Desk, live: &Live) {
    live.updates.store(desk.tally.updates, Relaxed);
    live.acknowledged.store(desk.tally.acknowledged, Relaxed);
    live.ranges.store(desk.tally.ranges, Relaxed);
    live.bytes.store(desk.tally.bytes, Relaxed);
    let stage = desk.run.stage();
    // Under load nobody asks, and 20,000 seats a look would be felt.
    if stage == Stage::Running && live.unsettled.load(Relaxed) >> 32 == stage as u64 {
        return;
    }
    let (mut open, mut failed, mut lost, mut unsettled) = (0, 0, 0, 0);
    for seat in seats {
        match &*seat.fate.borrow() {
            Fate::Opening => unsettled += 1,
            Fate::Open => {
                open += 1;
                unsettled += u64::from(!seat.player.borrow().settled(desk));
            }
            Fate::Failed(_) => failed += 1,
            Fate::Lost(_) => lost += 1,
            Fate::Left => {}
        }
    }
    live.open.store(open, Relaxed);
    live.failed.store(failed, Relaxed);
    live.lost.store(lost, Relaxed);
    live.unsettled.store((stage as u64) << 32 | unsettled, Relaxed);
}
