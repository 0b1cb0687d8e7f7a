//! Settings that change while the server runs: SIGHUP, and what it means to players, newcomers and operators.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::Command,
    sync::mpsc,
};

use crate::harness::{
    PATIENCE,
    client::{Client, Told, handshake},
    eventually,
    server::{Server, Setup, request},
};

const NO_LIMIT: &str = "[limiter]\nlimit = 0\n";
const TWO_CHECKS: &str = "[limiter]\nlimit = 0.001\nburst = 2\n";

/// A server, and the file that has its limits and rules.
struct Running {
    setup: Setup,
    server: Server,
}

impl Running {
    fn with(text: &str) -> Self {
        Self::start(Setup::new(1000, 1).with_file("settings.toml", text))
    }

    fn start(setup: Setup) -> Self {
        let setup = setup.without("LIMITER__LIMIT").without_terminal().with_heeded("HUP");
        Self { server: setup.start(), setup }
    }

    /// Has the server read another file: what it logs of that.
    fn reads(&self, name: &str, text: &str) -> String {
        fs::write(self.setup.folder().join(name), text).expect("a writable file");
        let before = self.server.log().len();
        self.server.signal("-HUP");
        eventually("it has read them", || {
            let log = self.server.log().split_off(before);
            let ends = ["has changed", "have changed", "until this is mended"];
            ends.iter().any(|end| log.ends_with(end)).then_some(log)
        })
    }

    fn reads_settings(&self, text: &str) -> String {
        self.reads("settings.toml", text)
    }
}

#[track_caller]
fn says(log: &str, lines: &[&str]) {
    for line in lines {
        assert!(log.contains(line), "{line:?} is missing in: {log}");
    }
}

/// Has a `v=2` client check boxes from `first` on, and counts how many were taken of so many.
fn taken(client: &mut Client, first: u32, of: u32) -> usize {
    (first..first + of).for_each(|id| client.check(id));
    let answers = (0..of).map(|_| match client.next() {
        Told::Update { .. } => true,
        Told::Refused { reason: 4, .. } => false,
        other => panic!("neither taken nor too fast: {other:?}"),
    });
    answers.filter(|taken| *taken).count()
}

#[test]
fn a_connected_session_meets_a_changed_limit_at_its_next_message() {
    let running = Running::with(NO_LIMIT);
    let (mut scoped, mut plain) = (running.server.client_v2(), running.server.client());
    assert_eq!(taken(&mut scoped, 1, 100), 100);
    let log = running.reads_settings(TWO_CHECKS);
    let told = ["INFO  limiter.limit: 0.0 → 0.001\n", "INFO  limiter.burst: 20 → 2\n"];
    says(&log, &told);
    says(&log, &["2 settings have changed"]);
    assert_eq!(taken(&mut scoped, 101, 5), 2);
    (201..=203).for_each(|id| plain.check(id));
    assert_eq!(plain.closed(), (1008, "rate limit".to_owned()));
    // What it owed at the old rate is forgotten.
    running.reads_settings(NO_LIMIT);
    assert_eq!(taken(&mut scoped, 301, 100), 100);
}

#[test]
fn a_wrong_file_changes_nothing_and_each_mistake_is_told_with_its_line() {
    let running = Running::with(TWO_CHECKS);
    let mut player = running.server.client_v2();
    let log = running.reads_settings("[limiter]\nlimit = 0\nburst = 0\n[server]\nworkrs = 1\n");
    says(
        &log,
        &[
            "ERROR settings.toml:3: limiter.burst = 0: must be from 1 to 4294967295\n",
            "ERROR settings.toml:5: server.workrs: unknown setting (did you mean server.workers?)\n",
            "ERROR all settings stay as they are until this is mended",
        ],
    );
    assert!(!log.contains('→'), "{log}");
    assert_eq!(taken(&mut player, 1, 5), 2, "the old limit");
    says(
        &running.reads_settings("no settings"),
        &["ERROR settings.toml:1: ", "until this is mended"],
    );
    says(&running.reads_settings(NO_LIMIT), &["limiter.limit: 0.001 → 0.0\n"]);
    assert_eq!(taken(&mut player, 11, 50), 50);
}

#[test]
fn what_needs_a_restart_is_named_and_left_as_it_is() {
    let running = Running::with(NO_LIMIT);
    let link = "https://me.example/";
    let text = format!(
        "[limiter]\nlimit = 0\nburst = 5\n[page]\nme_url = \"{link}\"\n[session]\nmailbox = 500\n"
    );
    let needed =
        "WARN  left as they are, because they need a restart: page.me_url, session.mailbox\n";
    let log = running.reads_settings(&text);
    says(&log, &[needed, "limiter.burst: 20 → 5\n", "1 setting has changed"]);
    says(&running.reads_settings(&text), &[needed, "no setting has changed"]);
    let shown = |server: &Server| server.get("/").body.replace("&#x2F;", "/").contains(link);
    assert!(!shown(&running.server), "it has not been restarted");
    let Running { setup, server } = running;
    drop(server);
    assert!(shown(&setup.start()));
}

#[test]
fn newcomers_and_operators_meet_the_rules_that_were_read_last() {
    let setup = Setup::new(1000, 1).without("LIMITS__ADDRESS");
    let running = Running::start(setup.with_file("settings.toml", NO_LIMIT));
    let server = &running.server;
    let mut player = server.client();
    let theirs = "https://new.example";
    let arrives = |headers: &[(&str, &str)]| {
        let headers = [&handshake(theirs), headers].concat();
        request(server.address, "GET", "/ws", &headers).status
    };
    let operates = || request(server.admin, "GET", "/store", &[("Host", "node-9.internal")]).status;
    assert_eq!((arrives(&[]), operates()), (403, 421));

    let rules = format!(
        "[admin]\nhosts = [\"node-9.internal\"]\n[server]\nallowed_origins = [\"{theirs}\"]\n"
    );
    let log = running.reads_settings(&rules);
    says(&log, &["server.allowed_origins: [] → [\"https://new.example\"]\n"]);
    assert_eq!((arrives(&[]), operates()), (101, 200));
    running.reads_settings(&format!("{rules}max_connections_per_address = 1\n"));
    assert_eq!(arrives(&[]), 429, "who is there already counts");
    let from = ("X-Forwarded-For", "192.0.2.1");
    assert_eq!(arrives(&[from]), 101, "a proxy that nobody has named speaks for many");
    let proxies = "max_connections_per_address = 1\ntrusted_proxies = [\"127.0.0.1\"]\n";
    running.reads_settings(&format!("{rules}{proxies}"));
    assert_eq!(arrives(&[from]), 101);
    running.reads_settings(&format!("{rules}max_connections = 1\n"));
    assert_eq!((arrives(&[]), server.metric("billion_connections_max ")), (503, 1.0));

    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 }, "nobody was sent away");
}

#[test]
fn a_quiet_session_is_pinged_as_was_read_last() {
    let running = Running::with("[session]\nping_interval_s = 3600\nidle_timeout_s = 7200\n");
    let player = running.server.client();
    running.reads_settings("[session]\nping_interval_s = 1\nidle_timeout_s = 600\n");
    let mut stream = player.stream();
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut ping = [0; 2];
    stream.read_exact(&mut ping).expect("a ping long before the hour is over");
    assert_eq!(ping, [0x89, 0]);
}

#[test]
fn a_stop_takes_as_long_as_was_read_last() {
    let mut running = Running::with("[server]\ndrain_delay_s = 3600\n");
    running.reads_settings("[server]\ndrain_delay_s = 0\n");
    running.server.signal("-TERM");
    assert_eq!(running.server.wait().code(), Some(0), "{}", running.server.log());
}

#[test]
fn the_same_places_are_read_in_the_same_order_as_at_the_start() {
    let file = |burst: u32| format!("[limiter]\nburst = {burst}\nrange_burst = {burst}\n");
    let setup = Setup::new(1000, 1).with_file("settings.toml", &file(20));
    let running = Running::start(setup.with("LIMITER__RANGE_BURST", 77));
    says(&running.reads_settings(&file(20)), &["no setting has changed"]);
    says(
        &running.reads_settings(&file(21)),
        &["limiter.burst: 20 → 21\n", "1 setting has changed"],
    );
    let log = running.reads(".env", "LIMITER_BURST=22\nBILLION__LIMITER__RANGE_BURST=23\n");
    says(&log, &["limiter.burst: 21 → 22\n", "1 setting has changed"]);
    says(&running.reads_settings(&file(24)), &["no setting has changed"]);
}

/// Gives `text` to whoever reads the pipe at `path`, once.
fn feed(path: &Path, text: &str) {
    // Opens once somebody reads. Who then reads nothing has been told to end.
    let mut pipe = OpenOptions::new().write(true).open(path).expect("a pipe");
    let _ = pipe.write_all(text.as_bytes());
}

/// Who restarted a unit and reloaded it at once used to end it for good, and a file that could not be read to its
/// end held up every later reload, and the end.
#[test]
fn settings_that_come_slowly_hold_up_neither_a_reload_nor_the_end() {
    let setup = Setup::new(1000, 1).without("LIMITER__LIMIT");
    let setup = setup.without_terminal().with_heeded("HUP");
    let pipe = setup.folder().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo (coreutils)").success());
    let mut server = setup.spawn(&["--settings", pipe.to_str().expect("text")]);
    let pid = server.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    };
    let stderr = BufReader::new(server.stderr.take().expect("piped"));
    // It says less than a hundred lines.
    let (log, lines) = mpsc::sync_channel(100);
    let reader = std::thread::spawn(move || {
        // Nobody listens to what it says last.
        let _ = stderr.lines().map_while(Result::ok).try_for_each(|line| log.send(line));
    });
    let says = |what: &str| while !lines.recv_timeout(PATIENCE).expect(what).contains(what) {};

    let mut first = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    // It reads its settings, of which there is nothing yet.
    signal("-HUP");
    first.write_all(NO_LIMIT.as_bytes()).expect("it reads");
    drop(first);
    says("listening on http://");
    feed(&pipe, NO_LIMIT);
    says("no setting has changed");

    // Nobody writes.
    signal("-HUP");
    says("10 s were not enough to read them");
    signal("-HUP");
    says("reading the settings again");
    signal("-TERM");
    says("stopped");
    assert!(server.wait().expect("it runs").success());
    reader.join().expect("it reads to the end");
}
