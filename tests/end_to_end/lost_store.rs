//! The store's file deleted, moved, replaced, and its file system gone read-only, while players check boxes: nothing
//! is acknowledged that a restart does not have.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    backup::{admin, done, file},
    harness::{
        client::{Client, Told},
        eventually, free_address, seed,
        server::{Server, Setup},
    },
};

const BOXES: u32 = 3_000_000;

/// Players who check random boxes as fast as answers come, and ask again for nothing that was refused.
struct Players {
    acknowledged: Arc<Mutex<BTreeSet<u32>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Players {
    fn start(server: &Server, seed: u64) -> Self {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let player = |number| {
            let (client, acknowledged, stop) =
                (server.client_v2(), acknowledged.clone(), stop.clone());
            std::thread::spawn(move || play(client, seed + number, &acknowledged, &stop))
        };
        let threads = (0..3).map(player).collect();
        Self { acknowledged, stop, threads }
    }

    fn acknowledged(&self) -> BTreeSet<u32> {
        self.acknowledged.lock().expect("unpoisoned").clone()
    }

    /// Waits until so many more are acknowledged.
    fn go_on(&self, more: usize) {
        let enough = self.acknowledged().len() + more;
        eventually("checks are acknowledged", || {
            (self.acknowledged().len() >= enough).then_some(())
        });
    }

    fn end(self) -> BTreeSet<u32> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a player plays to the end");
        }
        Arc::into_inner(self.acknowledged)
            .expect("all have ended")
            .into_inner()
            .expect("unpoisoned")
    }
}

fn play(mut client: Client, seed: u64, acknowledged: &Mutex<BTreeSet<u32>>, stop: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut outstanding = 0;
    while !stop.load(Ordering::Relaxed) {
        while outstanding < 32 {
            if !client.try_check(random.random_range(1..=BOXES)) {
                return;
            }
            outstanding += 1;
        }
        match client.next_within(Duration::from_millis(200)) {
            Some(Told::Update { id, .. }) => {
                acknowledged.lock().expect("unpoisoned").insert(id);
                outstanding -= 1;
            }
            Some(Told::Refused { reason: 1, .. }) => outstanding -= 1,
            Some(Told::Cut | Told::Closed(..)) => return,
            Some(_) | None => {}
        }
    }
}

fn setup() -> Setup {
    Setup::new(BOXES, 10).with("BROADCASTER__INTERVAL_MS", 0)
}

fn whole_board(server: &Server) -> BTreeSet<u32> {
    let mut client = server.client();
    let mut ids = BTreeSet::new();
    for first in (1..=BOXES).step_by(100_000) {
        ids.extend(client.range(first, (first + 99_999).min(BOXES), &mut vec![]));
    }
    ids
}

/// A server with players, three times the same: `lose` takes the file away, it is made again, and after `kill -9`
/// or SIGTERM a restart has everything that was ever acknowledged.
fn is_made_again(name: &str, lose: impl Fn(&Path)) {
    let seed = seed(name);
    for (round, end) in ["-KILL", "-TERM"].into_iter().enumerate() {
        let setup = setup();
        let mut server = setup.start();
        let players = Players::start(&server, seed + 10 * round as u64);
        players.go_on(300);
        lose(&setup.store_path());
        eventually("it is made again", || server.log().contains("was made again").then_some(()));
        eventually("the store is up", || {
            (server.get("/readyz?store=1").status == 200).then_some(())
        });
        players.go_on(300);
        server.signal(end);
        server.wait();
        let acknowledged = players.end();
        let lines = server.log().matches("checks are refused until the store is back").count();
        assert_eq!(lines, 1, "one line when it is lost:\n{}", server.log());
        assert!(server.log().contains("main.redb is gone"), "{}", server.log());
        let board = whole_board(&setup.start());
        let lost: Vec<_> = acknowledged.difference(&board).take(5).collect();
        assert!(lost.is_empty(), "after {end}, acknowledged and lost: {lost:?} …");
    }
}

#[test]
fn a_deleted_store_is_made_again_under_load() {
    is_made_again("a_deleted_store_is_made_again_under_load", |data| {
        fs::remove_file(data.join("main.redb")).expect("it is there");
    });
}

#[test]
fn a_store_whose_folder_was_moved_away_is_made_again_under_load() {
    is_made_again("a_store_whose_folder_was_moved_away_is_made_again_under_load", |data| {
        fs::rename(data, data.with_extension("away")).expect("it is there");
    });
}

#[test]
fn a_store_whose_folder_was_replaced_by_an_empty_one_is_made_again_under_load() {
    is_made_again(
        "a_store_whose_folder_was_replaced_by_an_empty_one_is_made_again_under_load",
        |data| {
            fs::rename(data, data.with_extension("away")).expect("it is there");
            // The server may be as fast.
            fs::create_dir_all(data).expect("a writable folder");
        },
    );
}

/// A server with players whose file was replaced by an older copy, and which has noticed.
struct Replaced {
    setup: Setup,
    server: Server,
    players: Players,
    file: PathBuf,
    saved: PathBuf,
}

impl Replaced {
    fn new(seed: u64) -> Self {
        let setup = setup();
        let file = setup.store_path().join("main.redb");
        let (older, saved) = (file.with_extension("older"), file.with_extension("redb.saved"));
        let mut server = setup.start();
        server.client_v2().check(7);
        eventually("checked", || (server.client().greeted == 1).then_some(()));
        server.signal("-TERM");
        server.wait();
        fs::copy(&file, &older).expect("room");
        let server = setup.start();
        let players = Players::start(&server, seed);
        players.go_on(300);
        fs::rename(&older, &file).expect("both are there");
        eventually("it is noticed", || (server.get("/readyz?store=1").status == 503).then_some(()));
        Self { setup, server, players, file, saved }
    }
}

#[test]
fn a_replaced_store_is_down_and_names_the_file_and_the_way_out() {
    let seed = seed("a_replaced_store_is_down_and_names_the_file_and_the_way_out");
    let Replaced { setup, mut server, players, file, saved } = Replaced::new(seed);
    let foreign = fs::read(&file).expect("a file");
    let problem = eventually("a copy is saved", || {
        let ready = server.get("/readyz?store=1").body;
        ready.contains("main.redb.saved").then_some(ready)
    });
    assert!(problem.contains("is not the file of this server any more"), "{problem}");
    assert_eq!(server.metric("billion_store_up "), 0.0);
    let before = players.acknowledged();
    // What can be had from the running server besides.
    let copy = setup.folder().join("copy.bxb");
    let copy = copy.to_str().expect("text");
    done(&setup, &["export", copy, "--from", &admin(&server)]);
    assert!(before.is_subset(&file::checked(&fs::read(copy).expect("a backup"))));
    let lines = server.log().matches("checks are refused until the store is back").count();
    assert_eq!(lines, 1, "one line, not one for each attempt:\n{}", server.log());
    server.kill();
    let acknowledged = players.end();
    assert_eq!(fs::read(&file).expect("there"), foreign, "nobody's file was changed");

    fs::rename(saved, file).expect("the copy is there");
    let board = whole_board(&setup.start());
    assert!(acknowledged.is_subset(&board), "acknowledged and lost");
}

#[test]
fn a_replaced_store_goes_on_when_the_other_file_is_moved_away() {
    let seed = seed("a_replaced_store_goes_on_when_the_other_file_is_moved_away");
    let Replaced { setup, mut server, players, file, saved } = Replaced::new(seed);
    fs::remove_file(&file).expect("it is there");
    eventually("the store is up", || (server.get("/readyz?store=1").status == 200).then_some(()));
    players.go_on(300);
    server.kill();
    let acknowledged = players.end();
    assert!(!saved.exists());
    assert!(acknowledged.is_subset(&whole_board(&setup.start())), "acknowledged and lost");
}

#[test]
fn commands_without_a_file_ask_the_server_that_has_lost_it() {
    // Where the commands look for a server by themselves.
    let address = free_address().to_string();
    let setup = setup().with("ADMIN__ADDRESS", &address);
    let said = setup.run(&["inspect"]).said;
    assert!(said.contains("main.redb is not there") && said.contains(&address), "{said}");
    let server = setup.start();
    server.client_v2().check(7);
    eventually("checked", || (server.client().greeted == 1).then_some(()));
    let data = setup.store_path();
    fs::rename(&data, data.with_extension("away")).expect("it is there");
    // On another file system, as if the volume had been taken away, the file is not made again.
    std::os::unix::fs::symlink("/dev/shm", &data).expect("a link can be made");
    eventually("it is noticed", || (server.get("/readyz?store=1").status == 503).then_some(()));
    let ran = setup.run(&["inspect", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.printed().contains("\"checked\":1"), "{}", ran.printed());
    assert!(ran.said.contains("main.redb is not there: asking the server"), "{}", ran.said);
    // Another folder's server is not taken for ours.
    let other = self::setup().with("ADMIN__ADDRESS", &address);
    let ran = other.run(&["inspect"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.said.contains("another store"), "{}", ran.said);
}

#[test]
fn commands_do_not_believe_a_file_that_a_running_server_has_lost() {
    let address = free_address().to_string();
    let setup = setup().with("ADMIN__ADDRESS", &address);
    let (file, copy) = (setup.store_path().join("main.redb"), setup.folder().join("copy.bxb"));
    let copy = copy.to_str().expect("text");
    let mut server = setup.start();
    server.signal("-TERM");
    server.wait();
    let empty = fs::read(&file).expect("a file");
    let server = setup.start();
    server.client_v2().check(7);
    eventually("checked", || (server.client().greeted == 1).then_some(()));
    // Sound, free, and without the box.
    let other = setup.folder().join("other");
    fs::write(&other, &empty).expect("room");
    fs::rename(&other, &file).expect("both are there");
    let ran = setup.run(&["inspect", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.printed().contains("\"checked\":1"), "{}", ran.printed());
    assert!(ran.said.contains("is not the file of the server at"), "{}", ran.said);
    done(&setup, &["export", copy]);
    assert_eq!(file::checked(&fs::read(copy).expect("a backup")), BTreeSet::from([7]));
    // What is merged is merged into the board that is played on, or not at all: its store is down.
    let ran = setup.run(&["import", copy]);
    assert!(ran.said.contains("is not the file of the server at"), "{}", ran.said);
    assert_eq!(fs::read(&file).expect("there"), empty, "nobody's file was changed");
    // Whoever means the file itself names it.
    let ran = setup.run(&["inspect", "--json", file.to_str().expect("text")]);
    assert!(ran.printed().contains("\"checked\":0"), "{}", ran.printed());
}

#[test]
fn a_server_that_cannot_save_its_board_says_so_and_fails() {
    let setup = setup().with("SERVER__SHUTDOWN_TIMEOUT_S", 2);
    let mut server = setup.start();
    server.client_v2().check(7);
    eventually("checked", || (server.client().greeted == 1).then_some(()));
    let data = setup.store_path();
    let away = data.with_extension("away");
    fs::rename(&data, &away).expect("it is there");
    // On another file system, as if the volume had been taken away, the file is not made again.
    std::os::unix::fs::symlink("/dev/shm", &data).expect("a link can be made");
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    let log = server.log();
    let last = log.lines().last().expect("it has said something");
    assert!(last.contains("a restart will not find all that was checked"), "{last}");
    assert!(last.contains("mount its volume there again"), "{last}");

    fs::remove_file(&data).expect("the link");
    fs::rename(&away, &data).expect("it is there");
    assert_eq!(whole_board(&setup.start()), BTreeSet::from([7]));
}

/// A file system of its own in a file, which can be made to fail; unmounted when dropped.
struct Ext4 {
    image: PathBuf,
    at: PathBuf,
}

impl Ext4 {
    fn mount(image: PathBuf, at: PathBuf) -> Self {
        let file = fs::File::create(&image).expect("a writable folder");
        file.set_len(64 << 20).expect("a sparse file");
        fs::create_dir_all(&at).expect("a writable folder");
        let disk = Self { image, at };
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image));
        disk.mount_again();
        disk
    }

    fn mount_again(&self) {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.at));
    }

    /// What the kernel does when it finds the file system damaged.
    fn fail(&self) {
        let device = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.at).output();
        let device = String::from_utf8(device.expect("findmnt").stdout).expect("text");
        let device = device.trim().trim_start_matches("/dev/");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "broken").expect("root");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let ran = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "{command:?}: {said}: this test mounts an ext4 file system from a file, which needs root and loop \
         devices (or: -- --skip read_only)"
    );
}

#[test]
fn on_a_file_system_gone_read_only_checks_are_refused_until_it_is_repaired() {
    let seed = seed("on_a_file_system_gone_read_only_checks_are_refused_until_it_is_repaired");
    let setup = setup();
    // What SQLite has open there would keep the file system from being unmounted.
    let elsewhere = format!("sqlite://{}", setup.folder().join("people.db").display());
    let setup = setup.with("DATABASE__URL", elsewhere);
    let disk = Ext4::mount(setup.folder().join("image"), setup.store_path());
    let mut server = setup.start();
    let players = Players::start(&server, seed);
    players.go_on(300);
    disk.fail();
    let problem = eventually("the store is down", || {
        let ready = server.get("/readyz?store=1");
        (ready.status == 503).then_some(ready.body)
    });
    assert!(problem.contains("main.redb"), "{problem}");
    assert_eq!(server.metric("billion_store_up "), 0.0);
    let seen = players.acknowledged();
    assert!(seen.is_subset(&whole_board(&server)), "reading goes on");

    // The store has let go of its file, so the file system can be repaired under the server.
    eventually("it can be unmounted", || {
        Command::new("umount").arg(&disk.at).status().expect("umount").success().then_some(())
    });
    // 1: errors were corrected.
    let checked = Command::new("e2fsck").args(["-f", "-y"]).arg(&disk.image).output();
    assert!(checked.expect("e2fsck").status.code().is_some_and(|code| code <= 1));
    disk.mount_again();
    eventually("the store is up", || (server.get("/readyz?store=1").status == 200).then_some(()));
    players.go_on(300);
    server.kill();
    let acknowledged = players.end();
    assert!(acknowledged.is_subset(&whole_board(&setup.start())), "acknowledged and lost");
}
