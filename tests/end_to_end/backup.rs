//! Export, import and inspect, as an operator uses them: cold and hot, interrupted, with bad files.

pub mod file;
mod trouble;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    client::Told,
    eventually, free_address, seed,
    server::{Ran, Server, Setup},
};

/// Three shards, the last tile no whole byte.
const BOXES: u32 = 2_550_003;

fn setup() -> Setup {
    Setup::new(BOXES, 3)
}

/// A folder for backups.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("readable").file_name().to_string_lossy().into_owned()
    };
    entries.map(name).collect()
}

/// What is in the folder of a store but what belongs to people and operators.
fn of_board(folder: &Path) -> Vec<String> {
    let of_others = |name: &String| name.starts_with("billion.db") || name.ends_with(".kept.json");
    names(folder).into_iter().filter(|name| !of_others(name)).collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

/// Runs a command that has to succeed.
#[track_caller]
pub fn done(setup: &Setup, arguments: &[&str]) -> Ran {
    let ran = setup.run(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.said);
    ran
}

/// What `inspect --json` says of something sound.
#[track_caller]
pub fn inspect(setup: &Setup, arguments: &[&str]) -> Value {
    let ran = done(setup, &[&["inspect", "--json"], arguments].concat());
    let facts: Value = serde_json::from_slice(&ran.output).expect("JSON");
    assert_eq!(facts["sound"], true, "{facts}");
    facts
}

/// The URL of a server's admin listener.
pub fn admin(server: &Server) -> String {
    format!("http://{}", server.admin)
}

pub fn stop(mut server: Server) {
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

pub fn check_all(server: &Server, ids: impl IntoIterator<Item = u32>) {
    let mut client = server.client_v2();
    for id in ids {
        client.check(id);
        while !matches!(client.next(), Told::Update { .. }) {}
    }
}

/// All checked boxes, by range requests.
fn whole_board(server: &Server) -> BTreeSet<u32> {
    let mut client = server.client();
    let mut ids = BTreeSet::new();
    for first in (1..=BOXES).step_by(100_000) {
        ids.extend(client.range(first, (first + 99_999).min(BOXES), &mut vec![]));
    }
    assert_eq!(client.greeted as usize, ids.len(), "the total is the popcount");
    ids
}

#[test]
fn a_board_moves_to_a_fresh_folder_and_stays_the_same() {
    let (old, backups) = (setup(), Folder::new());
    let file = backups.file("board.bxb");
    let file = text(&file);
    let ids = BTreeSet::from([1, 8, 64, 100_000, 100_001, 500_000, 500_001, 1_700_000, BOXES]);
    let mut server = old.start();
    check_all(&server, ids.iter().copied());
    // Killed, so that the boxes are in the log and the file has to be repaired.
    server.kill();
    done(&old, &["export", file]);
    assert_eq!(backups.names(), ["board.bxb"]);
    let (store, copy) = (inspect(&old, &[]), inspect(&old, &[file]));
    for key in ["digest", "checked", "boxes", "board", "tiles_touched", "densest"] {
        assert_eq!(store[key], copy[key], "{key}");
    }
    assert_eq!(copy["checked"], ids.len());
    assert_eq!(
        inspect(&old, &[text(&old.store_path().join("main.redb"))])["digest"],
        copy["digest"]
    );

    let new = setup().with("SHARDS__COUNT", 7);
    let said = done(&new, &["import", file]).said;
    assert!(said.contains("9 boxes, 9 of them new"), "{said}");
    let said = done(&new, &["import", file]).said;
    assert!(said.contains("9 boxes, 0 of them new"), "{said}");
    assert_eq!(inspect(&new, &[])["digest"], copy["digest"]);
    let server = new.start();
    assert_eq!(whole_board(&server), ids);
    stop(server);
    let human = String::from_utf8(done(&new, &["inspect"]).output).expect("text");
    assert!(human.contains("9 boxes (0.0 %)") && human.contains("sha256:"), "{human}");
}

#[test]
fn importing_only_ever_adds() {
    let (setup, backups) = (setup(), Folder::new());
    let file = backups.file("board.bxb");
    let server = setup.start();
    check_all(&server, [5, 200_000]);
    stop(server);
    done(&setup, &["export", text(&file)]);
    let server = setup.start();
    check_all(&server, [6, 1_000_000]);
    stop(server);
    let said = done(&setup, &["import", text(&file)]).said;
    assert!(said.contains("2 boxes, 0 of them new"), "{said}");
    assert_eq!(whole_board(&setup.start()), BTreeSet::from([5, 6, 200_000, 1_000_000]));
}

#[test]
fn pipes_are_files_too() {
    let (old, new) = (setup(), setup());
    let server = old.start();
    check_all(&server, [3, 33, 333_333]);
    stop(server);
    let exported = done(&old, &["export", "-"]).output;
    let imported = new.run_with(&["import", "-"], &exported);
    assert_eq!(imported.code, Some(0), "{}", imported.said);
    assert_eq!(inspect(&new, &[])["digest"], inspect(&old, &[])["digest"]);
    let inspected = old.run_with(&["inspect", "--json", "-"], &exported);
    assert_eq!(inspected.code, Some(0), "{}", inspected.said);
}

#[test]
fn a_running_server_is_exported_with_everything_acknowledged_before() {
    let seed = seed("a_running_server_is_exported_with_everything_acknowledged_before");
    // Where the command looks for the server by itself.
    let address = free_address().to_string();
    let (setup, backups) = (setup().with("ADMIN__ADDRESS", &address), Folder::new());
    let server = setup.start();
    let (sent, acknowledged) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let stopped = AtomicBool::new(false);
    let play = |seed| {
        let (mut client, mut random) = (server.client_v2(), StdRng::seed_from_u64(seed));
        let mut outstanding = 0;
        while !stopped.load(Ordering::Relaxed) {
            while outstanding < 64 {
                let id = random.random_range(1..=BOXES);
                sent.lock().expect("unpoisoned").insert(id);
                client.check(id);
                outstanding += 1;
            }
            if let Told::Update { id, .. } = client.next() {
                acknowledged.lock().expect("unpoisoned").insert(id);
                outstanding -= 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for player in 0..3 {
            let play = &play;
            scope.spawn(move || play(seed + player));
        }
        for round in 0..4 {
            let least = 1000 * (round + 1);
            eventually("some play", || {
                (acknowledged.lock().expect("unpoisoned").len() > least).then_some(())
            });
            let before = acknowledged.lock().expect("unpoisoned").clone();
            let file = backups.file(&format!("{round}.bxb"));
            let url = admin(&server);
            let arguments = ["export", text(&file), "--from", &url];
            let ran = setup.run(&arguments[..if round % 2 == 0 { 2 } else { 4 }]);
            let after = sent.lock().expect("unpoisoned").clone();
            if ran.code != Some(0) {
                stopped.store(true, Ordering::Relaxed);
                panic!("{}", ran.said);
            }
            let found = file::checked(&std::fs::read(&file).expect("a file"));
            stopped.store(round == 3, Ordering::Relaxed);
            assert!(before.is_subset(&found), "acknowledged before and not in the backup");
            assert!(found.is_subset(&after), "in the backup and never sent");
            assert!(before.len() > least, "the load was real");
        }
    });
    stop(server);
}

#[test]
fn a_running_server_is_restored_before_its_players_eyes() {
    let (old, new, backups) = (setup(), setup(), Folder::new());
    let file = backups.file("board.bxb");
    let ids = BTreeSet::from([2, 77, 100_001, 1_000_000, BOXES]);
    let server = old.start();
    check_all(&server, ids.iter().copied());
    stop(server);
    done(&old, &["export", text(&file)]);

    let mut server = new.start();
    let (mut plain, mut scoped) = (server.client(), server.client_v2());
    // Before the check: who looks after it may be told of it in the answer and once more.
    assert!(scoped.range(1, 1000, &mut vec![]).is_empty());
    check_all(&server, [77]);
    assert_eq!(plain.next(), Told::Update { total: 1, id: 77 });
    assert_eq!(scoped.next(), Told::Update { total: 1, id: 77 });
    let url = admin(&server);
    let said = done(&new, &["import", text(&file), "--to", &url]).said;
    assert!(said.contains("5 boxes, 4 of them new"), "{said}");
    let mut told = BTreeSet::from([77]);
    for total in 2..=5 {
        match plain.next() {
            Told::Update { total: numbered, id } if numbered == total => told.insert(id),
            other => panic!("unexpected: {other:?}"),
        };
    }
    assert_eq!(told, ids, "every box that was new, once");
    assert!(matches!(scoped.next(), Told::Update { id: 2, .. }), "the one in view");
    let said = done(&new, &["import", text(&file), "--to", &url]).said;
    assert!(said.contains("5 boxes, 0 of them new"), "{said}");
    assert_eq!(plain.next_within(Duration::from_millis(100)), None, "nothing twice");
    assert_eq!(inspect(&new, &["--from", &url])["digest"], inspect(&new, &[text(&file)])["digest"]);
    // What players have been shown is durable.
    server.kill();
    assert_eq!(whole_board(&new.start()), ids);
}

#[test]
fn a_restore_while_playing_is_paced_and_complete() {
    let (setup, backups) = (Setup::new(BOXES, 3), Folder::new());
    let path = backups.file("board.bxb");
    let ids: BTreeSet<u32> = (0..30_000).map(|n| n * 83 + 1).collect();
    std::fs::write(&path, file::written(BOXES, "main", &ids)).expect("room");
    let server = setup.start();
    let mut plain = server.client();
    let url = admin(&server);
    let mut import = setup.spawn(&["import", text(&path), "--to", &url, "--rate", "20000"]);
    let began = std::time::Instant::now();
    let mut told = BTreeSet::new();
    let mut asked = false;
    while told.len() < ids.len() {
        match plain.next() {
            Told::Update { total, id } => {
                assert!(told.insert(id), "{id} was told twice");
                assert_eq!(total as usize, told.len());
                if told.len() > 5_000 && !asked {
                    // A player in the middle of it, who is answered long before it ends.
                    plain.check(2_500_001);
                    asked = true;
                }
                if id == 2_500_001 {
                    assert!(told.len() < 15_000, "answered after {} boxes", told.len());
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(began.elapsed() > Duration::from_secs(1), "30,000 at 20,000 a second");
    assert_eq!(import.wait().expect("it ends").code(), Some(0));
    let mut expected = ids;
    expected.insert(2_500_001);
    assert_eq!(whole_board(&server), expected);
}

#[test]
fn the_store_itself_is_not_replaced_by_its_backup() {
    let setup = setup();
    let store = setup.store_path().join("main.redb");
    for exists in [false, true] {
        if exists {
            let mut server = setup.start();
            server.signal("-TERM");
            server.wait();
        }
        let before = std::fs::read(&store).ok();
        let ran = setup.run(&["export", text(&store), "--force"]);
        assert_eq!(ran.code, Some(2), "{}", ran.said);
        assert!(ran.said.contains("main.redb is the store itself"), "{}", ran.said);
        assert_eq!(std::fs::read(&store).ok(), before);
    }
}
