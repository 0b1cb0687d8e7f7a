//! What may happen to Redis, the network and the nodes while everybody plays. Each test shows by a
//! counter that its fault took place, and ends with everybody agreeing.

use std::time::{Duration, Instant};

use xtask::redis::slot_of;

use super::world::{BOXES, SHARDS, World, until_metric, whole_board};
use crate::harness::{
    client::Told,
    cluster::{Cluster, wires::Wires},
    eventually, long, seed,
    server::Setup,
    within,
};

const BOARD: &str = "faults";

/// A check is acknowledged within this time of its master's death, at a `cluster-node-timeout` of
/// 2 s.
const WRITES_RETURN: Duration = Duration::from_secs(5);

fn setup(cluster: &Cluster) -> Setup {
    Setup::on(cluster, BOARD, BOXES, SHARDS)
}

fn three_nodes(cluster: &Cluster) -> [Setup; 3] {
    [setup(cluster), setup(cluster), setup(cluster)]
}

/// The key range whose slot a test moves or whose master it ends.
fn a_key() -> String {
    format!("billion:{{{BOARD}:0}}:bits")
}

#[test]
fn killed_subscriptions_lose_nothing() {
    let seed = seed("killed_subscriptions_lose_nothing");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster), seed);
    let mut killed = 0;
    for _ in 0..60 {
        std::thread::sleep(Duration::from_secs(1));
        killed += cluster.kill_subscribers();
    }
    let broken = world.metric("billion_redis_feed_disconnects_total");
    assert!(killed >= 60 * 3 && broken >= 60., "{killed} connections killed, {broken} noticed");
    println!("{killed} connections killed, {broken} noticed");
    world.agree(&cluster, BOARD);
}

#[test]
fn a_killed_master_loses_no_acknowledged_check() {
    let seed = seed("a_killed_master_loses_no_acknowledged_check");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster), seed);
    for round in 0..if long() { 30 } else { 1 } {
        world.until_acknowledged(500);
        let master = cluster.master_of(&a_key());
        let began = Instant::now();
        cluster.kill(master);
        // A box of the key range whose master is gone.
        let mut player = world.nodes[round % 3].client_v2();
        let mut attempt = 0;
        let back = within(Duration::from_secs(30), "a write", || {
            attempt += 1;
            let id = 1 + (round as u32 * 1000 + attempt) % 100_000;
            player.check(id);
            world.sent(id);
            let told = player.next_within(Duration::from_secs(15));
            matches!(told, Some(Told::Update { id: told, .. }) if told == id)
                .then(|| began.elapsed())
        });
        println!("round {round}: written again {back:?} after the death of the master");
        // Other tests share the machine in the short form.
        assert!(!long() || back < WRITES_RETURN, "{back:?}");
        assert_ne!(cluster.master_of(&a_key()), master, "somebody else took over");
        cluster.restart(master);
        cluster.wait_until_whole();
        world.agree(&cluster, BOARD);
        world.play();
    }
    world.agree(&cluster, BOARD);
}

#[test]
fn a_paused_master_is_outlived() {
    let seed = seed("a_paused_master_is_outlived");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster), seed);
    world.until_acknowledged(500);
    let master = cluster.master_of(&a_key());
    cluster.pause(master);
    let began = Instant::now();
    let (_, took) = cluster.wait_for_failover(master);
    println!("failed over after {took:?}");
    world.until_acknowledged(500);
    std::thread::sleep(Duration::from_secs(10).saturating_sub(began.elapsed()));
    cluster.resume(master);
    cluster.wait_until_whole();
    world.until_acknowledged(500);
    let replaced = world.metric("billion_redis_lines_replaced_total");
    assert!(replaced > 0., "lines that did not answer were replaced");
    world.agree(&cluster, BOARD);
}

#[test]
fn a_slot_that_moves_under_load_loses_nothing() {
    let seed = seed("a_slot_that_moves_under_load_loses_nothing");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster), seed);
    let slot = slot_of(&a_key());
    for _ in 0..3 {
        world.until_acknowledged(300);
        let from = cluster.master_of(&a_key());
        let to = (0..6).find(|node| *node != from && cluster.is_master(*node));
        cluster.migrate_slot(slot, from, to.expect("another master"));
    }
    world.until_acknowledged(500);
    let ended = world.metric("billion_redis_feed_unsubscribed_total");
    assert!(ended >= 3. * 3., "Redis ended {ended} subscriptions");
    world.agree(&cluster, BOARD);
}

#[test]
fn a_node_cut_off_from_redis_comes_back() {
    let seed = seed("a_node_cut_off_from_redis_comes_back");
    let cluster = Cluster::start();
    let wires = Wires::to(&cluster);
    let alone = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 1000).through(&wires);
    let mut world = World::start(&[setup(&cluster), setup(&cluster), alone], seed);
    for silently in [false, true] {
        world.until_acknowledged(500);
        if silently {
            wires.go_silent()
        } else {
            wires.cut()
        }
        until_metric(&world.nodes[2], "billion_redis_shards_down", |down| {
            down == f64::from(SHARDS)
        });
        assert_eq!(world.nodes[2].get("/readyz?store=1").status, 503);
        assert_eq!(world.nodes[2].get("/readyz").status, 200, "reads go on");
        let before = world.nodes[2].metric("billion_announced_boxes");
        world.until_acknowledged(500);
        let refused = world.refused();
        eventually("its players' checks to be refused", || {
            (world.refused() > refused).then_some(())
        });
        assert_eq!(world.nodes[2].metric("billion_announced_boxes"), before, "it hears nothing");
        wires.mend();
        until_metric(&world.nodes[2], "billion_redis_shards_down", |down| down == 0.);
        world.agree(&cluster, BOARD);
        world.play();
    }
    let log = world.nodes[2].log();
    let told = log.matches("key ranges take no checks").count();
    assert_eq!(told, 2, "one line for each time:\n{log}");
    world.agree(&cluster, BOARD);
}

#[test]
fn a_killed_node_starts_again_where_the_others_are() {
    let seed = seed("a_killed_node_starts_again_where_the_others_are");
    let cluster = Cluster::start();
    let setups = three_nodes(&cluster);
    let mut world = World::start(&setups, seed);
    for round in 0..if long() { 20 } else { 3 } {
        world.until_acknowledged(500);
        world.nodes[round % 3].kill();
        world.until_acknowledged(200);
        let node = setups[round % 3].start();
        world.replace(round % 3, node);
    }
    world.agree(&cluster, BOARD);
}

#[test]
fn a_cluster_that_is_down_for_half_a_minute_comes_back_whole() {
    let seed = seed("a_cluster_that_is_down_for_half_a_minute_comes_back_whole");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster), seed);
    world.until_acknowledged(500);
    let resident = |world: &World| world.nodes.iter().map(|node| node.resident()).max();
    let before = resident(&world);
    cluster.kill_all();
    for node in &world.nodes {
        until_metric(node, "billion_redis_shards_down", |down| down == f64::from(SHARDS));
    }
    std::thread::sleep(Duration::from_secs(20));
    let grown = resident(&world).expect("nodes").saturating_sub(before.expect("nodes"));
    assert!(grown < 32 << 20, "memory grew by {grown} bytes while Redis was away");
    cluster.restart_all();
    for node in &world.nodes {
        until_metric(node, "billion_redis_shards_down", |down| down == 0.);
    }
    world.until_acknowledged(500);
    world.agree(&cluster, BOARD);
}

/// Breaks replication from `master`, and waits until its replica knows.
fn stop_replication(cluster: &Cluster, master: usize) -> usize {
    let [replica] = cluster.replicas_of(master)[..] else { panic!("one replica each") };
    // It will not get in again: the master knows no passwords.
    cluster.command(replica, &["CONFIG", "SET", "masterauth", "wrong"]);
    cluster.command(master, &["CLIENT", "KILL", "TYPE", "replica"]);
    eventually("the link to break", || {
        (cluster.info(replica, "master_link_status") == "down").then_some(())
    });
    replica
}

#[test]
fn what_a_failover_loses_is_put_back() {
    let cluster = Cluster::start();
    let nodes = [setup(&cluster).start(), setup(&cluster).start()];
    let master = cluster.master_of(&a_key());
    let replica = stop_replication(&cluster, master);
    let mut player = nodes[0].client();
    for id in 1..=300 {
        player.check(id);
        assert!(matches!(player.next(), Told::Update { id: told, .. } if told == id));
    }
    cluster.kill(master);
    let (heir, _) = cluster.wait_for_failover(master);
    assert_eq!(heir, replica);
    eventually("Redis has everything again", || {
        let stored = cluster.read_board(BOARD);
        (stored.checked == (1..=300).collect::<Vec<_>>() && stored.counted() == 300).then_some(())
    });
    let put_back: f64 =
        nodes.iter().map(|node| node.metric("billion_redis_boxes_pushed_total")).sum();
    assert!(put_back >= 300., "the heir had none of them: {put_back} were put back");
    for node in &nodes {
        assert_eq!(whole_board(node), (300, (1..=300).collect()));
    }
}

#[test]
fn with_wait_replicas_nothing_is_acknowledged_that_one_master_alone_has() {
    let cluster = Cluster::start();
    let setup =
        setup(&cluster).with("REDIS__WAIT_REPLICAS", 1).with("REDIS__COMMIT_TIMEOUT_MS", 1000);
    let node = setup.start();
    let mut player = node.client_v2();
    player.check(1);
    assert_eq!(player.next(), Told::Update { total: 1, id: 1 });
    let master = cluster.master_of(&a_key());
    let replica = stop_replication(&cluster, master);
    player.check(2);
    assert_eq!(player.next(), Told::Refused { id: 2, reason: 1 });
    cluster.command(replica, &["CONFIG", "SET", "masterauth", ""]);
    within(Duration::from_secs(30), "replication", || {
        (cluster.info(replica, "master_link_status") == "up").then_some(())
    });
    within(Duration::from_secs(30), "an acknowledgement", || {
        player.check(3);
        let told = player.next();
        matches!(told, Told::Update { id: 3, .. }).then_some(())
    });
}

#[test]
fn a_redis_that_may_not_write_refuses_checks_and_reads_go_on() {
    let cluster = Cluster::start();
    let setup = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 500);
    let node = setup.start();
    let mut player = node.client_v2();
    player.check(1);
    assert_eq!(player.next(), Told::Update { total: 1, id: 1 });
    let limit = |bytes: &str| {
        for index in (0..6).filter(|index| cluster.is_master(*index)) {
            cluster.command(index, &["CONFIG", "SET", "maxmemory", bytes]);
        }
    };
    limit("1");
    player.check(2);
    assert_eq!(player.next(), Told::Refused { id: 2, reason: 1 });
    until_metric(&node, "billion_redis_shards_down", |down| down == 1.);
    assert_eq!(player.range(1, 100, &mut vec![]), [1], "reads go on");
    for id in 3..100 {
        player.check(id);
        assert_eq!(player.next(), Told::Refused { id, reason: 1 }, "at once");
    }
    limit("0");
    until_metric(&node, "billion_redis_shards_down", |down| down == 0.);
    player.check(2);
    assert_eq!(player.next(), Told::Update { total: 2, id: 2 });
    let log = node.log();
    let lines = log.lines().filter(|line| line.contains("Redis: ")).count();
    assert_eq!(lines, 2, "one line for each change:\n{log}");
}
