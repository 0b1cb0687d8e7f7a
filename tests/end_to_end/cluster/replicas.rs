//! A cluster with `min-replicas-to-write`: a new master takes no checks until somebody follows it, and one
//! whose replicas lag takes none either (NOREPLICAS). Both pass, so that checks wait and none is refused.

use std::{
    collections::BTreeMap,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::world::{BOXES, SHARDS};
use crate::harness::{
    client::{Client, Told},
    cluster::{Cluster, RECOVERY},
    eventually, long,
    server::{Server, Setup},
    within,
};

const BOARD: &str = "replicas";

/// `redis.commit_timeout_ms`: a failover takes 2 s of `cluster-node-timeout`, a second or two to elect and to
/// find the heir, and as long again until the one that was killed follows it. The rest is for a busy machine.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Players of a node that check at a steady pace, of each protocol.
const PLAYERS: u32 = 2;

/// Time between two checks of one player. Two nodes have 8 players: 1,000 checks a second.
const PACE: Duration = Duration::from_millis(8);

/// What players were told.
#[derive(Debug, Default)]
struct Books {
    sent: usize,
    acknowledged: usize,
    refused: usize,
    closed: BTreeMap<u16, usize>,
    /// From a check to its answer.
    longest: Duration,
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        for (code, times) in other.closed {
            *self.closed.entry(code).or_default() += times;
        }
        self.longest = self.longest.max(other.longest);
    }
}

/// Players that check at their pace whatever they are told.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    players: Vec<JoinHandle<Books>>,
}

impl Load {
    /// On each of `nodes`, plain and `v=2`.
    fn on(nodes: &[Server]) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let all = nodes.len() as u32 * 2 * PLAYERS;
        let places = nodes.iter().flat_map(|node| [(node, "/ws"), (node, "/ws?v=2")]);
        let places = places.flat_map(|place| (0..PLAYERS).map(move |_| place));
        let players = (0..all).zip(places).map(|(number, (node, path))| {
            let client = Client::connect(node.address, path);
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            // No box twice: a prime that divides no number of boxes visits all of them.
            let ids = (0..).map(move |nth| 1 + ((nth * all + number) * 7919) % BOXES);
            std::thread::spawn(move || play(client, ids, &stop, &acknowledged))
        });
        let players = players.collect();
        Self { stop, acknowledged, players }
    }

    /// Waits until so many more checks were acknowledged.
    fn until_acknowledged(&self, more: usize) {
        let wanted = self.acknowledged.load(Relaxed) + more;
        within(RECOVERY, "checks to be acknowledged", || {
            (self.acknowledged.load(Relaxed) >= wanted).then_some(())
        });
    }

    /// Ends it; every check has its answer then.
    fn end(self) -> Books {
        self.stop.store(true, Relaxed);
        let mut books = Books::default();
        for player in self.players {
            books += player.join().expect("it plays to its end");
        }
        books
    }
}

/// Checks until told to stop, and waits for what is unanswered then.
fn play(
    mut client: Client,
    mut ids: impl Iterator<Item = u32>,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> Books {
    let (mut books, mut waits) = (Books::default(), BTreeMap::new());
    let mut due = Instant::now();
    let mut last_told = Instant::now();
    loop {
        let going = !stop.load(Relaxed);
        while going && due <= Instant::now() {
            let id = ids.next().expect("endless");
            client.check(id);
            waits.insert(id, Instant::now());
            books.sent += 1;
            due += PACE;
        }
        if !going && waits.is_empty() {
            return books;
        }
        let pause = due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let told = client.next_within(pause);
        if told.is_some() {
            last_told = Instant::now();
        }
        match told {
            Some(Told::Update { id, .. }) => {
                // A plain client hears of everybody's.
                if let Some(asked) = waits.remove(&id) {
                    books.acknowledged += 1;
                    acknowledged.fetch_add(1, Relaxed);
                    books.longest = books.longest.max(asked.elapsed());
                }
            }
            Some(Told::Refused { id, .. }) => {
                waits.remove(&id);
                books.refused += 1;
            }
            Some(Told::Closed(code, _)) => {
                *books.closed.entry(code).or_default() += 1;
                return books;
            }
            Some(Told::Cut) => panic!("the connection was cut"),
            Some(_) => {}
            None => assert!(last_told.elapsed() < COMMIT_TIMEOUT * 2, "{} wait", waits.len()),
        }
    }
}

fn start() -> (Cluster, [Server; 2]) {
    let cluster = Cluster::start();
    let setup = Setup::on(&cluster, BOARD, BOXES, SHARDS)
        .with("REDIS__COMMIT_TIMEOUT_MS", COMMIT_TIMEOUT.as_millis());
    let nodes = [setup.start(), setup.start()];
    (cluster, nodes)
}

/// Has every node of Redis take writes only with a replica that answered within so many seconds.
fn demand_a_replica(cluster: &Cluster, lag_s: &str) {
    for index in 0..6 {
        let set = ["CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", lag_s];
        cluster.command(index, &set).accepted().expect("a setting of Redis");
    }
}

/// How often Redis answered NOREPLICAS, as far as those who run now count it.
fn answered_no_replicas(cluster: &Cluster) -> u64 {
    let running = (0..6).filter(|index| cluster.node(*index).is_running());
    let counts = running.map(|index| {
        let stats = cluster.command(index, &["INFO", "errorstats"]).text().expect("a text");
        let count = stats.lines().find_map(|line| line.strip_prefix("errorstat_NOREPLICAS:count="));
        count.map_or(0, |count| count.trim().parse().expect("a number"))
    });
    counts.sum()
}

/// Everything was acknowledged, nobody was turned away, by the players' books and by the nodes' own.
fn assert_nobody_was_refused(books: &Books, nodes: &[Server]) {
    println!("{books:?}");
    assert!(books.refused == 0 && books.closed.is_empty(), "{books:?}");
    assert_eq!(books.sent, books.acknowledged, "every check was acknowledged");
    for node in nodes {
        for metric in [
            "billion_refusals_total{reason=\"storage\"}",
            "billion_refusals_total{reason=\"busy\"}",
            "billion_connections_closed_total{code=\"1013\"}",
        ] {
            assert_eq!(node.metric(metric), 0., "{metric}");
        }
    }
}

#[test]
fn failovers_refuse_no_check_where_a_master_takes_none_without_a_replica() {
    let (cluster, nodes) = start();
    demand_a_replica(&cluster, "10");
    let load = Load::on(&nodes);
    for round in 0..if long() { 10 } else { 2 } {
        load.until_acknowledged(1000);
        let master = cluster.master_of(&format!("billion:{{{BOARD}:0}}:bits"));
        let began = Instant::now();
        if round % 2 == 0 {
            let replica = cluster.replicas_of(master)[0];
            cluster.command(replica, &["CLUSTER", "FAILOVER"]).accepted().expect("it takes over");
            within(RECOVERY, "it to take over", || cluster.is_master(replica).then_some(()));
        } else {
            cluster.kill(master);
            cluster.wait_for_failover(master);
            // Until it is back nobody follows its heir.
            let before = answered_no_replicas(&cluster);
            eventually("checks that the heir does not take", || {
                (answered_no_replicas(&cluster) > before).then_some(())
            });
            cluster.restart(master);
            demand_a_replica(&cluster, "10");
        }
        cluster.wait_until_whole();
        let how = if round % 2 == 0 { "asked to" } else { "by a death" };
        println!("failover {round}, {how}: whole again after {:?}", began.elapsed());
    }
    load.until_acknowledged(1000);
    assert_nobody_was_refused(&load.end(), &nodes);
}

#[test]
fn replicas_that_stand_still_for_two_seconds_refuse_no_check() {
    let (cluster, nodes) = start();
    demand_a_replica(&cluster, "1");
    let load = Load::on(&nodes);
    load.until_acknowledged(1000);
    let replicas: Vec<usize> = (0..6).filter(|index| !cluster.is_master(*index)).collect();
    let masters_said = answered_no_replicas(&cluster);
    replicas.iter().for_each(|index| cluster.pause(*index));
    let paused = Instant::now();
    within(RECOVERY, "checks that masters do not take", || {
        (answered_no_replicas(&cluster) > masters_said).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2).saturating_sub(paused.elapsed()));
    replicas.iter().for_each(|index| cluster.resume(*index));
    println!("stood still for {:?}", paused.elapsed());
    cluster.wait_until_whole();
    load.until_acknowledged(1000);
    assert_nobody_was_refused(&load.end(), &nodes);
}
