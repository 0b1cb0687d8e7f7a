//! The older server's board is taken over: whole, while it goes on, and whatever else lies beside it.
//!
//! Its keys are not named after a board, so these tests have a cluster of their own, one at a time.

use std::{
    process::{Child, ExitStatus},
    sync::{LazyLock, MutexGuard, PoisonError},
};

use xtask::redis::{Connection, Reply};

use super::*;
use crate::harness::{BILLION, cluster::Cluster, long};

/// Ids in one command, and commands sent before their replies are read.
const PIECE: usize = 500;
const AHEAD: usize = 50;

/// The cluster that the older server has its board in.
struct Go(MutexGuard<'static, Cluster>);

impl Go {
    /// Without any board.
    fn new() -> Self {
        static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(Cluster::start()));
        // A test that failed leaves nothing behind that matters.
        let go = Self(CLUSTER.lock().unwrap_or_else(PoisonError::into_inner));
        for key in (0..10).map(set).chain(["checks_count".to_owned()]) {
            go.0.command_on(&key, &["UNLINK", &key]);
        }
        go
    }

    /// Checks boxes as the older server does, but many at a time.
    fn check(&self, ids: &BTreeSet<u32>) {
        for number in 0..10 {
            let ids = ids.range(number * 100_000_000 + 1..=(number + 1) * 100_000_000);
            let ids: Vec<String> = ids.map(ToString::to_string).collect();
            self.add(number, ids.iter().map(|id| (id.as_str(), id.as_str())));
        }
        let by = ids.len().to_string();
        self.0.command_on("checks_count", &["INCRBY", "checks_count", &by]);
    }

    /// Adds scores and members to one of its sets.
    fn add<'m>(&self, number: u32, members: impl Iterator<Item = (&'m str, &'m str)>) {
        let (key, mut connection) = self.at(number);
        let mut words: Vec<&str> = members.flat_map(|(score, member)| [score, member]).collect();
        let mut waiting = 0;
        while !words.is_empty() || waiting > 0 {
            if !words.is_empty() && waiting < AHEAD {
                let rest = words.split_off(words.len().min(2 * PIECE));
                connection.send(&[&["ZADD", &key], &words[..]].concat()).expect("it is taken");
                (words, waiting) = (rest, waiting + 1);
            } else {
                connection.receive().and_then(Reply::integer).expect("a count");
                waiting -= 1;
            }
        }
    }

    /// One of its sets, and a connection to where it is.
    fn at(&self, number: u32) -> (String, Connection) {
        let key = set(number);
        let connection = self.0.connect(self.0.master_of(&key));
        (key, connection)
    }

    /// A new board's settings in the same cluster.
    fn beside(&self, name: &str) -> Setup {
        Setup::on(&self.0, name, BILLION, 50)
    }

    /// For `--source`.
    fn source(&self) -> String {
        let addresses = self.0.addresses();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Everything in its sets, and its counter.
    fn content(&self) -> Vec<Reply> {
        let content =
            |key: String| self.0.command_on(&key, &["ZRANGE", &key, "0", "-1", "WITHSCORES"]);
        let counter = self.0.command_on("checks_count", &["GET", "checks_count"]);
        (0..10).map(set).map(content).chain([counter]).collect()
    }

    /// Ids of all boxes of a new board.
    fn stored(&self, name: &str) -> Vec<u32> {
        let stored = self.0.read_board(name);
        assert_eq!(stored.counted(), stored.checked.len() as u64);
        stored.checked
    }
}

fn set(number: u32) -> String {
    format!("checks_{number}")
}

fn any_ids(random: &mut StdRng, count: usize) -> BTreeSet<u32> {
    (0..count).map(|_| random.random_range(1..=BILLION)).collect()
}

/// A board of a million boxes, as people leave it: most of them side by side.
fn million(random: &mut StdRng) -> BTreeSet<u32> {
    let mut ids = any_ids(random, 100_000);
    ids.extend([1, 100_000_000, 100_000_001, BILLION]);
    while ids.len() < 1_000_000 {
        let first = random.random_range(1..=BILLION - 30_000);
        ids.extend(first..first + random.random_range(1..30_000));
    }
    ids
}

fn list(ids: &BTreeSet<u32>) -> Vec<u32> {
    ids.iter().copied().collect()
}

#[test]
fn a_million_boxes_are_taken_over_while_the_older_server_goes_on() {
    let seed = seed("a_million_boxes_are_taken_over_while_the_older_server_goes_on");
    let mut random = StdRng::seed_from_u64(seed);
    let go = Go::new();
    let before = million(&mut random);
    go.check(&before);
    let setup = go.beside("taken-over");
    let stopped = AtomicBool::new(false);
    let (during, said) = std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut ids = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                let more = any_ids(&mut random, 20);
                go.check(&more);
                ids.extend(more);
            }
            ids
        });
        let ending = Ending(&stopped);
        let said = done(&setup, &["import", "--from-go"]).said;
        drop(ending);
        (serving.join().expect("it serves"), said)
    });
    assert!(said.contains("verified: all of the "), "{said}");
    let all = &before | &during;
    assert!(!during.is_empty() && all.len() > before.len());
    let first: BTreeSet<u32> = go.stored("taken-over").into_iter().collect();
    assert!(
        before.is_subset(&first),
        "{:?}",
        before.difference(&first).take(9).collect::<Vec<_>>()
    );
    assert!(first.is_subset(&all), "{:?}", first.difference(&all).take(9).collect::<Vec<_>>());
    // It has stopped: the second run catches up, and a third one has nothing to do.
    for new in [all.len() - first.len(), 0] {
        let said = done(&setup, &["import", "--from-go"]).said;
        assert!(said.contains(&format!("{} boxes, {new} of them new", all.len())), "{said}");
    }
    assert!(go.stored("taken-over") == list(&all));
}

#[test]
fn only_members_are_believed_and_the_source_stays_as_it_is() {
    let go = Go::new();
    let mut ids = BTreeSet::from([1, 2, 100_000_000, 100_000_001, 999_999_999, BILLION]);
    go.check(&ids);
    // More of one score than fit into a page, and scores in reverse.
    let equal: Vec<String> = (300_000_001..=300_025_000).map(|id| id.to_string()).collect();
    go.add(3, equal.iter().map(|id| ("7", id.as_str())));
    ids.extend(300_000_001..=300_025_000);
    go.add(
        4,
        [("400000009", "400000001"), ("-inf", "400000002"), ("1e300", "400000003")].into_iter(),
    );
    ids.extend(400_000_001..=400_000_003);
    // No boxes: nothing, too much, no number, another set's, and one that is not text.
    go.add(0, [("1", "0"), ("2", "abc"), ("3", "01"), ("5", "500000005")].into_iter());
    go.add(9, [("1", "1000000001")].into_iter());
    let (key, mut connection) = go.at(5);
    let words: [&[u8]; 4] = [b"ZADD", key.as_bytes(), b"5", b"\xFF\n"];
    connection.call(&words).expect("it is taken");
    go.0.command_on("checks_count", &["SET", "checks_count", "25004"]);
    let content = go.content();

    // Into the store of a stopped server, which knows of no Redis.
    let setup = Setup::new(BILLION, 50);
    let said = done(&setup, &["import", "--from-go", "--source", &go.source()]).said;
    for words in [
        "read 25,015 members",
        "6 of them are no box of their set",
        "abc",
        "1000000001",
        r"\xff\n",
        "checks_count says 25,004, 5 fewer than there are",
        "25009 boxes, 25009 of them new",
        "verified: all of the 25,009 boxes are there",
    ] {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    assert!(go.content() == content, "the source was written to");
    let backups = Folder::new();
    let copied = |name: &str| {
        let path = backups.file(name);
        done(&setup, &["export", text(&path)]);
        file::checked(&std::fs::read(path).expect("a copy"))
    };
    assert!(copied("stopped.bxb") == ids);

    // Into that server while it runs: its players see the boxes appear.
    let server = setup.start();
    let mut player = server.client();
    for (number, id) in [(6, 600_000_006), (7, 700_000_007)] {
        go.check(&BTreeSet::from([id]));
        ids.insert(id);
        let url = admin(&server);
        let source = go.source();
        let arguments = ["import", "--from-go", "--source", &source, "--to", &url];
        let said = done(&setup, &arguments).said;
        assert!(said.contains("1 of them new") && said.contains("verified"), "{number}: {said}");
        assert_eq!(told(&mut player, 1), BTreeSet::from([id]));
    }
    stop(server);
    assert!(copied("running.bxb") == ids);
}

#[test]
fn what_stays_is_read_while_other_members_come_and_go() {
    let go = Go::new();
    let ids: BTreeSet<u32> = (1..=400_000).map(|n| n * 200).collect();
    go.check(&ids);
    let (stopped, setup) = (AtomicBool::new(false), go.beside("come-and-go"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Below the first page's end: everything behind moves by a thousand places and back.
            let (key, mut connection) = go.at(0);
            let others: Vec<String> = (1..=1000).map(|n| (n * 200 + 1).to_string()).collect();
            let pairs = others.iter().flat_map(|id| [id.as_str(), id.as_str()]);
            let add: Vec<&str> = ["ZADD", &key].into_iter().chain(pairs).collect();
            let remove: Vec<&str> =
                ["ZREM", &key].into_iter().chain(others.iter().map(String::as_str)).collect();
            while !stopped.load(Ordering::Relaxed) {
                for words in [&add, &remove] {
                    connection.call(words).and_then(Reply::integer).expect("a count");
                }
            }
        });
        let _ending = Ending(&stopped);
        done(&setup, &["import", "--from-go"]);
    });
    let stored: BTreeSet<u32> = go.stored("come-and-go").into_iter().collect();
    assert!(ids.is_subset(&stored), "{} are missing", ids.difference(&stored).count());
}

#[test]
fn an_import_that_was_killed_is_done_again() {
    let go = Go::new();
    let mut random = StdRng::seed_from_u64(seed("an_import_that_was_killed_is_done_again"));
    let ids = any_ids(&mut random, if long() { 1_000_000 } else { 100_000 });
    go.check(&ids);
    let setup = go.beside("killed");
    let record = "billion:{killed}:board";
    let key = "billion:{killed:0}:state";
    let begun = || go.0.command_on(record, &["EXISTS", record]) == Reply::Integer(1);
    let merged = || {
        let count = go.0.command_on(key, &["HGET", key, "count"]);
        count.integer().is_ok_and(|count| count > 0)
    };
    // While it reads; when the board has just been made; when the first key range is merged.
    let kill = |what: &str, mut ready: Box<dyn FnMut() -> bool + '_>| {
        let mut import: Child = setup.spawn(&["import", "--from-go"]);
        eventually(what, || {
            assert!(import.try_wait().expect("asked").is_none(), "too fast to be killed: {what}");
            ready().then_some(())
        });
        import.kill().expect("it can be killed");
        let status: ExitStatus = import.wait().expect("it ends");
        assert_eq!(status.code(), None, "{what}");
    };
    kill("a beginning", Box::new(|| true));
    assert!(!begun());
    kill("a board", Box::new(begun));
    kill("a key range", Box::new(merged));
    let there = go.stored("killed");
    assert!(there.iter().all(|id| ids.contains(id)));
    let said = done(&setup, &["import", "--from-go"]).said;
    let counted = format!("{} boxes, {} of them new", ids.len(), ids.len() - there.len());
    assert!(said.contains(&counted), "{counted}: {said}");
    assert!(go.stored("killed") == list(&ids));
}

#[test]
fn what_is_no_board_of_the_older_server_is_refused() {
    let go = Go::new();
    let setup = go.beside("refused");
    let refusal = |setup: &Setup, arguments: &[&str], code| {
        let ran = setup.run(&[&["import", "--from-go"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{}", ran.said);
        ran.said
    };
    assert!(refusal(&setup, &[], 1).contains("no board of an older server is there"));
    go.0.command_on("checks_3", &["SET", "checks_3", "7"]);
    let said = refusal(&setup, &[], 1);
    assert!(said.contains("checks_3 is no sorted set"), "{said}");
    let said = refusal(&Setup::on(&go.0, "refused", BOXES, 5), &[], 1);
    assert!(said.contains("1000000000") && said.contains("2550003"), "{said}");
    let bare = Setup::new(BILLION, 50);
    let said = refusal(&bare, &[], 2);
    assert!(said.contains("--source"), "{said}");
    let said = refusal(&bare, &["--source", "redis://u:s3cret@h/7"], 2);
    assert!(said.contains("--source: ") && !said.contains("s3cret"), "{said}");
    assert!(!said.contains("--source: --source"), "{said}");
    let said = refusal(&bare, &["--source", "rediss://h:1,h:2"], 2);
    assert!(
        said.contains("--source: rediss:// for all of them") && !said.contains("redis."),
        "{said}"
    );
    refusal(&bare, &["board.bxb"], 2);
    // A flag that would do nothing.
    let ran = bare.run(&["import", "--source", "127.0.0.1:1", "board.bxb"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    assert!(ran.said.contains("--from-go"), "{}", ran.said);
    // Nobody there: soon, and the flag is to blame.
    let said = refusal(&bare, &["--source", "127.0.0.1:1"], 1);
    assert!(said.contains("at 127.0.0.1:1 (--source) in time"), "{said}");
    assert!(!said.contains("redis.addresses"), "{said}");
    assert_eq!(bare.run(&["import"]).code, Some(2));
    let record = "billion:{refused}:board";
    assert_eq!(go.0.command_on(record, &["EXISTS", record]), Reply::Integer(0));
}
