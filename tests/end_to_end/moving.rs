//! Moving a board into a Redis Cluster and out of it, while nodes serve it or not, and beginning anew.

mod go;
mod reset;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    backup::{Folder, admin, check_all, done, file, inspect, stop, text},
    harness::{
        client::{Client, Told},
        cluster, eventually, seed,
        server::Setup,
    },
};

/// 26 tiles, the last no whole byte.
const BOXES: u32 = 2_550_003;

/// A board in the cluster that all tests share.
fn on(name: &str) -> Setup {
    Setup::on(cluster::shared(), name, BOXES, 5)
}

/// Tells a thread beside the test to end, also when the test fails.
struct Ending<'s>(&'s AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn random_ids(random: &mut StdRng, count: usize) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    while ids.len() < count {
        ids.insert(random.random_range(1..=BOXES));
    }
    ids
}

/// Ids of all boxes that Redis has, and the counts have to agree.
fn stored(name: &str) -> BTreeSet<u32> {
    let stored = cluster::shared().read_board(name);
    assert_eq!(stored.counted(), stored.checked.len() as u64);
    stored.checked.into_iter().collect()
}

/// Reads what a client is told until it was told `count` boxes.
fn told(client: &mut Client, count: usize) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    while ids.len() < count {
        match client.next() {
            Told::Update { id, .. } => assert!(ids.insert(id), "{id} was told twice"),
            other => panic!("unexpected: {other:?}"),
        }
    }
    ids
}

#[test]
fn a_board_moves_into_a_cluster_and_back_and_stays_the_same() {
    let seed = seed("a_board_moves_into_a_cluster_and_back_and_stays_the_same");
    let mut random = StdRng::seed_from_u64(seed);
    let (old, shared, new) = (Setup::new(BOXES, 3), on("round-trip"), Setup::new(BOXES, 7));
    let (old, new) = (old.with("BOARD__NAME", "round-trip"), new.with("BOARD__NAME", "round-trip"));
    let backups = Folder::new();
    let (first, second) = (backups.file("first.bxb"), backups.file("second.bxb"));
    let mut ids = random_ids(&mut random, 5_000);
    // A key range in which far more boxes are checked, and the ends of all things.
    ids.extend(600_001..=900_000);
    ids.extend([1, 8, 64, 100_000, 100_001, 600_000, 1_200_001, BOXES - 1, BOXES]);
    let source = backups.file("source.bxb");
    std::fs::write(&source, file::written(BOXES, "round-trip", &ids)).expect("room");
    done(&old, &["import", text(&source)]);

    done(&old, &["export", text(&first)]);
    let said = done(&shared, &["import", text(&first)]).said;
    assert!(said.contains(&format!("{0} boxes, {0} of them new", ids.len())), "{said}");
    assert_eq!(stored("round-trip"), ids);
    let said = done(&shared, &["import", text(&first)]).said;
    assert!(said.contains(&format!("{} boxes, 0 of them new", ids.len())), "{said}");

    done(&shared, &["export", text(&second)]);
    done(&new, &["import", text(&second)]);
    let facts = inspect(&shared, &[]);
    for copy in [inspect(&old, &[]), inspect(&new, &[]), inspect(&old, &[text(&second)])] {
        for key in ["digest", "checked", "boxes", "board", "tiles_touched", "densest"] {
            assert_eq!(facts[key], copy[key], "{key}");
        }
    }
    assert_eq!((&facts["shards"], &facts["epoch"]), (&5.into(), &1.into()));
    let human = String::from_utf8(done(&shared, &["inspect"]).output).expect("text");
    assert!(human.contains("the Redis Cluster at 127.0.0.1:"), "{human}");
    assert!(human.contains("counts     all right"), "{human}");
}

#[test]
fn importing_into_a_cluster_only_ever_adds() {
    let (shared, backups) = (on("only-adds"), Folder::new());
    let path = backups.file("board.bxb");
    for (ids, new) in [(vec![5, 6, 700_000], 3), (vec![6, 7, BOXES], 2)] {
        let written = file::written(BOXES, "only-adds", &BTreeSet::from_iter(ids));
        std::fs::write(&path, written).expect("room");
        let said = done(&shared, &["import", text(&path)]).said;
        assert!(said.contains(&format!("3 boxes, {new} of them new")), "{said}");
    }
    assert_eq!(stored("only-adds"), BTreeSet::from([5, 6, 7, 700_000, BOXES]));
}

#[test]
fn a_board_that_is_not_there_is_not_made_by_looking_for_it() {
    let (setup, backups) = (on("nowhere"), Folder::new());
    let path = backups.file("board.bxb");
    for arguments in [&["export", text(&path)][..], &["inspect"], &["reset", "--yes"]] {
        let ran = setup.run(arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        assert!(ran.said.contains("there is no board 'nowhere' (board.name) in"), "{}", ran.said);
    }
    assert!(!path.exists());
    let cluster = cluster::shared();
    for key in ["billion:{nowhere}:board", "billion:{nowhere:0}:state", "billion:{nowhere:0}:bits"]
    {
        let there = cluster.command_on(key, &["EXISTS", key]).integer().expect("a number");
        assert_eq!(there, 0, "{key}");
    }
}

#[test]
fn another_size_or_name_is_refused_with_both() {
    let (shared, backups) = (on("sized"), Folder::new());
    let path = backups.file("board.bxb");
    let ids = BTreeSet::from([1, 2, 3]);
    std::fs::write(&path, file::written(BOXES, "sized", &ids)).expect("room");
    done(&shared, &["import", text(&path)]);
    // Settings of another size, against the board and against the file.
    let other = Setup::on(cluster::shared(), "sized", 1_000_000, 5);
    for arguments in
        [&["import", text(&path)][..], &["export", "-"], &["inspect"], &["reset", "--yes"]]
    {
        let ran = other.run(arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        let both = ran.said.contains("2550003") && ran.said.contains("1000000");
        assert!(both && ran.said.contains("board.boxes"), "{}", ran.said);
    }
    std::fs::write(&path, file::written(1_000_000, "sized", &ids)).expect("room");
    let ran = other.run(&["import", text(&path)]);
    assert_eq!(ran.code, Some(1), "the board has another size: {}", ran.said);
    std::fs::write(&path, file::written(BOXES, "else", &BTreeSet::from([9]))).expect("room");
    let ran = shared.run(&["import", text(&path)]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.contains("'else'") && ran.said.contains("'sized'"), "{}", ran.said);
    assert_eq!(stored("sized"), ids, "nothing was touched");
    done(&shared, &["import", "--any-name", text(&path)]);
    assert_eq!(stored("sized").len(), 4);
}

#[test]
fn running_nodes_and_their_players_follow_an_import() {
    let (setup, backups) = (on("followed"), Folder::new());
    let (one, other) = (setup.start(), setup.start());
    let (mut plain, mut second) = (one.client(), other.client());
    plain.check(77);
    assert_eq!(told(&mut plain, 1), told(&mut second, 1));
    // A few boxes are told one by one; where there are many, the key range is read.
    let few = BTreeSet::from([1, 77, 100_001, 1_999_999, BOXES]);
    let many: BTreeSet<u32> = (700_001..=720_000).collect();
    let path = backups.file("board.bxb");
    for (ids, new) in [(&few, 4), (&many, 20_000)] {
        std::fs::write(&path, file::written(BOXES, "followed", ids)).expect("room");
        let said = done(&setup, &["import", text(&path)]).said;
        let counted = format!("{} boxes, {new} of them new", ids.len());
        assert!(said.contains(&counted), "{said}");
        let expected: BTreeSet<u32> = ids.iter().copied().filter(|id| *id != 77).collect();
        assert_eq!(told(&mut plain, new), expected);
        assert_eq!(told(&mut second, new), expected);
    }
    let all: BTreeSet<u32> = &few | &many;
    assert_eq!(one.client().greeted as usize, all.len());
    assert_eq!(stored("followed"), all);
    // Both ways of asking for it yield the same board.
    let copy = inspect(&setup, &[]);
    for node in [&one, &other] {
        assert_eq!(inspect(&setup, &["--from", &admin(node)])["digest"], copy["digest"]);
    }
    // And through one node, which tells the other.
    std::fs::write(&path, file::written(BOXES, "followed", &BTreeSet::from([55]))).expect("room");
    done(&setup, &["import", text(&path), "--to", &admin(&one)]);
    assert_eq!(told(&mut second, 1), BTreeSet::from([55]));
    assert!(stored("followed").contains(&55));
    stop(one);
    stop(other);
}

#[test]
fn a_copy_made_while_it_is_played_has_everything_acknowledged_before() {
    let seed = seed("a_copy_made_while_it_is_played_has_everything_acknowledged_before");
    let (setup, backups) = (on("played"), Folder::new());
    let server = setup.start();
    let (sent, acknowledged) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let stopped = AtomicBool::new(false);
    let play = || {
        let (mut client, mut random) = (server.client_v2(), StdRng::seed_from_u64(seed));
        while !stopped.load(Ordering::Relaxed) {
            let known = acknowledged.lock().expect("unpoisoned").clone();
            let ids = &random_ids(&mut random, 64) - &known;
            sent.lock().expect("unpoisoned").extend(&ids);
            ids.iter().for_each(|id| client.check(*id));
            for _ in &ids {
                let Told::Update { id, .. } = client.next() else { panic!("no acknowledgement") };
                acknowledged.lock().expect("unpoisoned").insert(id);
            }
        }
    };
    std::thread::scope(|scope| {
        let _ending = Ending(&stopped);
        scope.spawn(play);
        for turn in 1..=3 {
            eventually("boxes", || {
                (acknowledged.lock().expect("unpoisoned").len() > turn * 500).then_some(())
            });
            let before = acknowledged.lock().expect("unpoisoned").clone();
            let path = backups.file(&format!("{turn}.bxb"));
            done(&setup, &["export", text(&path)]);
            let after = sent.lock().expect("unpoisoned").clone();
            let copy = file::checked(&std::fs::read(path).expect("a copy"));
            assert!(before.is_subset(&copy), "{:?} are missing", before.difference(&copy));
            assert!(copy.is_subset(&after), "{:?} are invented", copy.difference(&after));
        }
    });
}

#[test]
fn bits_that_were_not_counted_are_found() {
    let setup = on("miscounted");
    let server = setup.start();
    check_all(&server, [1, 2, 3]);
    stop(server);
    inspect(&setup, &[]);
    let key = "billion:{miscounted:0}:bits";
    cluster::shared().command_on(key, &["SETBIT", key, "800", "1"]);
    let ran = setup.run(&["inspect", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.printed().contains("\"sound\":false") && ran.said.contains("counted"), "{ran:?}");
}
