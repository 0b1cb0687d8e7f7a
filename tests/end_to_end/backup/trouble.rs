//! What goes wrong with backups: bad files, the wrong board, interruptions. The store stays as it was.

use std::{
    io::{Read, Write},
    process::Command,
};

use super::*;
use crate::harness::server::request;

/// A stopped board with a few boxes, its backup, and the store's file as it is.
struct Kept {
    setup: Setup,
    backups: Folder,
    backup: Vec<u8>,
    store: Vec<u8>,
}

impl Kept {
    fn new() -> Self {
        let (setup, backups) = (setup(), Folder::new());
        let server = setup.start();
        check_all(&server, [1, 2, 3, 300_000, BOXES]);
        stop(server);
        let file = backups.file("sound.bxb");
        done(&setup, &["export", text(&file)]);
        let backup = std::fs::read(file).expect("a backup");
        let store = std::fs::read(setup.store_path().join("main.redb")).expect("a store");
        Self { setup, backups, backup, store }
    }

    /// Imports `bytes`, which has to be refused without touching anything, and returns why.
    #[track_caller]
    fn refusal(&self, bytes: &[u8], arguments: &[&str]) -> String {
        let path = self.backups.file("bad.bxb");
        std::fs::write(&path, bytes).expect("room");
        let ran = self.setup.run(&[&["import", text(&path)], arguments].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        assert!(self.store_is_untouched());
        ran.said
    }

    fn store_is_untouched(&self) -> bool {
        let store = std::fs::read(self.setup.store_path().join("main.redb")).expect("a store");
        store == self.store
    }
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

#[test]
fn bad_files_are_refused_and_say_where() {
    let kept = Kept::new();
    let sound = &kept.backup;
    let mut flipped = sound.clone();
    flipped[45] ^= 4;
    says(&kept.refusal(&flipped, &[]), &["bad.bxb", "damaged at byte 33", "tile 0"]);
    let ran = kept.setup.run(&["inspect", text(&kept.backups.file("bad.bxb"))]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["bad.bxb", "damaged at byte 33"]);
    let cut = &sound[..sound.len() - 1];
    says(&kept.refusal(cut, &[]), &["cut off", &format!("byte {}", cut.len())]);
    let mut newer = sound.clone();
    newer[8] = 9;
    says(&kept.refusal(&newer, &[]), &["format 9", "format 1"]);
    says(&kept.refusal(b"a letter", &[]), &["no backup"]);
    says(&kept.refusal(b"", &[]), &["no backup"]);
    let other = file::written(BOXES, "other", &BTreeSet::from([9]));
    says(&kept.refusal(&other, &[]), &["'other'", "'main'", "--any-name"]);
    let small = file::written(1_000_000, "main", &BTreeSet::from([9]));
    says(&kept.refusal(&small, &["--any-name"]), &["1000000", &BOXES.to_string()]);
    assert!(kept.setup.run(&["import", "/nowhere.bxb"]).said.contains("/nowhere.bxb"));

    // The same file into an empty folder leaves it empty.
    let fresh = setup();
    let bad = kept.backups.file("bad.bxb");
    std::fs::write(&bad, &flipped).expect("room");
    assert_eq!(fresh.run(&["import", text(&bad)]).code, Some(1));
    assert_eq!(names(&fresh.store_path()), Vec::<String>::new());

    std::fs::write(&bad, other).expect("room");
    done(&kept.setup, &["import", text(&bad), "--any-name"]);
    assert_eq!(inspect(&kept.setup, &[])["checked"], 6);
}

#[test]
fn a_running_server_refuses_bad_files_and_changes_nothing() {
    let (setup, backups) = (setup(), Folder::new());
    let server = setup.start();
    let mut watching = server.client();
    let url = admin(&server);
    let sound = file::written(BOXES, "main", &(1..=50_000).collect());
    let mut damaged = sound.clone();
    let late = damaged.len() - 60;
    damaged[late] ^= 1;
    for (bytes, words) in [
        (damaged, &["damaged"][..]),
        (file::written(1_000_000, "main", &BTreeSet::from([9])), &["1000000", "2550003"]),
        (file::written(BOXES, "other", &BTreeSet::from([9])), &["'other'", "'main'"]),
    ] {
        let path = backups.file("bad.bxb");
        std::fs::write(&path, &bytes).expect("room");
        let ran = setup.run(&["import", text(&path), "--to", &url]);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        says(&ran.said, words);
        // Past the command's own check of the file, by another client.
        let (status, said) = post(&server, &bytes);
        assert!(status == 422 || status == 409, "{status}: {said}");
        says(&said, words);
    }
    let (status, said) = post(&server, &sound[..sound.len() / 2]);
    assert_eq!(status, 422, "{said}");
    let (status, _) = post(&server, &vec![0; 400_000]);
    assert_eq!(status, 413, "longer than any backup of this board");
    assert_eq!(watching.next_within(Duration::from_millis(100)), None, "nothing was checked");
    assert_eq!(of_board(&setup.store_path()), ["main.redb"], "no upload is left");
}

/// Posts `bytes` to `/import`: the status and what was said.
fn post(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(server.admin).expect("it listens");
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a timeout can be set");
    let head = format!(
        "POST /import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-billion-backup\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).expect("the head is taken");
    // One that is too long is not read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status line"), answer)
}

#[test]
fn other_sites_pages_and_players_cannot_import() {
    let server = setup().start();
    let media = ("Content-Type", "application/x-billion-backup");
    let own = format!("http://{}", server.admin);
    let status =
        |headers: &[(&str, &str)]| request(server.admin, "POST", "/import", headers).status;
    assert_eq!(status(&[]), 415);
    assert_eq!(status(&[("Content-Type", "text/plain")]), 415);
    assert_eq!(status(&[media, ("Origin", "https://evil.example")]), 403);
    let rebound = [media, ("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(status(&rebound), 421, "nor a page whose name was made to lead here");
    assert_eq!(
        status(&[media, ("Origin", &own)]),
        422,
        "a page of this listener may: nothing was sent"
    );
    let preflight = request(server.admin, "OPTIONS", "/import", &[media]);
    assert_eq!(preflight.status, 204);
    assert!(!preflight.head.contains("access-control-"), "{}", preflight.head);
    for path in ["/import", "/export"] {
        assert_eq!(request(server.address, "GET", path, &[]).status, 404, "not for players");
        assert_ne!(request(server.address, "POST", path, &[media]).status, 200);
    }
}

#[test]
fn a_file_is_only_replaced_when_that_is_said() {
    let kept = Kept::new();
    let path = kept.backups.file("mine");
    std::fs::write(&path, "precious").expect("room");
    let ran = kept.setup.run(&["export", text(&path)]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["mine", "exists", "--force"]);
    assert_eq!(std::fs::read(&path).expect("there"), b"precious");
    done(&kept.setup, &["export", text(&path), "--force"]);
    assert_eq!(inspect(&kept.setup, &[text(&path)])["checked"], 5);
    assert!(kept.store_is_untouched(), "reading changes nothing");
    let ran = kept.setup.run(&["export", "/nowhere/x.bxb"]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["/nowhere/x.bxb"]);
    let ran = kept.setup.run(&["export"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
}

/// A rename put a file in the place of a device.
#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let kept = Kept::new();
    let (pipe, link) = (kept.backups.file("pipe"), kept.backups.file("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    std::os::unix::fs::symlink("/nowhere", &link).expect("a link can be made");
    for path in [&pipe, &link] {
        let ran = kept.setup.run(&["export", "--force", text(path)]);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        says(&ran.said, &["is no regular file", "write to -"]);
    }
    let mut names = kept.backups.names();
    names.sort();
    assert_eq!(names, ["link", "pipe", "sound.bxb"]);
    assert!(link.is_symlink() && !pipe.is_file());
}

/// Two servers on one machine, and `admin.address` of the one names the other.
#[test]
fn a_server_on_another_store_is_not_taken_for_ours() {
    let (ours, theirs, backups) = (setup(), setup(), Folder::new());
    let (_running, other) = (ours.start(), theirs.start());
    check_all(&other, [7]);
    let ours = ours.with("ADMIN__ADDRESS", other.admin);
    let path = backups.file("board.bxb");
    for command in [&["export", text(&path)][..], &["inspect"]] {
        let ran = ours.run(command);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        says(&ran.said, &["409", "another store", "admin.address"]);
    }
    assert_eq!(backups.names(), Vec::<String>::new());
    std::fs::write(&path, file::written(BOXES, "main", &BTreeSet::from([9]))).expect("room");
    let ran = ours.run(&["import", text(&path)]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    says(&ran.said, &["another store"]);
    assert_eq!(whole_board(&other), BTreeSet::from([7]));
    done(&ours, &["export", "--force", text(&path), "--from", &admin(&other)]);
}

#[test]
fn pages_of_other_sites_and_endless_uploads_are_turned_away() {
    let server = setup().start();
    for header in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        for method in ["GET", "POST"] {
            let path = if method == "GET" { "/export" } else { "/import" };
            let answer = request(server.admin, method, path, &[header]);
            assert_eq!(answer.status, 403, "{method} {header:?}: {}", answer.body);
        }
    }
    let typed = ("Content-Type", "application/x-billion-backup");
    let endless = [typed, ("Content-Length", "999999999999")];
    let answer = request(server.admin, "POST", "/import", &endless);
    assert_eq!(answer.status, 413, "before any of it is read: {}", answer.body);
}

#[test]
fn an_export_that_ends_early_leaves_nothing_behind() {
    let (setup, backups) = (setup(), Folder::new());
    let path = backups.file("board.bxb");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let part = &file::written(BOXES, "main", &BTreeSet::from([1, 200_000]))[..100];

    // A server that dies on the way.
    let child = setup.spawn(&["export", text(&path), "--from", &url]);
    let (mut stream, _) = listener.accept().expect("the command connects");
    // An answer before the request would be one to nothing.
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it asks");
        request.extend(byte);
    }
    stream.write_all(head).and_then(|()| write!(stream, "{:x}\r\n", part.len())).expect("taken");
    stream.write_all(part).expect("taken");
    drop(stream);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    says(&String::from_utf8_lossy(&output.stderr), &["board.bxb was not written", &url]);
    assert_eq!(backups.names(), Vec::<String>::new());

    // An operator who changes his mind while a server does not answer.
    let child = setup.spawn(&["export", text(&path), "--from", &url]);
    let (_stream, _) = listener.accept().expect("the command connects");
    eventually("it has begun", || (backups.names() == ["board.bxb.partial"]).then_some(()));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill can be run").success());
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(130));
    assert_eq!(backups.names(), Vec::<String>::new());

    let ran = setup.run(&["export", text(&path), "--from", "nonsense"]);
    assert_eq!(ran.code, Some(2));
    says(&ran.said, &["http://host:port"]);
    let ran = setup.run(&["export", text(&path), "--from", "http://me:hunter2@127.0.0.1:1"]);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.said.contains("hunter2"), "{}", ran.said);
}

#[test]
fn an_import_into_a_running_server_may_be_stopped_and_done_again() {
    let (setup, backups) = (setup(), Folder::new());
    let path = backups.file("board.bxb");
    let ids: BTreeSet<u32> = (0..5_000).map(|n| n * 500 + 1).collect();
    std::fs::write(&path, file::written(BOXES, "main", &ids)).expect("room");
    let server = setup.start();
    let url = admin(&server);
    let mut watching = server.client();
    let slowly = ["import", text(&path), "--to", &url, "--rate", "100"];
    let mut child = setup.spawn(&slowly);
    for total in 1..=20 {
        assert!(matches!(watching.next(), Told::Update { total: told, .. } if told == total));
    }
    let ran = setup.run(&["import", text(&path), "--to", &url]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["409", "another import is running"]);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    // At once: the server has yet to notice that nobody waits for the former any more.
    let said = done(&setup, &["import", text(&path), "--to", &url, "--rate", "0"]).said;
    assert!(said.contains("5000 boxes, ") && !said.contains(" 5000 of them"), "{said}");
    let mut last = 20;
    while last < 5_000 {
        match watching.next() {
            Told::Update { total, .. } if total == last + 1 => last = total,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(whole_board(&server), ids);
}

/// 40 million boxes: 5 MB, which take a moment.
const MANY: u32 = 40_000_000;

fn random_backup(seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tile = |number| (number, (0..12_500).map(|_| random.random()).collect());
    file::of_tiles(MANY, "main", (0..MANY / 100_000).map(&mut tile))
}

#[test]
fn an_import_that_is_killed_has_done_nothing_and_is_done_again() {
    let seed = seed("an_import_that_is_killed_has_done_nothing_and_is_done_again");
    let (setup, backups) = (Setup::new(MANY, 3), Folder::new());
    let (first, second) = (backups.file("first.bxb"), backups.file("second.bxb"));
    std::fs::write(&first, random_backup(seed)).expect("room");
    std::fs::write(&second, random_backup(seed + 1)).expect("room");
    let (fresh, store) =
        (setup.store_path().join("main.redb.new"), setup.store_path().join("main.redb"));
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());

    let mut child = setup.spawn(&["import", text(&first)]);
    eventually("some of it is written", || {
        let ended = child.try_wait().expect("asked").is_some();
        (length(&fresh) > 2_000_000 || ended).then_some(())
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    if store.exists() {
        println!("the kill came too late");
    } else {
        assert_eq!(setup.run(&["inspect"]).code, Some(1), "there is no store yet");
    }
    done(&setup, &["import", text(&first)]);
    let whole = inspect(&setup, &[text(&first)])["digest"].clone();
    assert_eq!(inspect(&setup, &[])["digest"], whole);
    assert_eq!(of_board(&setup.store_path()), ["main.redb"]);

    let before = length(&store);
    let mut child = setup.spawn(&["import", text(&second)]);
    eventually("some of it is written", || {
        let ended = child.try_wait().expect("asked").is_some();
        (length(&store) > before + 1_000_000 || ended).then_some(())
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let after_kill = inspect(&setup, &[])["digest"].clone();
    done(&setup, &["import", text(&second)]);
    let merged = inspect(&setup, &[])["digest"].clone();
    assert_ne!(merged, whole);
    assert!(after_kill == whole || after_kill == merged, "all of it or nothing");
    let said = done(&setup, &["import", text(&second)]).said;
    assert!(said.contains(" 0 of them new"), "{said}");
}

#[test]
fn a_store_in_use_and_a_wrong_address_are_said_with_the_way_on() {
    let address = free_address().to_string();
    let (setup, backups) = (setup().with("ADMIN__ADDRESS", &address), Folder::new());
    let server = setup.start();
    check_all(&server, [3]);
    let store = setup.store_path().join("main.redb");
    // The store of these settings: as without a file.
    assert_eq!(inspect(&setup, &[text(&store)])["checked"], 1);
    // That of another server is named once.
    let other = self::setup();
    let ran = other.run(&["inspect", text(&store)]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["main.redb is in use by a running server", "--from"]);
    assert_eq!(ran.said.matches("main.redb").count(), 1, "{}", ran.said);

    let players = format!("http://{}", server.address);
    let ran = setup.run(&["export", text(&backups.file("x.bxb")), "--from", &players]);
    assert_eq!(ran.code, Some(1));
    says(&ran.said, &["404 Not Found: is that its admin.address?"]);
    let exported = done(&setup, &["export", "-"]).output;
    let said = other.run_with(&["import", "-"], &exported).said;
    says(&said, &["imported standard input into"]);
}
