//! The log: as JSON, of one connection, at a level that changes, with what repeats summed up, and on a stderr that nobody
//! reads.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, ChildStderr, Command},
};

use serde_json::Value;

use crate::harness::{
    client::{Client, Told},
    eventually,
    server::{Server, Setup, request},
};

/// Refuses every path that begins with `/o`, which `debug` logs with the path.
const REFUSING: &str = "[[limits.route]]\npath = \"/o*\"\nrate = \"1-D\"\nby = \"route\"\n";

/// A line for each connection that begins or ends.
const CONNECTIONS: &str = "info,billion::ws=debug,actors::session=debug";

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Waits for a line that has all of `parts`.
fn line(server: &Server, parts: &[&str]) -> String {
    eventually(&parts.join(" … "), || {
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        server.log().lines().find(has_all).map(ToOwned::to_owned)
    })
}

#[test]
fn each_line_of_a_server_and_of_a_command_is_an_object_in_json() {
    let setup = Setup::new(1000, 1).with("LOG__FORMAT", "json");
    let mut server = setup.start();
    server.client().check(7);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
    for line in server.log().lines() {
        let line = read(line);
        let told = ["time", "level", "target", "message"].map(|key| line[key].as_str());
        let [Some(time), Some("INFO"), Some(target), Some(_)] = told else { panic!("{line}") };
        assert!(target.starts_with("billion"), "{line}");
        // As RFC 3339 has it.
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    }
    let last = server.log().lines().last().map(read).expect("it said something");
    assert_eq!(last["message"], "stopped");

    let ran = setup.run(&["export", "copy.bxb"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.lines().map(read).count() > 0);
    // Also of settings that are wrong, which come after the format is known.
    let (status, said) = setup.fail_to_start(&["--set", "limiter.limit=abc"]);
    assert_eq!(status.code(), Some(2));
    let said: Vec<_> = said.lines().map(read).collect();
    assert_eq!((said.len(), &said[0]["level"]), (1, &Value::from("ERROR")), "{said:?}");
}

#[test]
fn the_log_says_why_a_connection_ended() {
    let server = Setup::new(1000, 1).with("LOG__LEVEL", CONNECTIONS).start();
    let mut player = server.client();
    let listed = request(server.admin, "GET", "/connections", &[]).body;
    let id = read(&listed)["connections"][0]["id"].as_str().expect("one is there").to_owned();
    let of_it = format!("connection={id}");
    line(&server, &["DEBUG 127.0.0.1 is let in", &of_it]);
    player.send(b"odd");
    line(&server, &["DEBUG 127.0.0.1 is sent away: 1008 message length", &of_it]);
    drop(server.client());
    line(&server, &["DEBUG 127.0.0.1 is gone without a Close", "connection="]);

    let setup = Setup::new(1000, 1).with("LOG__LEVEL", CONNECTIONS).with("LOG__FORMAT", "json");
    let server = setup.start();
    server.client().send(b"odd");
    let last = line(&server, &["is sent away"]);
    let of_it: Vec<_> = server
        .log()
        .lines()
        .map(read)
        .filter(|line| line["connection"] == read(&last)["connection"])
        .map(|line| line["message"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(of_it, ["127.0.0.1 is let in", "127.0.0.1 is sent away: 1008 message length"]);
}

/// Has the server read its settings again, and waits until it says `what`.
fn reads(setup: &Setup, server: &Server, text: &str, what: &str) {
    fs::write(setup.folder().join("settings.toml"), text).expect("a writable file");
    let before = server.log().len();
    server.signal("-HUP");
    eventually(what, || server.log()[before..].contains(what).then_some(()));
}

#[test]
fn level_and_format_change_while_it_serves() {
    let setup = Setup::new(1000, 1).without_terminal().with_heeded("HUP");
    let server = setup.start();
    let comes = || drop(server.client());
    comes();
    let level = |level: &str| format!("[log]\nlevel = \"{level}\"\n");
    let changed = format!("log.level: \"info\" → \"{CONNECTIONS}\"");
    reads(&setup, &server, &level(CONNECTIONS), &changed);
    assert!(!server.log().contains("is let in"), "{}", server.log());
    comes();
    line(&server, &["DEBUG 127.0.0.1 is let in"]);

    // A mistake leaves it as it is.
    let mistake = "settings.toml:2: log.level = \"loud\": \"loud\" is no level";
    reads(&setup, &server, &level("loud"), mistake);
    let before = server.log().matches("is let in").count();
    comes();
    eventually("a line more", || {
        (server.log().matches("is let in").count() > before).then_some(())
    });

    // What is said last is that nothing is said any more, but for what must be.
    reads(&setup, &server, &level("off"), " → \"off\"");
    reads(&setup, &server, "[limiter]\nburst = 0\n", "ERROR settings.toml:2: limiter.burst = 0");
    reads(&setup, &server, "[log]\nformat = \"json\"\n", "\"2 settings have changed\"");
    // By the next time all lines are JSON.
    reads(&setup, &server, "[log]\nformat = \"json\"\n", "\"no setting has changed\"");
    let log = server.log();
    let last = log.lines().last().map(read).expect("it said something");
    assert_eq!(last["target"], "billion::reload");
}

#[test]
fn rust_log_wins_over_the_file_and_what_must_be_said_is_said_all_the_same() {
    let setup = Setup::new(1000, 1).with_variable("RUST_LOG", "billion::startup=info");
    let setup = setup.without_terminal().with_heeded("HUP");
    let setup = setup.with_file("settings.toml", "[log]\nlevel = \"trace\"\n");
    let server = setup.start();
    drop(server.client());
    reads(&setup, &server, "[log]\nlevel = \"loud\"\n[limiter]\nburst = 0\n", "limiter.burst = 0");
    let log = server.log();
    let kinds: Vec<_> = log.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(kinds, ["INFO", "INFO", "INFO", "ERROR"], "{log}");
}

/// Has one place log so many lines at `info`.
fn repeat(server: &Server, times: usize) {
    for _ in 0..times {
        assert_eq!(request(server.admin, "GET", "/export?from=7", &[]).status, 400);
    }
}

#[test]
fn lines_that_repeat_become_a_few_and_a_sum_that_comes_by_itself() {
    let mut server = Setup::new(1000, 1).start();
    repeat(&server, 25);
    let sum = line(&server, &["INFO  … and ", " more like it in ", " s: refused: "]);
    // Should one have come before that and one after, or the machine have been slow, there are fewer.
    let held = sum.split(' ').skip_while(|word| *word != "and").nth(1).expect("a number");
    let held: usize = held.parse().expect("a number");
    let written = server.log().matches("INFO  refused: ").count();
    assert_eq!(written + held, 25, "{}", server.log());

    // And at the end, however soon.
    repeat(&server, 120);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = server.log();
    let (before, last) = log.trim_end().rsplit_once('\n').expect("lines");
    assert!(before.ends_with("stopped") && last.contains(" more like it in "), "{log}");
}

/// A server whose stderr is read by nobody but the test.
struct Unread {
    child: Child,
    /// None: closed.
    stderr: Option<BufReader<ChildStderr>>,
    players: SocketAddr,
    operators: SocketAddr,
    /// Has its folder.
    _setup: Setup,
}

impl Unread {
    fn start(setup: Setup) -> Self {
        let mut child = setup.spawn(&[]);
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut announced = |what: &str| -> SocketAddr {
            let mut line = String::new();
            while !line.contains(what) {
                line.clear();
                assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it has ended");
            }
            let (_, address) = line.split_once(what).expect("it is there");
            let end = address.find(['/', ' ', '\n']).expect("an end");
            address[..end].replace("localhost", "127.0.0.1").parse().expect("an address")
        };
        let players = announced("listening on http://");
        let operators = announced("metrics on http://");
        Self { child, stderr: Some(stderr), players, operators, _setup: setup }
    }

    fn fill_the_log(&self) {
        // A pipe has 64 KiB, the queue and what is under way 1 MiB each.
        eventually("lines are dropped", || {
            let path = format!("/o{}", "x".repeat(4000));
            request(self.players, "GET", &path, &[]);
            (self.dropped() > 0.0).then_some(())
        });
    }

    /// A player checks a box, and is told that it is checked.
    fn plays(&self, id: u32) {
        let mut player = Client::connect(self.players, "/ws");
        player.check(id);
        assert!(matches!(player.next(), Told::Update { id: checked, .. } if checked == id));
    }

    fn metric(&self, name: &str) -> f64 {
        let body = request(self.operators, "GET", "/metrics", &[]).body;
        let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect("there is one").parse().expect("a number")
    }

    fn dropped(&self) -> f64 {
        self.metric("billion_log_lines_dropped_total")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill can be run").success());
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loud() -> Setup {
    let setup = Setup::new(1000, 1).with("LOG__LEVEL", "debug").with("SERVER__WORKERS", 1);
    setup.with_file("settings.toml", REFUSING)
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_nobody_and_what_was_lost_is_counted() {
    let mut server = Unread::start(loud());
    server.fill_the_log();
    (1..=20).for_each(|id| server.plays(id));
    assert_eq!(request(server.operators, "GET", "/readyz", &[]).status, 200);
    let dropped = server.dropped();

    // Somebody reads again.
    let mut stderr = server.stderr.take().expect("it is open");
    let mut line = String::new();
    while !line.contains(" missing here: stderr did not take them") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it has ended");
    }
    let told: String = line.split_once("WARN  ").expect("a warning").1.to_owned();
    let told: String = told.chars().take_while(|c| *c != ' ').filter(|c| *c != ',').collect();
    assert!(told.parse::<f64>().expect("a number") >= dropped, "{told} of {dropped}");
    server.plays(21);
    server.signal("-TERM");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    assert!(rest.trim_end().ends_with("INFO  stopped"), "{rest}");
    assert_eq!(server.child.wait().expect("it runs").code(), Some(0));
}

#[test]
fn a_server_ends_in_time_though_nobody_reads_what_it_says() {
    let mut server = Unread::start(loud());
    server.fill_the_log();
    server.signal("-TERM");
    let ended = eventually("its end", || server.child.try_wait().expect("it can be asked"));
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_stderr_that_is_gone_is_no_reason_to_end() {
    let mut server = Unread::start(loud());
    server.stderr = None;
    server.fill_the_log();
    server.plays(1);
    assert_eq!(server.metric("billion_panics_total"), 0.0);
    server.signal("-TERM");
    let ended = eventually("its end", || server.child.try_wait().expect("it can be asked"));
    assert_eq!(ended.code(), Some(0));
}
