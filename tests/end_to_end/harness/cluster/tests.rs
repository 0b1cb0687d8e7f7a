//! That the harness does what it says: faults happen, and nothing is left behind.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use super::{super::server::Setup, wires::Wires, *};

/// A key, and what it is asked to be.
const KEY: &str = "billion:{tests:0}:bits";

/// 2.5 MB: a shard of a billion boxes in fifty.
const SHARD_BYTES: usize = 2_500_000;

#[test]
fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    let cluster = Cluster::start();
    let master = cluster.master_of(KEY);
    assert_eq!(cluster.command_on(KEY, &["SET", KEY, "kept"]), Reply::Status("OK".into()));
    cluster.wait_until_replicated();
    cluster.kill(master);
    let (heir, took) = cluster.wait_for_failover(master);
    println!("failover took {took:?}");
    assert_ne!(heir, master);
    assert_eq!(cluster.master_of(KEY), heir);
    assert_eq!(cluster.command_on(KEY, &["GET", KEY]), Reply::Bytes(b"kept".to_vec()));
    cluster.restart(master);
    cluster.wait_until_whole();
    assert!(!cluster.is_master(master), "it follows its heir");
    assert_eq!(cluster.replicas_of(heir), [master]);
}

#[test]
fn a_paused_master_is_replaced_and_comes_back_as_a_replica() {
    let cluster = Cluster::start();
    let master = cluster.master_of(KEY);
    cluster.pause(master);
    let (heir, _) = cluster.wait_for_failover(master);
    cluster.resume(master);
    cluster.wait_until_whole();
    assert_eq!(cluster.replicas_of(heir), [master]);
}

#[test]
fn all_down_and_up_again_keeps_what_was_written() {
    let cluster = Cluster::start();
    cluster.command_on(KEY, &["SET", KEY, "kept"]);
    cluster.kill_all();
    assert!(cluster.nodes().iter().all(|node| node.connect(PATIENCE).is_err()));
    cluster.restart_all();
    assert_eq!(cluster.command_on(KEY, &["GET", KEY]), Reply::Bytes(b"kept".to_vec()));
}

#[test]
fn a_slot_moves_with_its_key_while_that_is_written_to() {
    let cluster = shared();
    let (from, slot) = (cluster.master_of(KEY), slot_of(KEY));
    let to =
        (0..6).find(|&index| index != from && cluster.is_master(index)).expect("three masters");
    let last = (SHARD_BYTES * 8 - 1).to_string();
    cluster.command_on(KEY, &["SETBIT", KEY, &last, "1"]);
    let done = AtomicBool::new(false);
    let (before, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Relaxed) {
                let offset = written.to_string();
                let old = cluster.command_on(KEY, &["SETBIT", KEY, &offset, "1"]);
                assert_eq!(old, Reply::Integer(0));
                written += 1;
            }
            written
        });
        let written = || cluster.command_on(KEY, &["BITCOUNT", KEY]).integer().expect("a count");
        let before = eventually("a few writes", || Some(written()).filter(|count| *count > 10));
        cluster.migrate_slot(slot, from, to);
        cluster.wait_until_ok();
        let after = written();
        eventually("a few more", || Some(written()).filter(|count| *count > after + 10));
        done.store(true, Relaxed);
        (before, writer.join().expect("no write is refused or lost"))
    });
    assert!(written > before);
    assert_eq!(cluster.master_of(KEY), to);
    let counted = cluster.command_on(KEY, &["BITCOUNT", KEY]);
    assert_eq!(counted, Reply::Integer(written + 1), "every write and the last bit");
    let keys = cluster.command(from, &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
    assert_eq!(keys, Reply::Integer(0));
}

#[test]
fn killed_subscribers_are_counted() {
    let cluster = Cluster::start();
    let master = cluster.master_of("updates");
    let mut subscribers = [(); 3].map(|()| cluster.connect(master));
    for subscriber in &mut subscribers {
        let reply = subscriber.call(&["SSUBSCRIBE", "updates"]).and_then(Reply::array);
        assert_eq!(reply.expect("subscribed").len(), 3);
    }
    let mut bystander = cluster.connect(master);
    assert_eq!(cluster.kill_subscribers(), 3);
    assert_eq!(cluster.kill_subscribers(), 0);
    assert!(subscribers.iter_mut().all(|subscriber| subscriber.receive().is_err()));
    assert!(bystander.call(&["PING"]).is_ok(), "only subscribers were meant");
}

#[test]
fn a_node_with_wires_of_its_own_is_cut_off_alone() {
    let cluster = shared();
    let wires = Wires::to(cluster);
    let setup = Setup::on(cluster, "wires", 1000, 1).through(&wires);
    let remap = setup.variable("REDIS_ADDRESSES_REMAP").expect("it is set");
    let lines: Vec<SocketAddr> = remap
        .split(',')
        .zip(cluster.addresses())
        .map(|(pair, announced)| {
            let (from, to) = pair.split_once('|').expect("a pair");
            assert_eq!(from, announced.to_string());
            to.parse().expect("an address")
        })
        .collect();
    assert_eq!(lines.len(), 6);
    let seeds = setup.variable("REDIS_ADDRESSES").expect("it is set");
    assert!(seeds.split(',').all(|seed| remap.contains(&format!("|{seed}"))), "{seeds}");

    let short = Duration::from_millis(300);
    let ask = |connection: &mut Connection| connection.call(&["PING"]);
    let mut connection = Connection::open(lines[0], short).expect("the line is there");
    ask(&mut connection).expect("an answer");
    wires.go_silent();
    assert!(ask(&mut connection).is_err());
    wires.mend();
    assert!(connection.receive().is_ok(), "the answer comes when the line is back");
    wires.cut();
    assert!(ask(&mut connection).is_err());
    let again = Connection::open(lines[5], short).and_then(|mut connection| ask(&mut connection));
    assert!(again.is_err(), "newcomers are cut, too");
    assert!(cluster.node(0).call(&["PING"]).is_ok(), "the others are not meant");
    wires.mend();
    wires.line(1).cut();
    for (index, line) in lines.into_iter().enumerate() {
        let answer = Connection::open(line, PATIENCE).and_then(|mut line| ask(&mut line));
        assert_eq!(answer.is_ok(), index != 1);
    }
}

#[test]
fn a_board_is_read_as_it_was_written() {
    let cluster = shared();
    // Three tiles in two shards: 200,000 boxes and 50,000.
    for (shard, count, offsets) in [(0, 3, &[0, 9, 199_999][..]), (1, 2, &[0, 49_999][..])] {
        let key = format!("billion:{{read-back:{shard}}}:bits");
        for offset in offsets {
            // Redis counts from the other end of each byte.
            let bit = (offset / 8 * 8 + 7 - offset % 8).to_string();
            cluster.command_on(&key, &["SETBIT", &key, &bit, "1"]);
        }
        let key = format!("billion:{{read-back:{shard}}}:state");
        let count = count.to_string();
        let state = ["HSET", &key, "count", &count, "boxes", "250000", "shards", "2"];
        cluster.command_on(&key, &state);
    }
    let stored = cluster.read_board("read-back");
    assert_eq!(stored.checked, [1, 10, 200_000, 200_001, 250_000]);
    assert_eq!(stored.counts, [3, 2]);
    assert_eq!(stored.counted(), 5);
}

#[test]
fn what_a_node_costs_is_told() {
    let cluster = Cluster::start();
    let before = cluster.cpu_seconds();
    let mut connection = cluster.connect(0);
    assert_eq!(cluster.info(0, "cluster_enabled"), "1");
    connection.call(&["EVAL", "for i = 1, 1e7 do end", "0"]).expect("Redis counts");
    eventually("the CPU time of counting", || (cluster.cpu_seconds() > before).then_some(()));
}

#[test]
fn nothing_is_left_of_a_dropped_cluster() {
    let cluster = Cluster::start();
    let folder = cluster.folder().to_owned();
    cluster.pause(5);
    cluster.kill(4);
    assert_eq!(processes_in(&folder).len(), 5);
    drop(cluster);
    assert_eq!(processes_in(&folder), BTreeSet::new());
    assert!(!folder.exists());
}

/// Runs in a process of its own, for the test below; alone it would only pass the time.
#[test]
#[ignore = "is a part of nothing_is_left_of_a_cluster_whose_test_is_killed, which runs it"]
fn a_cluster_to_be_left_alone() {
    let cluster = Cluster::start();
    cluster.pause(5);
    println!("cluster in {}", cluster.folder().display());
    thread::sleep(PATIENCE);
}

#[test]
fn nothing_is_left_of_a_cluster_whose_test_is_killed() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let mut test = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["a_cluster_to_be_left_alone", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a test can be run");
    let lines = BufReader::new(test.stdout.take().expect("stdout is piped")).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("cluster in ").map(|(_, folder)| PathBuf::from(folder)));
    let folder = folder.expect("a cluster was formed");
    assert_eq!(processes_in(&folder).len(), 6);
    test.kill().and_then(|()| test.wait()).expect("it is killed");
    eventually("the end of its processes", || processes_in(&folder).is_empty().then_some(()));
    eventually("the end of its folder", || (!folder.exists()).then_some(()));
}

/// Everything that works inside `folder`.
fn processes_in(folder: &Path) -> BTreeSet<i32> {
    let processes = procfs::process::all_processes().expect("Linux").filter_map(Result::ok);
    let inside = processes.filter(|process| {
        // One that ended meanwhile works nowhere.
        process.cwd().is_ok_and(|working| working.starts_with(folder))
    });
    inside.map(|process| process.pid).collect()
}
