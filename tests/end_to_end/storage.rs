//! What players and operators see of a store in trouble: a full disk, a damaged file.

use std::{path::Path, process::Command};

use crate::harness::{client::Told, eventually, server::Setup};

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
