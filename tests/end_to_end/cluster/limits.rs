//! Limits that three nodes behind nginx share through Redis: what an address gets from all of them together, while a
//! node dies, is cut off, or Redis fails over.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    client::{Client, Told},
    cluster::{Cluster, shared, wires::Wires},
    eventually,
    nginx::Balancer,
    origin::client_from,
    server::{Server, Setup},
};

const BOT: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 9);
const BOXES: u32 = 1_200_000;
const SHARDS: u32 = 12;

/// Of an address: checks a second, and at once.
const RATE: f64 = 60.0;
const BURST: f64 = 120.0;

const NODES: usize = 3;

/// Players of the one address, each of whom sends as fast as it is answered.
const PLAYERS: usize = 6;

/// A node whose limits nobody but the nodes of this test share. What nginx says of a client's address is believed.
fn setup(cluster: &Cluster, name: &str) -> Setup {
    Setup::on(cluster, name, BOXES, SHARDS)
        .without("LIMITS__ADDRESS")
        .with("LIMITER__LIMIT", 1_000_000)
        .with("LIMITER__BURST", 1_000_000)
        .with("LIMITS__ADDRESS_CHECKS", "60-S burst 120")
        .with("LIMITS__PREFIX", name)
        .with("SERVER__TRUSTED_PROXIES", "127.0.0.1")
}

/// What all players have sent and were told.
#[derive(Default)]
struct Books {
    next: AtomicU32,
    sent: AtomicU32,
    accepted: AtomicU32,
    refused: AtomicU32,
    /// Without an answer when their connection ended.
    unknown: AtomicU32,
    stop: AtomicBool,
}

impl Books {
    /// Plays until it is stopped, on whatever node nginx leads to.
    fn play(&self, to: SocketAddr) {
        while !self.stop.load(Relaxed) {
            match client_from(BOT, to, "/ws?v=2") {
                Some(mut client) => {
                    while !self.stop.load(Relaxed) {
                        if !self.check(&mut client) {
                            break;
                        }
                    }
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Ten checks, and the answer to each; whether the connection lasts.
    fn check(&self, client: &mut Client) -> bool {
        let first = 1 + self.next.fetch_add(10, Relaxed);
        let mut waits: BTreeSet<u32> = (first..first + 10).collect();
        let mut is_open = waits.iter().all(|id| client.try_check(*id));
        self.sent.fetch_add(10, Relaxed);
        while is_open && !waits.is_empty() {
            match client.next_within(Duration::from_secs(20)) {
                Some(Told::Update { id, .. }) if waits.remove(&id) => {
                    _ = self.accepted.fetch_add(1, Relaxed)
                }
                Some(Told::Refused { id, .. }) if waits.remove(&id) => {
                    _ = self.refused.fetch_add(1, Relaxed)
                }
                Some(Told::Closed(..) | Told::Cut) | None => is_open = false,
                Some(_) => {}
            }
        }
        self.unknown.fetch_add(waits.len() as u32, Relaxed);
        is_open
    }
}

/// Three nodes, and nginx in front of them.
struct Scene {
    nodes: Vec<Server>,
    balancer: Balancer,
}

impl Scene {
    fn start(setups: impl Iterator<Item = Setup>) -> Self {
        let nodes: Vec<_> = setups.map(|setup| setup.start()).collect();
        let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
        eventually("all nodes to know of each other", || {
            let knows = |node: &Server| node.metric("billion_limit_nodes") == NODES as f64;
            nodes.iter().all(knows).then_some(())
        });
        Self { balancer: Balancer::start(&addresses), nodes }
    }

    /// Players of one address play while `happen` happens, and for `rest` after it: how many checks were accepted, and
    /// in how many seconds.
    fn play(
        &mut self,
        books: &Books,
        happen: impl FnOnce(&mut Self),
        rest: Duration,
    ) -> (f64, f64) {
        let began = Instant::now();
        let to = self.balancer.address;
        thread::scope(|scope| {
            for _ in 0..PLAYERS {
                scope.spawn(|| books.play(to));
            }
            happen(self);
            thread::sleep(rest);
            books.stop.store(true, Relaxed);
        });
        let took = began.elapsed().as_secs_f64();
        let count = |counter: &AtomicU32| counter.load(Relaxed);
        assert_eq!(
            count(&books.accepted) + count(&books.refused) + count(&books.unknown),
            count(&books.sent)
        );
        // No box was checked twice, so those there are were accepted, whether or not that was heard.
        let node = self.nodes.last().expect("three");
        let accepted = eventually("all of them to be announced", || {
            let announced = node.metric("billion_announced_boxes");
            (announced >= f64::from(count(&books.accepted))).then_some(announced)
        });
        (accepted, took)
    }
}

#[test]
fn an_address_gets_its_limit_once_from_all_nodes_together() {
    let cluster = shared();
    let mut scene = Scene::start((0..NODES).map(|_| setup(cluster, "limits-of-three")));
    let books = Books::default();
    let (accepted, took) = scene.play(&books, |_| {}, Duration::from_secs(8));
    assert!(accepted <= BURST + RATE * took + 1.0, "{accepted} in {took} s");
    assert!(accepted >= 0.8 * RATE * (took - 2.0), "{accepted} in {took} s");
    let calls: f64 = scene.nodes.iter().map(|node| node.metric("billion_limit_calls_total")).sum();
    // A call a tick of 50 ms for each node at most, however many keys and decisions.
    assert!(calls <= 3.0 * 20.0 * (took + 10.0), "{calls} in {took} s");
}

#[test]
fn a_node_that_dies_and_comes_back_gives_nothing_away() {
    let cluster = shared();
    let of = || setup(cluster, "limits-and-a-death");
    let mut scene = Scene::start((0..NODES).map(|_| of()));
    let books = Books::default();
    let dies = |scene: &mut Scene| {
        thread::sleep(Duration::from_secs(2));
        let address = scene.nodes[0].address;
        scene.nodes[0].kill();
        thread::sleep(Duration::from_secs(1));
        scene.nodes[0] = of().with("SERVER__ADDRESS", address).start();
    };
    let (accepted, took) = scene.play(&books, dies, Duration::from_secs(3));
    assert!(accepted <= BURST + RATE * took + 1.0, "{accepted} in {took} s");
    assert!(accepted >= 0.6 * RATE * (took - 3.0), "{accepted} in {took} s");
}

#[test]
fn a_node_that_is_cut_off_gives_its_share_and_no_more() {
    let cluster = shared();
    let wires = Wires::to(cluster);
    let of = || setup(cluster, "limits-and-a-cut");
    let setups = [of(), of(), of().through(&wires)];
    let mut scene = Scene::start(setups.into_iter());
    let books = Books::default();
    let mut cut_for = 0.0;
    let cut = |scene: &mut Scene| {
        thread::sleep(Duration::from_secs(2));
        let began = Instant::now();
        wires.cut();
        eventually("it is alone", || {
            (scene.nodes[2].metric("billion_limit_alone") == 1.0).then_some(())
        });
        thread::sleep(Duration::from_secs(3));
        wires.mend();
        eventually("it is not", || {
            (scene.nodes[2].metric("billion_limit_alone") == 0.0).then_some(())
        });
        cut_for = began.elapsed().as_secs_f64();
    };
    let (accepted, took) = scene.play(&books, cut, Duration::from_secs(3));
    let share = RATE / NODES as f64 * cut_for;
    assert!(
        accepted <= BURST + RATE * took + 1.0 + share,
        "{accepted} in {took} s, cut for {cut_for}"
    );
    assert!(accepted >= 0.6 * RATE * (took - 3.0), "{accepted} in {took} s");
}

#[test]
fn a_failover_of_redis_gives_away_no_more_than_the_last_second() {
    let cluster = Cluster::start();
    let mut scene = Scene::start((0..NODES).map(|_| setup(&cluster, "limits-and-an-heir")));
    let books = Books::default();
    let fails = |_: &mut Scene| {
        thread::sleep(Duration::from_secs(2));
        let master = cluster.master_of("limits-and-an-heir:{limits}:nodes");
        cluster.kill(master);
        cluster.wait_for_failover(master);
    };
    let (accepted, took) = scene.play(&books, fails, Duration::from_secs(4));
    // What the heir had not heard of was drawn in the last second; meanwhile each node gave its share.
    assert!(accepted <= BURST + RATE * (took + 1.0) + 1.0, "{accepted} in {took} s");
    assert!(accepted >= 0.4 * RATE * (took - 3.0), "{accepted} in {took} s");
    let alone = |node: &Server| node.metric("billion_limit_alone") == 0.0;
    eventually("all nodes to share again", || scene.nodes.iter().all(alone).then_some(()));
}
