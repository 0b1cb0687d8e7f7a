//! The stream of seconds: who gets it, what is in it, and how it ends.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use serde_json::{Value, json};

use super::{Guarded, change};
use crate::harness::{
    PATIENCE,
    client::again,
    eventually,
    server::{Setup, request},
};

const PATH: &str = "/ws/stats/stream";

/// A stream that is read as it comes.
struct Stream {
    socket: TcpStream,
    read: String,
}

impl Stream {
    fn open(to: SocketAddr, headers: &str) -> Self {
        let mut socket = TcpStream::connect(to).expect("the server listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let head = format!("GET {PATH} HTTP/1.1\r\nHost: {to}\r\n{headers}\r\n");
        socket.write_all(head.as_bytes()).expect("it takes a request");
        Self { socket, read: String::new() }
    }

    fn of(to: SocketAddr, token: &str) -> Self {
        Self::open(to, &format!("Authorization: Bearer {token}\r\n"))
    }

    /// Reads on; whether there was anything.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match again(|| self.socket.read(&mut buffer)) {
            Ok(read) => {
                self.read += &String::from_utf8_lossy(&buffer[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}; {}", self.read),
        }
    }

    /// What the next event of that name carries.
    fn event(&mut self, name: &str) -> Value {
        let begin = format!("event: {name}\ndata: ");
        loop {
            if let Some((_, rest)) = self.read.split_once(&begin)
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                let event = serde_json::from_str(data).expect("JSON");
                self.read = rest.to_owned();
                return event;
            }
            assert!(self.more(), "the stream has ended: {}", self.read);
        }
    }

    /// Reads to its end, which has to come: the last chunk, or that of the connection.
    fn ends(mut self) {
        while self.more() && !self.read.ends_with("\r\n0\r\n\r\n") {}
    }
}

#[test]
fn the_dashboards_files_are_for_everybody_and_the_stream_is_not() {
    let guarded = Guarded::new();
    let grafana = guarded.token("grafana", "viewer");
    let server = guarded.setup.start();
    let page = request(server.admin, "GET", "/", &[]);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.head.contains("content-security-policy: default-src 'none';"), "{}", page.head);
    assert!(page.body.contains("dashboard/main.js") && !page.body.contains("main board"));
    assert_eq!(request(server.admin, "GET", "/dashboard/main.js", &[]).status, 200);
    assert_eq!(request(server.admin, "GET", "/dashboard/no.js", &[]).status, 404);
    assert_eq!(request(server.address, "GET", "/dashboard/main.js", &[]).status, 404);
    assert_eq!(request(server.admin, "OPTIONS", "/", &[]).status, 204);
    let asked = |headers: &[(&str, &str)]| request(server.admin, "GET", PATH, headers);
    assert_eq!(asked(&[]).status, 401);
    assert_eq!(asked(&[("X-API-Key", "bc_wrong")]).status, 401);
    assert_eq!(request(server.admin, "GET", &format!("{PATH}?token={grafana}"), &[]).status, 401);
    for foreign in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(asked(&[("X-API-Key", &grafana), foreign]).status, 403, "{foreign:?}");
    }
    assert_eq!(asked(&[("X-API-Key", &grafana), ("Host", "evil.example")]).status, 421);
    assert_eq!(request(server.admin, "POST", PATH, &[("X-API-Key", &grafana)]).status, 403);

    let mut stream = Stream::of(server.admin, &grafana);
    assert_eq!(stream.event("caller"), json!({ "name": "grafana", "role": "viewer" }));
}

#[test]
fn every_second_has_the_nodes_and_what_this_one_refuses_and_who_is_busy() {
    let server = Setup::new(250_000, 2).start();
    let mut stream = Stream::open(server.admin, "");
    assert_eq!(stream.event("caller"), json!({ "name": "loopback", "role": "operator" }));
    let quiet = stream.event("stats");
    assert_eq!((&quiet["nodes"][0]["id"], &quiet["read_only"]), (&quiet["node"], &Value::Null));
    assert!(quiet["nodes"][0]["memory_bytes"].as_u64() > Some(1_000_000), "{quiet}");
    assert_eq!(quiet["nodes"][0]["to_screens_ms"], Value::Null, "nobody has checked: {quiet}");

    let mut clients = [server.client(), server.client()];
    let busy = [json!({ "address": "127.0.0.1", "connections": 2 })];
    let mut next_box = 1;
    let played = eventually("a second in which somebody played", || {
        clients[0].check(next_box);
        next_box += 1;
        let second = stream.event("stats");
        let is_measured = second["nodes"][0]["to_screens_ms"].as_f64() > Some(0.0);
        (is_measured && second["addresses"] == json!(busy)).then_some(second)
    });
    let [median, slowest] =
        ["to_screens_ms", "to_screens_max_ms"].map(|key| played["nodes"][0][key].as_f64());
    assert!(median <= slowest, "{played}");

    clients[1].send(b"odd");
    let (status, _) = change(&server, "POST", "/board/read-only", &json!({ "reason": "upgrade" }));
    assert_eq!(status, 200);
    let block = json!({ "network": "203.0.113.0/24" });
    assert_eq!(change(&server, "POST", "/blocks", &block).0, 200);
    let decided = eventually("a second with all of it", || {
        let second = stream.event("stats");
        let is_there = second["blocks"] == 1 && second["refusals"]["message"] == 1;
        (is_there && second["read_only"]["reason"] == "upgrade").then_some(second)
    });
    assert_ne!(decided["blocks_version"], quiet["blocks_version"]);
}

#[test]
fn sixty_four_may_watch_and_the_next_is_told_so() {
    let server = Setup::new(1000, 1).start();
    let mut watching: Vec<_> = (0..64).map(|_| Stream::open(server.admin, "")).collect();
    watching.iter_mut().for_each(|stream| _ = stream.event("caller"));
    let refused = request(server.admin, "GET", PATH, &[]);
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.head.contains("content-type: application/problem+json"), "{}", refused.head);
    assert!(refused.body.contains("64 dashboards"), "{}", refused.body);
    // Everybody has the same second.
    let mut seconds = watching.iter_mut().take(2).map(|stream| stream.event("stats"));
    let (one, other) = (seconds.next(), seconds.next());
    assert_eq!(one.map(|one| one["node"].clone()), other.map(|other| other["node"].clone()));
    watching.truncate(63);
    eventually("the place to be free", || {
        let mut stream = Stream::open(server.admin, "");
        stream.more();
        stream.read.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_stream_ends_with_its_token_and_others_go_on() {
    let guarded = Guarded::new();
    let (alice, bob) = (guarded.token("alice", "operator"), guarded.token("bob", "viewer"));
    let server = guarded.setup.start();
    let [mut hers, mut his] = [&alice, &bob].map(|token| Stream::of(server.admin, token));
    hers.event("stats");
    his.event("stats");
    let written = fs::read_to_string(&guarded.file).expect("the token file");
    let bobs = written.lines().find(|line| line.starts_with("bob ")).expect("his line");
    guarded.replace(&format!("{bobs}\n"));
    hers.ends();
    for _ in 0..2 {
        his.event("stats");
    }
    // Another role is another caller: whoever watches asks again, and learns it.
    guarded.replace(&format!("{}\n", bobs.replace("viewer", "operator")));
    his.ends();
    assert_eq!(Stream::of(server.admin, &bob).event("caller")["role"], "operator");
}

#[test]
fn open_streams_do_not_hold_up_the_end_of_a_node() {
    let setup = Setup::new(1000, 1).with("SERVER__SHUTDOWN_TIMEOUT_S", 60);
    let mut server = setup.start();
    let mut streams: Vec<_> = (0..8).map(|_| Stream::open(server.admin, "")).collect();
    streams.iter_mut().for_each(|stream| _ = stream.event("stats"));
    let began = Instant::now();
    server.signal("-TERM");
    assert!(server.wait().success(), "{}", server.log());
    println!("ended after {} ms", began.elapsed().as_millis());
    streams.into_iter().for_each(Stream::ends);
}

/// CPU time, so that it is the same beside other tests.
#[test]
fn twenty_dashboards_take_less_than_a_fiftieth_of_a_core_of_an_idle_node() {
    let server = Setup::new(10_000_000, 50).start();
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(server.admin, "")).collect();
    streams.iter_mut().for_each(|stream| _ = stream.event("stats"));
    let (before, began) = (server.cpu_time(), Instant::now());
    for _ in 0..10 {
        streams.iter_mut().for_each(|stream| _ = stream.event("stats"));
    }
    let share = (server.cpu_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("twenty dashboards: {:.2} % of a core", 100.0 * share);
    assert!(share < 0.02, "{share}");
}
