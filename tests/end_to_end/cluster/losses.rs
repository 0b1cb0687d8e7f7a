//! Losses, delays and ends that are easily forgotten: keys that vanish, slots left half-way, masters
//! that are away for long, nodes that are asked to end meanwhile. Each of these was red once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::Command,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    faults::stop_replication,
    world::{BOXES, SHARDS, World, until_metric, whole_board},
};
use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    cluster::Cluster,
    eventually, long, seed,
    server::{Server, Setup, request},
    within,
};

const BOARD: &str = "losses";

fn setup(cluster: &Cluster) -> Setup {
    Setup::on(cluster, BOARD, BOXES, SHARDS)
}

fn key(shard: u32, what: &str) -> String {
    format!("billion:{{{BOARD}:{shard}}}:{what}")
}

/// What nodes counted of Redis, for the message of a test that fails: a line for each.
fn counted(nodes: &[Server]) -> String {
    let wanted =
        ["gaps", "updates_total{", "resyncs", "pushed", "found", "disconnects", "replaced"];
    let of = |node: &Server| {
        let all = request(node.admin, "GET", "/metrics", &[]).body;
        let lines = all.lines().filter(|line| {
            line.starts_with("billion_redis_") && wanted.iter().any(|name| line.contains(name))
        });
        lines.collect::<Vec<_>>().join("; ")
    };
    nodes.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// The key ranges of `shards` whose master is `away`, and the others.
fn sick_and_healthy(cluster: &Cluster, shards: u32, away: usize) -> (Vec<u32>, Vec<u32>) {
    (0..shards).partition(|shard| cluster.master_of(&key(*shard, "bits")) == away)
}

/// The feed is away for a moment, a check is acknowledged, and then its master dies: what was
/// acknowledged lies in the memory of a node that lives.
#[test]
fn what_was_acknowledged_unheard_is_put_back_after_a_failover() {
    let cluster = Cluster::start();
    // Alone: another node might have heard.
    let nodes = [setup(&cluster).start()];
    let mut player = nodes[0].client();
    player.check(1);
    assert!(matches!(player.next(), Told::Update { id: 1, .. }));
    until_metric(&nodes[0], "billion_redis_updates_total{from=\"own\"}", |heard| heard == 1.);
    let master = cluster.master_of(&key(0, "bits"));
    let _replica = stop_replication(&cluster, master);
    let mut killer = cluster.connect(master);
    eventually("an acknowledgement", || {
        // Nothing of the feed arrives in this moment.
        let _ = killer.call(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        player.check(2);
        matches!(player.next(), Told::Update { id: 2, .. }).then_some(())
    });
    cluster.kill(master);
    cluster.wait_for_failover(master);
    let deadline = Instant::now() + PATIENCE;
    while !cluster.read_board(BOARD).checked.contains(&2) {
        assert!(Instant::now() < deadline, "it was not put back:\n{}", counted(&nodes));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_node_that_waits_for_a_cluster_ends_when_it_is_asked_to() {
    let setup = Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", "127.0.0.1:1")
        .with("REDIS__START_TIMEOUT_S", 60);
    let mut child = setup.spawn(&[]);
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let waits = log.any(|line| line.is_ok_and(|line| line.contains("waiting for a Redis Cluster")));
    assert!(waits, "it says what it waits for");
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    // Reads on, so that it never waits for us.
    let rest = std::thread::spawn(move || log.count());
    eventually("its end", || child.try_wait().expect("asked"));
    rest.join().expect("the log ends with it");
}

/// Ends in `PATIENCE`, of which its own `server.shutdown_timeout_s` are 8 s: long before anything that waits
/// for Redis would give up.
fn ends(mut server: Server) {
    let began = Instant::now();
    server.signal("-TERM");
    let status = server.wait();
    println!("ended with {status} after {:?}", began.elapsed());
}

#[test]
fn a_node_ends_in_time_whatever_redis_does() {
    let cluster = Cluster::start();
    let states = ["paused", "dead", "paused for longer than a line is kept"];
    for state in &states[..if long() { 3 } else { 2 }] {
        let node = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 60000).start();
        let mut player = node.client_v2();
        match *state {
            "dead" => cluster.kill_all(),
            _ => (0..6).for_each(|index| cluster.pause(index)),
        }
        for id in 1..200 {
            player.check(id * 5000);
        }
        until_metric(&node, "billion_shard_queue_checks", |checks| checks == 199.);
        if state.ends_with("kept") {
            std::thread::sleep(Duration::from_secs(6));
        }
        println!("{state}");
        ends(node);
        match *state {
            "dead" => cluster.restart_all(),
            _ => (0..6).for_each(|index| cluster.resume(index)),
        }
        cluster.wait_until_whole();
    }
}

/// `reset` while masters are paused, and the node asked to end meanwhile.
#[test]
fn a_node_ends_in_time_while_it_follows_a_reset() {
    let cluster = Cluster::start();
    let setup = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 60000);
    let node = setup.start();
    let mut player = node.client_v2();
    for id in 1..=12 {
        player.check(id * 100_000);
        player.next();
    }
    // One master is away, with checks under way to it, and all others are reset.
    let away = cluster.master_of(&key(0, "bits"));
    cluster.pause(away);
    for id in 1..=12 {
        player.check(id * 100_000 - 1);
    }
    for shard in 0..SHARDS {
        let key = key(shard, "state");
        if cluster_master(&cluster, &key) != Some(away) {
            cluster_call(&cluster, &key, away, &["HSET", &key, "epoch", "2"]);
        }
    }
    within(Duration::from_secs(10), "the reset", || node.log().contains("was reset").then_some(()));
    ends(node);
    cluster.resume(away);
}

fn cluster_master(cluster: &Cluster, key: &str) -> Option<usize> {
    let slot = xtask::redis::slot_of(key);
    let members = cluster.members();
    let master = members.iter().find(|member| member.is_master() && member.serves(slot))?;
    (0..6).find(|index| cluster.node(*index).address().to_string() == master.address)
}

fn cluster_call(cluster: &Cluster, key: &str, away: usize, words: &[&str]) {
    let master = cluster_master(cluster, key).expect("a master");
    assert_ne!(master, away);
    cluster.command(master, words).accepted().expect("it is taken");
}

/// Nobody takes over from a master that is away with its replica: its key ranges refuse checks until it is
/// back, and the others refuse none.
#[test]
fn while_a_master_and_its_replica_are_away_no_check_of_another_key_range_is_refused() {
    let cluster = Cluster::start();
    serve_what_is_there(&cluster);
    for (round, how) in ["paused", "dead"].into_iter().enumerate() {
        let node = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 1500).start();
        let away = cluster.master_of(&key(0, "bits"));
        let replica = cluster.replicas_of(away)[0];
        let (sick, healthy) = sick_and_healthy(&cluster, SHARDS, away);
        let (mut one, mut other) = (node.client_v2(), node.client_v2());
        match how {
            "paused" => [replica, away].map(|index| cluster.pause(index)),
            _ => [replica, away].map(|index| cluster.kill(index)),
        };
        let (mut number, mut refused) = (round as u32 * 50_000, 0);
        let mut after = 0;
        // Until its key ranges have been given up, and for a while after.
        eventually("refusals where nobody takes checks", || {
            number += 1;
            let place = number as usize;
            other.check(sick[place % sick.len()] * 100_000 + 1 + number);
            let id = healthy[place % healthy.len()] * 100_000 + 1 + number;
            one.check(id);
            loop {
                match one.next() {
                    Told::Update { id: told, .. } if told == id => break,
                    Told::Refused { id, .. } => {
                        panic!("{how}: {id} of a healthy range was refused")
                    }
                    _ => {}
                }
            }
            while let Some(told) = other.next_within(Duration::from_micros(10)) {
                refused += usize::from(matches!(told, Told::Refused { .. }));
            }
            after += usize::from(refused > 0);
            (after > 100).then_some(())
        });
        println!("{how}: {number} checks taken, {refused} refused elsewhere");
        match how {
            "paused" => [replica, away].map(|index| cluster.resume(index)),
            _ => [replica, away].map(|index| cluster.restart(index)),
        };
        cluster.wait_until_whole();
    }
}

/// Has Redis serve the slots that have a master, though others have none.
fn serve_what_is_there(cluster: &Cluster) {
    for index in 0..6 {
        cluster.command(index, &["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
}

#[test]
fn a_slot_that_was_left_half_way_between_two_masters_takes_checks() {
    let cluster = Cluster::start();
    let node = setup(&cluster).with("REDIS__COMMIT_TIMEOUT_MS", 2000).start();
    let mut player = node.client_v2();
    player.check(1);
    player.next();
    let from = cluster.master_of(&key(0, "bits"));
    let to = (0..6).find(|node| *node != from && cluster.is_master(*node)).expect("another");
    let slot = xtask::redis::slot_of(&key(0, "bits")).to_string();
    let id = |index| {
        String::from_utf8(cluster.command(index, &["CLUSTER", "MYID"]).bytes().unwrap()).unwrap()
    };
    cluster.command(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
    cluster.command(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    let address = cluster.node(to).address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    for what in ["bits", "state"] {
        let migrate = ["MIGRATE", &host, &port, &key(0, what), "0", "5000"];
        cluster.command(from, &migrate).accepted().expect("the key moves");
    }
    player.check(2);
    let told = player.next();
    assert!(matches!(told, Told::Update { id: 2, .. }), "{told:?}\n{}", node.log());
    let late = setup(&cluster).with("REDIS__START_TIMEOUT_S", 8).start();
    assert_eq!(whole_board(&late).0, 2);
}

#[test]
fn keys_that_were_deleted_come_back() {
    let cluster = Cluster::start();
    let nodes = [setup(&cluster).start(), setup(&cluster).start()];
    let mut player = nodes[0].client();
    for id in 1..=300 {
        player.check(id);
        player.next();
    }
    for what in ["state", "board", "both"] {
        match what {
            "board" => {
                let record = format!("billion:{{{BOARD}}}:board");
                cluster.command_on(&record, &["DEL", &record]);
                within(Duration::from_secs(10), "the record", || {
                    (cluster.command_on(&record, &["EXISTS", &record]).integer().unwrap() == 1)
                        .then_some(())
                });
                continue;
            }
            "both" => {
                for what in ["bits", "state"] {
                    cluster.command_on(&key(0, what), &["DEL", &key(0, what)]);
                }
            }
            what => {
                cluster.command_on(&key(0, what), &["DEL", &key(0, what)]);
            }
        }
        within(Duration::from_secs(8), what, || {
            let exists = |what| {
                cluster.command_on(&key(0, what), &["EXISTS", &key(0, what)]).integer().unwrap()
            };
            if exists("bits") + exists("state") < 2 {
                return None;
            }
            let board = cluster.read_board(BOARD);
            (board.checked.len() == 300 && board.counted() == 300).then_some(())
        });
    }
}

#[test]
fn a_cluster_that_lost_everything_gets_it_back_from_memory() {
    let cluster = Cluster::start();
    let seed = seed("flushed");
    let mut world = World::start(&[setup(&cluster), setup(&cluster), setup(&cluster)], seed);
    world.until_acknowledged(3000);
    for round in 0..3 {
        for index in (0..6).filter(|index| cluster.is_master(*index)) {
            if round == 0 && index != cluster.master_of(&key(0, "bits")) {
                continue;
            }
            cluster.command(index, &["FLUSHALL"]);
        }
        world.until_acknowledged(500);
    }
    world.agree(&cluster, BOARD);
    let record = format!("billion:{{{BOARD}}}:board");
    within(Duration::from_secs(10), "the record", || {
        (cluster.command_on(&record, &["EXISTS", &record]).integer().unwrap() == 1).then_some(())
    });
}

#[test]
fn without_its_replicas_a_node_says_that_it_takes_no_checks() {
    let cluster = Cluster::start();
    let node = setup(&cluster)
        .with("REDIS__WAIT_REPLICAS", 1)
        .with("REDIS__COMMIT_TIMEOUT_MS", 1500)
        .start();
    let mut player = node.client_v2();
    player.check(1);
    player.next();
    let master = cluster.master_of(&key(0, "bits"));
    stop_replication(&cluster, master);
    for id in 2..8 {
        player.check(id);
        assert_eq!(player.next(), Told::Refused { id, reason: 1 });
    }
    until_metric(&node, "billion_redis_shards_down", |down| down == 1.);
    eventually("a line", || node.log().contains("1 of 12 key ranges take no checks").then_some(()));
}

/// Redis stands still for moments again and again, shorter and longer than one answer may take.
#[test]
fn a_redis_that_flickers_loses_nothing() {
    let seed = seed("flicker");
    let cluster = Cluster::start();
    let setup = || {
        setup(&cluster)
            .with("REDIS__COMMIT_TIMEOUT_MS", 300)
            .with("REDIS__RESPONSE_TIMEOUT_MS", 200)
    };
    let mut world = World::start(&[setup(), setup(), setup()], seed);
    world.until_acknowledged(500);
    for round in 1..=if long() { 54 } else { 8 } {
        let index = round % 6;
        cluster.pause(index);
        std::thread::sleep(Duration::from_millis([100, 350, 700, 1200][round % 4]));
        cluster.resume(index);
        std::thread::sleep(Duration::from_millis(150));
    }
    world.agree(&cluster, BOARD);
}

/// One master is away and nothing fails over; then subscriptions of the healthy ones break, again and again.
#[test]
#[ignore = "long: how late an update may come is a matter of time, which other tests beside it take"]
fn the_other_key_ranges_are_heard_of_while_a_master_is_away() {
    let cluster = Cluster::start();
    serve_what_is_there(&cluster);
    let shards = 60;
    let setup = Setup::on(&cluster, BOARD, 6_000_000, shards);
    let nodes = [setup.start(), setup.start()];
    let away = cluster.master_of(&key(0, "bits"));
    let replica = cluster.replicas_of(away)[0];
    let (sick, healthy) = sick_and_healthy(&cluster, shards, away);
    let masters = (0..6).filter(|index| *index != away && cluster.is_master(*index));
    let masters: Vec<usize> = masters.collect();
    let (mut writer, mut reader) = (nodes[0].client_v2(), nodes[1].client());
    cluster.pause(replica);
    cluster.pause(away);
    // Checks that nobody takes, on both nodes.
    let mut waiting = [nodes[0].client_v2(), nodes[1].client_v2()];
    for (at, player) in (0..).zip(&mut waiting) {
        for shard in &sick {
            player.check(shard * 100_000 + 77 + at);
        }
    }
    let began = Instant::now();
    let (mut killed, mut number, mut longest) = (0, 0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(30) {
        if began.elapsed().as_secs() / 4 > killed {
            killed += 1;
            for master in &masters {
                cluster.command(*master, &["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
        }
        number += 1;
        let id = healthy[number as usize % healthy.len()] * 100_000 + 1000 + number;
        let asked = Instant::now();
        writer.check(id);
        hear(&mut writer, id);
        hear(&mut reader, id);
        longest = longest.max(asked.elapsed());
    }
    println!("{number} checks, the slowest was heard of after {longest:?}");
    cluster.resume(away);
    cluster.resume(replica);
    // A feed that waits for the master that is away waits for all of the 30 s.
    assert!(longest < Duration::from_secs(10), "{longest:?}\n{}", counted(&nodes));
}

/// Waits until a player is told of a box.
fn hear(player: &mut Client, id: u32) {
    while !matches!(player.next(), Told::Update { id: told, .. } if told == id) {}
}

/// As many checks as three nodes take: whether anything is taken for a gap.
#[test]
#[ignore = "long: a node that gets no processor for a second hears messages late, and compares"]
fn load_alone_makes_no_gaps() {
    let cluster = Cluster::start();
    let setup = Setup::on(&cluster, BOARD, 10_000_000, 50);
    let nodes = [setup.start(), setup.start(), setup.start()];
    let answered: u64 = std::thread::scope(|scope| {
        let players = nodes.iter().zip(0..);
        let players: Vec<_> =
            players.map(|(node, seed)| scope.spawn(move || flood(node, seed))).collect();
        players.into_iter().map(|player| player.join().expect("it plays to its end")).sum()
    });
    println!("{answered} checks answered in 20 s");
    let resyncs =
        nodes.iter().map(|node| node.metric("billion_redis_resyncs_total{result=\"ok\"}"));
    assert_eq!(resyncs.sum::<f64>(), 0., "nothing was missed:\n{}", counted(&nodes));
}

/// Keeps 256 checks of random boxes under way for 20 s; how many were answered.
fn flood(node: &Server, seed: u64) -> u64 {
    let (mut player, mut random) = (node.client_v2(), StdRng::seed_from_u64(seed));
    let (mut answered, mut waits) = (0, BTreeSet::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        while waits.len() < 256 {
            let id = random.random_range(1..=10_000_000_u32);
            player.check(id);
            waits.insert(id);
        }
        match player.next() {
            Told::Update { id, .. } => answered += u64::from(waits.remove(&id)),
            other => panic!("{other:?}"),
        }
    }
    answered
}
