//! What may happen to Redis, the network and the nodes while everybody plays. Each test shows by a
//! counter that its fault took place, and ends with everybody agreeing.

use std::time::{Duration, Instant};

use xtask::redis::slot_of;

use super::world::{BOXES, SHARDS, World, until_metric, whole_board};
use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    cluster::{Cluster, wires::Wires},
    eventually, long, seed,
    server::{Server, Setup},
    within,
};

const BOARD: &str = "faults";

/// What a scenario does to its nodes: nothing, or a guard is switched off.
pub type Change = fn(Setup) -> Setup;

fn setup(cluster: &Cluster) -> Setup {
    Setup::on(cluster, BOARD, BOXES, SHARDS)
}

fn three_nodes(cluster: &Cluster) -> [Setup; 3] {
    [setup(cluster), setup(cluster), setup(cluster)]
}

/// A box of every key range, the first of which is the `nth` of its range.
fn one_of_each(nth: u32) -> impl Iterator<Item = u32> {
    (0..SHARDS).map(move |shard| shard * (BOXES / SHARDS) + nth)
}

/// Checks boxes one after the other.
fn check_all(node: &Server, ids: impl Iterator<Item = u32>) {
    let mut player = node.client_v2();
    for id in ids {
        player.check(id);
        assert!(matches!(player.next(), Told::Update { id: told, .. } if told == id));
    }
}

/// The key range whose slot a test moves or whose master it ends.
fn a_key() -> String {
    format!("billion:{{{BOARD}:0}}:bits")
}

#[test]
fn killed_subscriptions_lose_nothing() {
    kill_subscriptions(|setup| setup, 60);
}

/// Subscriber connections killed every second, `times` times.
pub fn kill_subscriptions(change: Change, times: usize) {
    let seed = seed("killed_subscriptions_lose_nothing");
    let cluster = Cluster::start();
    let mut world = World::start(&three_nodes(&cluster).map(change), seed);
    let mut killed = 0;
    for _ in 0..times {
        std::thread::sleep(Duration::from_secs(1));
        killed += cluster.kill_subscribers();
    }
    let broken = world.metric("billion_redis_feed_disconnects_total");
    assert!(killed >= times * 3 && broken >= times as f64, "{killed} killed, {broken} noticed");
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
    // With noticing and starting again, half a minute.
    std::thread::sleep(Duration::from_secs(26));
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
pub fn stop_replication(cluster: &Cluster, master: usize) -> usize {
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
    lose_by_failover(|setup| setup);
}

/// 300 boxes that a master has acknowledged, and its replica never got.
pub fn lose_by_failover(change: Change) {
    let cluster = Cluster::start();
    let nodes = [change(setup(&cluster)).start(), change(setup(&cluster)).start()];
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
    wait_for_a_replica(|setup| setup);
}

/// A replica that gets nothing any more, and then does again.
pub fn wait_for_a_replica(change: Change) {
    let cluster = Cluster::start();
    let setup =
        setup(&cluster).with("REDIS__WAIT_REPLICAS", 1).with("REDIS__COMMIT_TIMEOUT_MS", 1000);
    let setup = change(setup);
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

/// Each may pass, so that the first check waits; the following ones do not.
#[test]
fn a_redis_that_may_not_write_refuses_checks_and_reads_go_on() {
    let cluster = Cluster::start();
    let setup = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 500);
    let node = setup.start();
    let mut player = node.client_v2();
    let (mut id, mut taken) = (0, vec![]);
    let mut next = || {
        id += 1;
        id
    };
    for (setting, hindering, harmless, answer) in
        [("maxmemory", "1", "0", "OOM"), ("min-replicas-to-write", "5", "0", "NOREPLICAS")]
    {
        let set = |value: &str| {
            for index in (0..6).filter(|index| cluster.is_master(*index)) {
                cluster.command(index, &["CONFIG", "SET", setting, value]);
            }
        };
        let mut take = |player: &mut Client, id| {
            taken.push(id);
            player.check(id);
            assert_eq!(player.next(), Told::Update { total: taken.len() as u32, id });
        };
        take(&mut player, next());
        set(hindering);
        let refused = next();
        player.check(refused);
        assert_eq!(player.next(), Told::Refused { id: refused, reason: 1 });
        until_metric(&node, "billion_redis_shards_down", |down| down == 1.);
        assert_eq!(player.range(1, 1000, &mut vec![]).len(), id_count(&node), "reads go on");
        for _ in 0..100 {
            let id = next();
            player.check(id);
            assert_eq!(player.next(), Told::Refused { id, reason: 1 }, "at once");
        }
        set(harmless);
        until_metric(&node, "billion_redis_shards_down", |down| down == 0.);
        take(&mut player, refused);
        let log = node.log();
        assert!(log.contains(answer), "it says why:\n{log}");
    }
    let refusals = node.metric("billion_refusals_total{reason=\"storage\"}");
    assert_eq!(refusals, 2. * 101., "each is counted once");
    let log = node.log();
    let lines = log.lines().filter(|line| line.contains("Redis: ")).count();
    assert_eq!(lines, 4, "one line for each change:\n{log}");
}

/// How many boxes a node announces.
fn id_count(node: &Server) -> usize {
    node.metric("billion_announced_boxes") as usize
}

#[test]
fn a_reset_reaches_a_node_that_was_cut_off() {
    reset_while_cut_off(|setup| setup);
}

/// A reset that one node hears of only when it is back.
pub fn reset_while_cut_off(change: Change) {
    let seed = seed("a_reset_reaches_a_node_that_was_cut_off");
    let cluster = Cluster::start();
    let wires = Wires::to(&cluster);
    let alone = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 500).through(&wires);
    let setups = [setup(&cluster), setup(&cluster), alone].map(change);
    let mut world = World::start(&setups, seed);
    world.until_acknowledged(500);
    world.agree(&cluster, BOARD);
    let mut players: Vec<_> = world.nodes.iter().map(Server::client).collect();
    wires.cut();
    until_metric(&world.nodes[2], "billion_redis_shards_down", |down| down == f64::from(SHARDS));

    let ran = setups[0].run(&["reset", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world.forget();
    for player in &mut players[..2] {
        assert_eq!(player.closed(), (1012, "board reset".to_owned()));
    }
    for node in &world.nodes[..2] {
        until_metric(node, "billion_redis_epoch", |epoch| epoch == 2.);
        eventually("an empty board", || (whole_board(node).0 == 0).then_some(()));
    }
    assert!(whole_board(&world.nodes[2]).0 > 0, "it has not heard of it");
    world.play_though_deaf(2);
    world.until_acknowledged(200);
    wires.mend();
    assert_eq!(players[2].closed(), (1012, "board reset".to_owned()));
    world.until_acknowledged(500);
    assert_eq!(world.metric("billion_redis_resets_total"), 3.);
    world.agree(&cluster, BOARD);
}

/// The client of Redis subscribes again by itself, in one call that Redis refuses, and says nothing.
#[test]
fn messages_come_again_after_a_disconnect() {
    hear_after_a_disconnect(|setup| setup);
}

/// Two nodes whose subscriptions are killed, and what one of them hears afterwards.
pub fn hear_after_a_disconnect(change: Change) {
    let cluster = Cluster::start();
    let nodes = [setup(&cluster), setup(&cluster)].map(|setup| change(setup).start());
    let heard = |node: &Server| node.metric("billion_redis_updates_total{from=\"other\"}");
    check_all(&nodes[0], one_of_each(1));
    until_metric(&nodes[1], "billion_announced_boxes", |boxes| boxes == f64::from(SHARDS));
    assert_eq!(heard(&nodes[1]), f64::from(SHARDS));
    assert!(cluster.kill_subscribers() >= 6);
    let mut nth = 2;
    eventually("messages", || {
        let before = heard(&nodes[1]);
        check_all(&nodes[0], one_of_each(nth));
        nth += 1;
        // What was missed is learned, too, but not by messages.
        eventually("agreement", || {
            let announced = |node: &Server| node.metric("billion_announced_boxes");
            (announced(&nodes[0]) == announced(&nodes[1])).then_some(())
        });
        (heard(&nodes[1]) - before >= f64::from(SHARDS)).then_some(())
    });
}

/// Nothing comes after them that could show that they are missing.
#[test]
fn messages_that_were_the_last_are_missed_by_looking() {
    miss_the_last_messages(|setup| setup);
}

/// A node that is cut off while another one checks, and hears nothing when it is back.
pub fn miss_the_last_messages(change: Change) {
    let cluster = Cluster::start();
    let wires = Wires::to(&cluster);
    let nodes = [setup(&cluster), setup(&cluster).through(&wires)].map(|s| change(s).start());
    wires.cut();
    check_all(&nodes[0], one_of_each(1));
    wires.mend();
    until_metric(&nodes[1], "billion_announced_boxes", |boxes| boxes == f64::from(SHARDS));
    assert!(nodes[1].metric("billion_redis_gaps_total{reason=\"poll\"}") >= 1.);
}

/// A node that misses a message of every key range and gets the next one of each.
#[cfg(feature = "faults")]
pub fn miss_all_but_the_last_messages(change: Change) {
    let cluster = Cluster::start();
    let wires = Wires::to(&cluster);
    let nodes = [setup(&cluster), setup(&cluster).through(&wires)].map(|s| change(s).start());
    wires.cut();
    check_all(&nodes[0], one_of_each(1));
    wires.mend();
    let heard = |node: &Server| node.metric("billion_redis_updates_total{from=\"other\"}");
    let mut nth = 2;
    // Only some of them may be heard at first: its subscriptions come back one by one.
    eventually("messages", || {
        let before = heard(&nodes[1]);
        check_all(&nodes[0], one_of_each(nth));
        nth += 1;
        std::thread::sleep(Duration::from_millis(200));
        (heard(&nodes[1]) - before >= f64::from(SHARDS)).then_some(())
    });
    let all = f64::from(SHARDS * (nth - 1));
    until_metric(&nodes[1], "billion_announced_boxes", |boxes| boxes == all);
}

/// What is away is one master of three, and so are its key ranges; the others go on.
#[test]
fn a_master_that_hangs_does_not_hold_up_the_others() {
    let cluster = Cluster::start();
    // It stays away: nobody takes over from it, and what it was asked is not given up.
    for index in 0..cluster.nodes().len() {
        cluster.command(index, &["CONFIG", "SET", "cluster-node-timeout", "600000"]);
    }
    let node = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 600_000).start();
    check_all(&node, one_of_each(1));
    let master = cluster.master_of(&a_key());
    let others: Vec<u32> = (0..SHARDS)
        .filter(|shard| cluster.master_of(&format!("billion:{{{BOARD}:{shard}}}:bits")) != master)
        .collect();
    assert!(others.len() >= 3, "they spread over the masters");
    cluster.pause(master);
    let mut player = node.client_v2();
    // Into the key range that hangs; unanswered for now.
    player.check(7);
    let mut nth = 2;
    // A check that waits for the hanging one takes a second at least, so that all would take a minute.
    within(PATIENCE, "20 rounds of the others", || {
        for shard in &others {
            let id = shard * (BOXES / SHARDS) + nth;
            player.check(id);
            assert!(matches!(player.next(), Told::Update { id: told, .. } if told == id));
        }
        nth += 1;
        (nth > 21).then_some(())
    });
    cluster.resume(master);
}
