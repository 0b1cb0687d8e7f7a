//! What the older Go server does for each check, and nothing else: ZADD, INCR and PUBLISH, one after
//! the other, each waiting for its answer. No WebSockets and no server of that kind take part, which
//! is in its favour.
//!
//! A thread per connection: blocking calls are the cheapest way to wait for one small answer, and
//! what this client does not use of two shared cores is left for Redis.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::boards::{Client, Routes};
use crate::redis::{Connection, Reply};

/// Boxes that the Go server keeps in one sorted set.
const SET_BOXES: u32 = 100_000_000;

const PATIENCE: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// Checks, each of three commands.
    pub checks: u64,
    /// The time they took.
    pub took: Duration,
}

/// The keys of one run.
#[derive(Debug)]
struct Names {
    sets: Vec<String>,
    count: String,
    channel: String,
}

impl Names {
    fn of(run: &str, boxes: u32) -> Self {
        let sets = boxes.div_ceil(SET_BOXES);
        Self {
            sets: (0..sets).map(|set| format!("{run}:checks_{set}")).collect(),
            count: format!("{run}:checks_count"),
            channel: format!("{run}:checks"),
        }
    }
}

/// Checks random boxes on `connections` connections for `time`, with fresh keys that are removed in
/// the end, before one subscriber, as each Go server is one.
pub fn run(
    routes: &Routes,
    run: &str,
    boxes: u32,
    connections: usize,
    time: Duration,
) -> Result<Done> {
    let names = Arc::new(Names::of(run, boxes));
    let subscriber = Subscriber::start(routes, &names.channel)?;
    let start = Arc::new(Barrier::new(connections + 1));
    let threads: Vec<_> = (0..connections as u64)
        .map(|seed| {
            let (names, start) = (names.clone(), start.clone());
            let mut client = Client::new(routes.clone());
            thread::spawn(move || {
                let warm = connect(&mut client, &names);
                start.wait();
                warm?;
                check(&mut client, &names, boxes, seed, time)
            })
        })
        .collect();
    start.wait();
    let began = Instant::now();
    let mut checks = 0;
    for thread in threads {
        checks += thread.join().map_err(|_| anyhow!("a checking thread panicked"))??;
    }
    let took = began.elapsed();
    balance(routes, &names, checks, subscriber)?;
    Ok(Done { checks, took })
}

/// Opens the connections, so that opening them is not measured.
fn connect(client: &mut Client, names: &Names) -> Result<()> {
    for key in names.sets.iter().chain([&names.count, &names.channel]) {
        client.call(key, &["PING"])?;
    }
    Ok(())
}

fn check(client: &mut Client, names: &Names, boxes: u32, seed: u64, time: Duration) -> Result<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut checks = 0;
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        let id = random.random_range(1..=boxes);
        let set = &names.sets[((id - 1) / SET_BOXES) as usize];
        let decimal = id.to_string();
        client.call(set, &["ZADD", set, &decimal, &decimal])?;
        let total = client.call(&names.count, &["INCR", &names.count])?.integer()?;
        let mut update = [0; 8];
        update[..4].copy_from_slice(&(total as u32).to_le_bytes());
        update[4..].copy_from_slice(&id.to_le_bytes());
        let channel = &names.channel;
        client.call(channel, &[b"PUBLISH".as_slice(), channel.as_bytes(), &update])?;
        checks += 1;
    }
    Ok(checks)
}

/// Everything that was counted here was counted in Redis and heard by the subscriber.
fn balance(routes: &Routes, names: &Names, checks: u64, subscriber: Subscriber) -> Result<()> {
    let heard = subscriber.finish(routes, &names.channel)?;
    let mut client = Client::new(routes.clone());
    let counted = client.call(&names.count, &["GET", &names.count])?.integer()?;
    for key in names.sets.iter().chain([&names.count]) {
        client.call(key, &["UNLINK", key])?;
    }
    ensure!(
        counted as u64 == checks && heard == checks,
        "{checks} checks, {counted} counted, {heard} heard"
    );
    Ok(())
}

/// Hears every message, as a node of the Go server would.
struct Subscriber {
    heard: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Subscriber {
    fn start(routes: &Routes, channel: &str) -> Result<Self> {
        let mut connection = Connection::open(routes.of(channel), PATIENCE)?;
        connection.call(&["SUBSCRIBE", channel])?.accepted()?;
        let (heard, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (heard, over) = (heard.clone(), over.clone());
            move || {
                loop {
                    let message = connection.receive()?;
                    let last = matches!(&message, Reply::Array(parts)
                        if parts.last() == Some(&Reply::Bytes(b"over".to_vec())));
                    if last && over.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { heard, over, thread })
    }

    /// Waits until everything published before has been heard: how many messages.
    fn finish(self, routes: &Routes, channel: &str) -> Result<u64> {
        self.over.store(true, Ordering::Release);
        let mut client = Client::new(routes.clone());
        client.call(channel, &["PUBLISH", channel, "over"])?;
        let heard = self.thread.join().map_err(|_| anyhow!("the subscriber panicked"))?;
        heard.context("the subscriber")?;
        Ok(self.heard.load(Ordering::Relaxed))
    }
}
