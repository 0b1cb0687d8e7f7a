//! What players and operators see of a store in trouble: a full disk, a damaged file.

use std::{path::Path, process::Command};

use crate::{
    backup::{admin, check_all, done},
    harness::{client::Told, eventually, server::Setup},
};

/// A small file system of its own, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, mib: u32) -> Self {
        std::fs::create_dir_all(at).expect("a folder to mount on");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output()
            .expect("mount can be run");
        assert!(
            mounted.status.success(),
            "this test mounts a small tmpfs, which needs root (or: -- --skip storage): {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(at)
    }

    /// Fills it to the last byte; the file to remove to make room again.
    fn fill(&self) -> std::path::PathBuf {
        let filler = self.0.join("filler");
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=4096", &format!("of={}", filler.display())])
            .output()
            .expect("dd can be run");
        assert!(!filled.status.success(), "dd ends when the disk is full");
        filler
    }

    fn make_read_only(&self) {
        let mounted = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0).status();
        assert!(mounted.expect("mount can be run").success(), "nobody writes to it");
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
        entries.map(|entry| name(entry).into_string().expect("text")).collect()
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the server may still hold its file.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn on_a_full_disk_checks_are_refused_and_reads_go_on() {
    let setup = Setup::new(1_000_000, 4).with("BROADCASTER__INTERVAL_MS", 0);
    let path = setup.store_path();
    let disk = SmallDisk::mount(&path, 16);
    let mut server = setup.start();
    let (mut scoped, mut reader) = (server.client_v2(), server.client());
    scoped.check(5);
    assert_eq!(reader.next(), Told::Update { total: 1, id: 5 });
    assert_eq!(scoped.next(), Told::Update { total: 1, id: 5 });

    let filler = disk.fill();
    // The file has some room inside, so the first few may still be taken.
    let mut taken = vec![5];
    let refused = (100_001..).find(|id| {
        scoped.check(*id);
        match scoped.next() {
            Told::Update { id, .. } => {
                taken.push(id);
                false
            }
            Told::Refused { id: refused, reason: 1 } => refused == *id,
            other => panic!("unexpected: {other:?}"),
        }
    });
    let refused = refused.expect("the disk is full");
    let mut plain = server.client();
    plain.check(refused);
    assert_eq!(plain.closed(), (1013, "storage unavailable".to_owned()));
    assert_eq!(reader.range(1, 9, &mut vec![]), [5], "reads go on");
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200, "a store outage does not take the readers away");
    assert!(ready.body.contains("\"store\":\"down\""), "{}", ready.body);
    assert_eq!(server.get("/readyz?store=1").status, 503);
    assert_eq!(server.metric("billion_store_up "), 0.0);

    std::fs::remove_file(filler).expect("the filler is there");
    eventually("the store is back", || (server.get("/readyz?store=1").status == 200).then_some(()));
    scoped.check(refused);
    loop {
        match scoped.next() {
            Told::Update { id, .. } if id == refused => break,
            Told::Total(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    taken.push(refused);
    taken.sort_unstable();
    let downs = server.log().matches("checks are refused until the store is back").count();
    assert_eq!(downs, 1, "one line per change of state:\n{}", server.log());

    server.kill();
    let server = setup.start();
    let mut client = server.client();
    let mut stored = client.range(1, 100_000, &mut vec![]);
    stored.extend(client.range(100_001, 200_000, &mut vec![]));
    assert_eq!(stored, taken);
}

#[test]
fn a_damaged_file_is_named_with_what_to_do() {
    let setup = Setup::new(1_000_000, 4);
    let mut server = setup.start();
    let mut client = server.client();
    for id in 1..=1000 {
        client.check(id * 900);
        client.next();
    }
    drop(client);
    server.signal("-TERM");
    server.wait();
    let file = setup.store_path().join("main.redb");
    let mut bytes = std::fs::read(&file).expect("the store's file");
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    std::fs::write(&file, bytes).expect("it can be damaged");
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("main.redb"), "{said}");
    assert!(last.contains("damaged"), "{said}");
}

#[test]
fn a_crashed_store_is_read_where_it_cannot_be_written_and_stays_as_it_was() {
    let setup = Setup::new(1_000_000, 4);
    let path = setup.store_path();
    let disk = SmallDisk::mount(&path, 16);
    let mut server = setup.start();
    check_all(&server, [1, 77, 1_000_000]);
    server.kill();
    disk.make_read_only();
    let before = std::fs::read(path.join("main.redb")).expect("the store's file");
    let names = disk.names();
    let copy = setup.folder().join("copy.bxb");
    let copy = copy.to_str().expect("text");
    let ran = done(&setup, &["inspect", "--json"]);
    assert!(ran.printed().contains("\"checked\":3"), "{}", ran.printed());
    assert!(ran.said.contains("repaired in memory"), "{}", ran.said);
    done(&setup, &["export", copy]);
    let copied = done(&setup, &["inspect", "--json", copy]);
    assert!(copied.printed().contains("\"checked\":3"), "{}", copied.printed());
    assert_eq!(std::fs::read(path.join("main.redb")).expect("there"), before);
    assert_eq!(disk.names(), names);
}

#[test]
fn check_tries_the_data_folder_and_leaves_nothing_behind() {
    let setup = Setup::new(1_000_000, 4);
    let path = setup.store_path();
    let disk = SmallDisk::mount(&path, 16);
    let refused = |arguments: &[&str], words: &[&str]| {
        let ran = setup.run(&[&["--check"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.said);
        for word in ["store.path"].iter().chain(words) {
            assert!(ran.said.contains(word), "{arguments:?}: {word:?} is missing in: {}", ran.said);
        }
        assert_eq!(ran.said.lines().count(), 2, "one problem and its number: {}", ran.said);
    };
    done(&setup, &["--check"]);
    let deeper = path.join("a/b");
    done(&setup, &["--check", "--data", deeper.to_str().expect("text")]);
    assert_eq!(disk.names(), Vec::<String>::new());
    let filler = disk.fill();
    refused(&[], &["nothing can be written", "No space left"]);
    std::fs::remove_file(filler).expect("the filler");
    refused(&["--data", "/proc/x"], &["/proc"]);

    let mut server = setup.start();
    check_all(&server, [7]);
    done(&setup, &["--check"]);
    assert_eq!(server.get("/readyz?store=1").status, 200, "the running server is not disturbed");
    server.kill();
    let names = disk.names();
    done(&setup, &["--check"]);
    refused(&["--set", "board.boxes=2000000"], &["main.redb holds a board of 1000000 boxes"]);
    let content = std::fs::read(path.join("main.redb")).expect("the store's file");
    std::fs::write(path.join("main.redb"), "garbage").expect("room");
    refused(&[], &["main.redb is damaged"]);
    std::fs::write(path.join("main.redb"), content).expect("room");
    disk.make_read_only();
    refused(&[], &["Read-only file system"]);
    assert_eq!(disk.names(), names);
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named_with_what_to_do() {
    let setup = Setup::new(1_000_000, 4);
    let (status, said) = setup.fail_to_start(&["--data", "/proc/x"]);
    assert_eq!(status.code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("the folder /proc/x cannot be made"), "{said}");
    assert!(last.contains("choose a folder") && !last.contains("put the file back"), "{said}");
    let (status, said) = setup.fail_to_start(&["--data", "~/board"]);
    assert_eq!(status.code(), Some(2));
    assert!(said.contains("store.path") && said.contains("home folder"), "{said}");
    assert!(!setup.folder().join("~").exists());
}

#[test]
fn an_export_onto_a_full_disk_says_so_once() {
    let setup = Setup::new(1_000_000, 4);
    let server = setup.start();
    check_all(&server, (0..2_000).map(|n| n * 500 + 1));
    let at = setup.folder().join("full");
    let disk = SmallDisk::mount(&at, 1);
    disk.fill();
    let copy = at.join("copy.bxb");
    let ran = setup.run(&["export", copy.to_str().expect("text"), "--from", &admin(&server)]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    let last = ran.said.lines().last().unwrap_or_default();
    assert_eq!(last.matches("cannot write").count(), 1, "{last}");
    assert!(last.contains("copy.bxb") && last.contains("No space left"), "{last}");
    assert!(!last.contains("reading the backup failed"), "{last}");
    assert_eq!(disk.names(), ["filler"]);
}
