//! The books of people, kept by `swarm people`: who is credited with which box, and who heard what, while servers die.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Stdio},
};

use serde_json::Value;
use xtask::mariadb::MariaDb;

use super::cookies::KeysFile;
use crate::harness::{
    cluster::Cluster,
    eventually, long, seed,
    server::{Server, Setup},
    swarm,
};

/// Room for 666 checks of each of 1,000 players, ten times as many as they make.
const BOXES: u32 = 1_000_000;

/// How many play, and for how long: a little, or as the manual has it.
fn size() -> impl Iterator<Item = &'static str> {
    let words = if long() {
        "--players 1000 --accounts 50 --teams 10 --rate 1000 --messages 50 --churn 10 --seconds 60 --patience 90"
    } else {
        "--players 200 --accounts 10 --teams 5 --rate 400 --messages 30 --churn 10 --seconds 8 --patience 60"
    };
    words.split(' ')
}

/// Players under way.
struct Swarm(Child);

impl Swarm {
    /// Lets them play on the servers of a board, and waits until they do.
    fn start(servers: &[SocketAddr], keys: &KeysFile, seed: u64) -> Self {
        let mut command = swarm::command();
        command.args(["people", "--boxes", &BOXES.to_string(), "--json", "-"]);
        command.args(["--seed", &seed.to_string()]).args(size());
        command.arg("--keys-file").arg(&keys.0);
        for (address, option) in
            servers.iter().zip(["--url"].into_iter().chain(std::iter::repeat("--also")))
        {
            command.args([option, &format!("ws://{address}")]);
        }
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("swarm");
        let said = BufReader::new(child.stderr.as_mut().expect("piped"));
        let mut before = String::new();
        for line in said.lines() {
            let line = line.expect("text");
            if line.contains("swarm people: playing") {
                return Self(child);
            }
            before = before + &line + "\n";
        }
        panic!("{:?}: {before}", child.wait());
    }

    /// Their figures, once the books balance.
    fn figures(mut self) -> Value {
        let (mut printed, mut said) = (String::new(), String::new());
        self.0.stdout.take().expect("piped").read_to_string(&mut printed).expect("text");
        self.0.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        let status = self.0.wait().expect("it ends");
        println!("{said}");
        assert!(status.success(), "{said}");
        let report: Value = serde_json::from_str(&printed).expect("JSON");
        report["figures"].clone()
    }
}

fn until_checked(server: &Server, boxes: u32) {
    eventually("boxes to be checked", || (server.client().greeted >= boxes).then_some(()));
}

fn keys(folder: &std::path::Path) -> KeysFile {
    let file = KeysFile(folder.join("keys"));
    file.write(&[&"5a".repeat(32)]);
    file
}

fn unlimited(setup: Setup, keys: &KeysFile) -> Setup {
    setup
        .with("PEOPLE__KEYS_FILE", keys.0.display())
        .with("PEOPLE__MESSAGES", "off")
        .with("LIMITS__ADDRESS", "off")
}

fn number(figures: &Value, name: &str) -> u64 {
    figures[name].as_u64().unwrap_or_else(|| panic!("{name} in {figures}"))
}

#[test]
fn the_books_balance_over_a_kill_of_the_only_node() {
    let seed = seed("the_books_balance_over_a_kill_of_the_only_node");
    let setup = Setup::new(BOXES, 4);
    let keys = keys(setup.folder());
    let setup = unlimited(setup, &keys);
    let mut server = setup.start();
    let address = server.address;
    let swarm = Swarm::start(&[address], &keys, seed);
    until_checked(&server, 500);
    server.kill();
    let server = setup.with("SERVER__ADDRESS", address).start();
    until_checked(&server, 1500);
    let figures = swarm.figures();
    println!("{figures:#}");
    // Messages of one node are kept in its RAM: their order begins again.
    assert!(number(&figures, "messages_heard") > number(&figures, "messages_sent"));
    assert!(number(&figures, "connections") >= 400, "everybody had to come back");
    assert_eq!(number(&figures, "lagging_said"), 0);
}

#[test]
fn the_books_balance_over_kills_of_a_node_and_of_a_master() {
    let seed = seed("the_books_balance_over_kills_of_a_node_and_of_a_master");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mariadb = MariaDb::start(folder.path()).expect("MariaDB starts");
    mariadb.create("people").expect("room");
    let cluster = Cluster::start();
    let keys = keys(folder.path());
    let setup = || {
        let setup = unlimited(Setup::on(&cluster, "books", BOXES, 12), &keys);
        setup.with("DATABASE__URL", mariadb.url("people")).with("REDIS__WAIT_REPLICAS", 1)
    };
    let mut nodes: Vec<_> = (0..3).map(|_| setup().start()).collect();
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let swarm = Swarm::start(&addresses, &keys, seed);
    until_checked(&nodes[0], 500);
    nodes[1].kill();
    until_checked(&nodes[0], 1000);
    nodes[1] = setup().with("SERVER__ADDRESS", addresses[1]).start();
    let master = cluster.master_of_slot(0);
    cluster.kill(master);
    cluster.wait_for_failover(master);
    cluster.restart(master);
    let figures = swarm.figures();
    println!("{figures:#}");
    assert!(number(&figures, "messages_heard") > number(&figures, "messages_sent"));
    assert_eq!(number(&figures, "lagging_said"), 0);
}
