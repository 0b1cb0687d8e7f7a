//! Several nodes of one board in a Redis Cluster, players on each, and books of what they were told:
//! whatever happens, at rest everybody has the same boxes, and none that was acknowledged is missing.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::harness::{
    client::{Client, Told},
    cluster::Cluster,
    eventually,
    server::{Server, Setup},
    within,
};

/// Twelve tiles in twelve shards, which hash to all three masters.
pub const BOXES: u32 = 1_200_000;
pub const SHARDS: u32 = 12;

/// Checks a writer has under way.
const OUTSTANDING: usize = 16;

/// Time for everybody to agree once nobody checks any more.
const AGREEMENT: Duration = Duration::from_secs(40);

/// What all writers together have done.
#[derive(Default)]
pub struct Ledger {
    sent: Arc<Mutex<BTreeSet<u32>>>,
    acknowledged: Mutex<BTreeSet<u32>>,
    refused: AtomicUsize,
}

/// Where a node is at the moment: restarts move it.
type Place = Arc<Mutex<SocketAddr>>;

/// Nodes and their players.
pub struct World {
    pub nodes: Vec<Server>,
    places: Vec<Place>,
    pub ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    watchers: Vec<Watcher>,
    seed: u64,
}

/// A plain client that keeps the whole board by what it is told.
struct Watcher {
    board: Arc<Mutex<BTreeSet<u32>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    /// Starts a node for each of `setups`, with a watcher, and a writer that checks random boxes.
    pub fn start(setups: &[Setup], seed: u64) -> Self {
        let mut world = Self::watch(setups, seed);
        world.play();
        world
    }

    /// Starts a node for each of `setups`, with a watcher.
    pub fn watch(setups: &[Setup], seed: u64) -> Self {
        let nodes: Vec<_> = setups.iter().map(Setup::start).collect();
        let places = nodes.iter().map(|node| Arc::new(Mutex::new(node.address))).collect();
        let mut world = Self {
            nodes,
            places,
            ledger: Arc::default(),
            stop: Arc::default(),
            writers: Vec::new(),
            watchers: Vec::new(),
            seed,
        };
        world.watchers = world.places.iter().map(Watcher::start).collect();
        world
    }

    /// Starts a writer on every node.
    pub fn play(&mut self) {
        self.play_on(0..self.places.len(), self.ledger.clone());
    }

    /// Starts a writer on every node; what node `deaf` acknowledges is not counted on, because it speaks of
    /// a board that was reset until it hears of that.
    pub fn play_though_deaf(&mut self, deaf: usize) {
        let uncounted = Ledger { sent: self.ledger.sent.clone(), ..Ledger::default() };
        let others = (0..self.places.len()).filter(|index| *index != deaf);
        self.play_on(others, self.ledger.clone());
        self.play_on([deaf], Arc::new(uncounted));
    }

    /// Starts `writers` writers who reach the nodes through `balancer`.
    pub fn play_at(&mut self, balancer: SocketAddr, writers: usize) {
        let place = Arc::new(Mutex::new(balancer));
        self.play_in((0..writers).map(|_| place.clone()).collect(), self.ledger.clone());
    }

    fn play_on(&mut self, nodes: impl IntoIterator<Item = usize>, ledger: Arc<Ledger>) {
        self.play_in(nodes.into_iter().map(|index| self.places[index].clone()).collect(), ledger);
    }

    fn play_in(&mut self, places: Vec<Place>, ledger: Arc<Ledger>) {
        if self.writers.is_empty() {
            self.stop = Arc::default();
        }
        let mut random = StdRng::seed_from_u64(self.seed);
        for place in places {
            let ledger = ledger.clone();
            let (stop, seed) = (self.stop.clone(), random.random());
            self.writers.push(std::thread::spawn(move || write(&place, seed, &ledger, &stop)));
        }
        self.seed = random.random();
    }

    /// The nodes in place of node `index` from now on.
    pub fn replace(&mut self, index: usize, node: Server) {
        *self.places[index].lock().expect("unpoisoned") = node.address;
        self.nodes[index] = node;
    }

    /// How many checks were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.ledger.acknowledged.lock().expect("unpoisoned").len()
    }

    /// The board was reset: what was checked before is to be gone.
    pub fn forget(&mut self) {
        self.quiet();
        self.ledger = Arc::default();
    }

    /// Somebody else is about to check `id`.
    pub fn sent(&self, id: u32) {
        self.ledger.sent.lock().expect("unpoisoned").insert(id);
    }

    /// How many checks were refused so far.
    pub fn refused(&self) -> usize {
        self.ledger.refused.load(Relaxed)
    }

    /// Waits until so many more checks have been acknowledged.
    pub fn until_acknowledged(&self, more: usize) {
        let wanted = self.acknowledged() + more;
        within(AGREEMENT, "checks to be acknowledged", || {
            (self.acknowledged() >= wanted).then_some(())
        });
    }

    /// Sum of one metric over all nodes.
    pub fn metric(&self, name: &str) -> f64 {
        self.nodes.iter().map(|node| node.metric(name)).sum()
    }

    /// Ends the writers.
    pub fn quiet(&mut self) {
        self.stop.store(true, Relaxed);
        for writer in self.writers.drain(..) {
            writer.join().expect("a writer writes to its end");
        }
    }

    /// Ends the writers and waits until Redis, every node and every watcher have the same boxes; all
    /// that were acknowledged, none that nobody sent, and every count right.
    pub fn agree(&mut self, cluster: &Cluster, board: &str) {
        self.quiet();
        cluster.wait_until_ok();
        let deadline = Instant::now() + AGREEMENT;
        loop {
            match self.disagreement(cluster, board) {
                None => break,
                Some(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Some(disagreement) => panic!("after {AGREEMENT:?} of quiet: {disagreement}"),
            }
        }
        let stored = cluster.read_board(board);
        let boxes: BTreeSet<u32> = stored.checked.iter().copied().collect();
        assert_eq!(stored.counted(), boxes.len() as u64, "counts are popcounts");
        let acknowledged = self.ledger.acknowledged.lock().expect("unpoisoned");
        let sent = self.ledger.sent.lock().expect("unpoisoned");
        let lost: Vec<_> = acknowledged.difference(&boxes).take(5).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?} …");
        let invented: Vec<_> = boxes.difference(&sent).take(5).collect();
        assert!(invented.is_empty(), "checked though nobody sent it: {invented:?} …");
        println!(
            "{} boxes, {} acknowledged, {} refused; {} resyncs, {} found, {} put back",
            boxes.len(),
            acknowledged.len(),
            self.refused(),
            self.metric("billion_redis_resyncs_total{result=\"ok\"}"),
            self.metric("billion_redis_boxes_found_total"),
            self.metric("billion_redis_boxes_pushed_total"),
        );
    }

    /// Who has what else than Redis, if anybody has.
    fn disagreement(&self, cluster: &Cluster, board: &str) -> Option<String> {
        let stored: BTreeSet<u32> = cluster.read_board(board).checked.into_iter().collect();
        for (index, node) in self.nodes.iter().enumerate() {
            let (total, boxes) = whole_board(node);
            if let Some(difference) = difference(&stored, &boxes) {
                return Some(format!("node {index} and Redis: {difference}"));
            }
            if total as usize != boxes.len() {
                return Some(format!("node {index} announces {total} of {}", boxes.len()));
            }
            let watched = self.watchers[index].board.lock().expect("unpoisoned");
            if let Some(difference) = difference(&boxes, &watched) {
                return Some(format!("node {index} and its watcher: {difference}"));
            }
        }
        None
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for watcher in &mut self.watchers {
            watcher.stop.store(true, Relaxed);
        }
        // What they panicked with is told by the thread itself.
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
        for watcher in &mut self.watchers {
            let ended = watcher.thread.take().expect("joined once").join();
            assert!(ended.is_ok() || std::thread::panicking(), "a watcher was told nonsense");
        }
    }
}

fn difference(these: &BTreeSet<u32>, those: &BTreeSet<u32>) -> Option<String> {
    let only = |a: &BTreeSet<u32>, b: &BTreeSet<u32>| -> (usize, Vec<u32>) {
        (a.difference(b).count(), a.difference(b).copied().take(5).collect())
    };
    let (first, second) = (only(these, those), only(those, these));
    (first.0 + second.0 > 0).then(|| format!("only the one: {first:?}, only the other: {second:?}"))
}

/// What a node announces and what it has, by range requests; again if a reset ends the connection.
pub fn whole_board(node: &Server) -> (u32, BTreeSet<u32>) {
    eventually("a connection that lasts", || {
        let mut client = Client::try_connect(node.address, "/ws")?;
        let mut ids = BTreeSet::new();
        for first in (1..=BOXES).step_by(100_000) {
            ids.extend(client.try_range(first, first + 99_999, &mut vec![])?);
        }
        Some((client.greeted, ids))
    })
}

/// Checks random boxes, a few at a time, until told to stop, on whatever node is at `place`.
fn write(place: &Place, seed: u64, ledger: &Ledger, stop: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Relaxed) {
        let Some(mut client) = connect(place, "/ws?v=2") else { continue };
        let mut outstanding = BTreeSet::new();
        loop {
            while outstanding.len() < OUTSTANDING && !stop.load(Relaxed) {
                let id = random.random_range(1..=BOXES);
                // Before it is sent: a box that appears was sent by somebody.
                ledger.sent.lock().expect("unpoisoned").insert(id);
                if !client.try_check(id) {
                    break;
                }
                outstanding.insert(id);
            }
            if outstanding.is_empty() {
                break;
            }
            match client.next_within(Duration::from_secs(15)) {
                Some(Told::Update { id, .. }) if outstanding.remove(&id) => {
                    ledger.acknowledged.lock().expect("unpoisoned").insert(id);
                }
                Some(Told::Refused { id, .. }) => {
                    outstanding.remove(&id);
                    ledger.refused.fetch_add(1, Relaxed);
                    // As a player would: not at once again.
                    std::thread::sleep(Duration::from_millis(5));
                }
                Some(Told::Cut | Told::Closed(..)) => break,
                Some(_) => {}
                None => panic!("neither answered nor refused for 15 s: {outstanding:?}"),
            }
            // Some thousand a second in all: what is tested is not throughput.
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// A connection, unless the node is away just now.
fn connect(place: &Place, path: &str) -> Option<Client> {
    let address = *place.lock().expect("unpoisoned");
    let client = Client::try_connect(address, path);
    if client.is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    client
}

impl Watcher {
    fn start(place: &Place) -> Self {
        let (board, stop) =
            (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::default()));
        let thread = std::thread::spawn({
            let (place, board, stop) = (place.clone(), board.clone(), stop.clone());
            move || {
                while !stop.load(Relaxed) {
                    if let Some(client) = connect(&place, "/ws") {
                        watch(client, &board, &stop);
                    }
                }
            }
        });
        Self { board, stop, thread: Some(thread) }
    }
}

/// Reads the board and follows it until the connection ends: every box is announced once, and the
/// totals count one by one.
fn watch(mut client: Client, board: &Mutex<BTreeSet<u32>>, stop: &AtomicBool) {
    let mut total = client.greeted;
    let mut announced = BTreeSet::new();
    let mut asked = (1..=BOXES).step_by(100_000);
    let mut waiting = 0;
    let mut boxes = BTreeSet::new();
    let mut complete = false;
    while !stop.load(Relaxed) {
        while waiting < 8
            && let Some(first) = asked.next()
        {
            if !client.try_ask(first, first + 99_999) {
                return;
            }
            waiting += 1;
        }
        if waiting == 0 && !complete {
            complete = true;
            *board.lock().expect("unpoisoned") = std::mem::take(&mut boxes);
        }
        match client.next_within(Duration::from_millis(100)) {
            Some(Told::Update { total: now, id }) => {
                assert_eq!(now, total + 1, "totals have no gaps");
                assert!(announced.insert(id), "box {id} was announced twice");
                total = now;
                if complete {
                    board.lock().expect("unpoisoned").insert(id);
                } else {
                    boxes.insert(id);
                }
            }
            Some(Told::Range { first, mask }) => {
                waiting -= 1;
                boxes.extend(crate::harness::client::checked(first, first + 99_999, &mask));
            }
            Some(Told::Closed(..) | Told::Cut) => return,
            Some(other) => panic!("unexpected: {other:?}"),
            None => {}
        }
    }
}

/// Waits until a metric of a node reaches something.
pub fn until_metric(node: &Server, name: &str, reached: impl Fn(f64) -> bool) -> f64 {
    eventually(name, || Some(node.metric(name)).filter(|value| reached(*value)))
}
