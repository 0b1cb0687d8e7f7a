//! Following one connection: on this node and on another one, by whom, for how long.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};

use super::{Guarded, audit, await_each_other, change, with_token};
use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    cluster,
    server::{Server, Setup, request},
};

/// A stream of server-sent events: chunks begin and end where events do, so whoever ignores their lengths reads lines.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(to: SocketAddr, connection: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(to).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        write!(stream, "GET /trace/{connection} HTTP/1.1\r\nHost: {to}\r\n{headers}\r\n")
            .expect("it takes a request");
        let mut stream = Self(BufReader::new(stream));
        assert_eq!(stream.line(), "HTTP/1.1 200 OK");
        let (name, begun) = stream.next();
        assert_eq!((name.as_str(), &begun["connection"]), ("begin", &json!(connection)));
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).expect("a line in time") > 0, "the stream ended");
        line.trim_end().to_owned()
    }

    /// The name of the next event, and what it says.
    fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let line = self.line();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    /// The next event but pulses, without its time.
    fn event(&mut self) -> Value {
        loop {
            let (_, mut event) = self.next();
            if event["kind"] == "pulse" {
                continue;
            }
            if let Some(event) = event.as_object_mut() {
                event.remove("at_ms");
            }
            return event;
        }
    }
}

fn newest(server: &Server) -> String {
    let (_, answer) = change(server, "GET", "/connections", &Value::Null);
    let connections = answer["connections"].as_array().expect("a list");
    connections.last().expect("one")["id"].as_str().expect("text").to_owned()
}

/// Plays a little, and looks whether that is what is heard.
fn follows(stream: &mut Stream, client: &mut Client) {
    client.check(7);
    assert!(matches!(client.next(), Told::Update { id: 7, .. }));
    client.range(1, 40, &mut Vec::new());
    for wanted in [
        json!({ "what": "received", "kind": "check", "id": 7 }),
        json!({ "what": "sent", "kind": "updates", "count": 1, "total": 1, "ids": [7] }),
        json!({ "what": "received", "kind": "range", "first": 1, "last": 40 }),
        json!({ "what": "sent", "kind": "range", "first": 1, "bytes": 9, "checked": 1 }),
    ] {
        assert_eq!(stream.event(), wanted);
    }
}

#[test]
fn one_connection_is_followed_until_it_ends_and_no_other() {
    let server = Setup::new(1000, 2).start();
    let mut other = server.client_v2();
    let mut client = server.client_v2();
    let connection = newest(&server);
    let mut stream = Stream::open(server.admin, &connection, "");
    other.range(1, 8, &mut Vec::new());
    follows(&mut stream, &mut client);
    let (status, problem) = change(&server, "GET", &format!("/trace/{connection}"), &Value::Null);
    assert_eq!(status, 409, "{problem}");
    let (status, _) = change(
        &server,
        "DELETE",
        &format!("/connections/{connection}?reason=enough"),
        &Value::Null,
    );
    assert_eq!(status, 200);
    let wanted = json!({ "what": "sent", "kind": "close", "code": 1008, "reason": "enough" });
    assert_eq!(stream.event(), wanted);
    client.closed();
    let mut last = stream.next();
    while last.0 != "end" {
        last = stream.next();
    }
    assert_eq!(last.1["reason"], "the connection has ended");
    assert_eq!(audit(&server), ["trace", "trace", "connection.end"]);
    for (path, wanted) in [
        (format!("/trace/{connection}"), 404),
        ("/trace/nobody".to_owned(), 404),
        ("/trace/00000000-1".to_owned(), 404),
        (format!("/trace/{}?for_s=601", newest(&server)), 400),
        (format!("/trace/{}?for_s=0", newest(&server)), 400),
        (format!("/trace/{}?until=1", newest(&server)), 400),
    ] {
        let (status, problem) = change(&server, "GET", &path, &Value::Null);
        assert_eq!((status, &problem["status"]), (wanted, &json!(wanted)), "{path}: {problem}");
    }
}

#[test]
fn what_is_held_and_refused_is_seen() {
    let setup = Setup::new(1000, 1).with("LIMITER__LIMIT", 2).with("LIMITER__BURST", 1);
    let server = setup.start();
    let mut client = server.client();
    let mut stream = Stream::open(server.admin, &newest(&server), "");
    client.check(1);
    client.check(2);
    let mut heard = Vec::new();
    while heard.len() < 6 {
        heard.push(stream.event());
    }
    let has = |wanted: Value| assert!(heard.contains(&wanted), "{wanted}: {heard:#?}");
    has(json!({ "what": "held", "for": "rate" }));
    has(json!({ "what": "went_on" }));
}

#[test]
fn a_connection_of_another_node_is_followed_from_here() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "traces", 1000, 2).start();
    let (first, second) = (node(), node());
    let mut client = second.client_v2();
    let connection = newest(&second);
    await_each_other(&first, &second);
    let mut stream = Stream::open(first.admin, &connection, "");
    follows(&mut stream, &mut client);
    let (status, _) = change(&second, "GET", &format!("/trace/{connection}"), &Value::Null);
    assert_eq!(status, 409, "it is followed already");
    let number = connection.split_once('-').expect("an id").0;
    let (status, _) = change(&first, "GET", &format!("/trace/{number}-4000000"), &Value::Null);
    assert_eq!(status, 404, "that node knows no such connection");
    drop(client);
    let mut last = stream.next();
    while last.0 != "end" {
        last = stream.next();
    }
    assert_eq!(last.1["reason"], "the connection has ended");
}

#[test]
fn viewers_follow_nobody_and_a_token_that_is_revoked_ends_the_stream() {
    let guarded = Guarded::new();
    let (alice, viewer) = (guarded.token("alice", "operator"), guarded.token("grafana", "viewer"));
    let server = guarded.setup.start();
    let _client = server.client_v2();
    let connections = with_token(server.admin, "GET", "/connections", &alice);
    let answer: Value = serde_json::from_str(&connections.body).expect("JSON");
    let connection = answer["connections"][0]["id"].as_str().expect("text").to_owned();
    let path = format!("/trace/{connection}");
    assert_eq!(request(server.admin, "GET", &path, &[]).status, 401);
    assert_eq!(with_token(server.admin, "GET", &path, &viewer).status, 403);
    let mut stream =
        Stream::open(server.admin, &connection, &format!("Authorization: Bearer {alice}\r\n"));
    let tokens = fs::read_to_string(&guarded.file).expect("the token file");
    let left: Vec<_> = tokens.lines().filter(|line| !line.starts_with("alice")).collect();
    fs::write(&guarded.file, left.join("\n")).expect("room");
    let mut last = stream.next();
    while last.0 != "end" {
        last = stream.next();
    }
    assert_eq!(last.1["reason"], "the token was revoked");
}

#[test]
fn a_command_follows_a_connection() {
    let setup = Setup::new(1000, 1);
    let server = setup.start();
    let mut client = server.client_v2();
    let connection = newest(&server);
    let from = format!("http://{}", server.admin);
    let following = std::thread::scope(|scope| {
        let command = scope
            .spawn(|| setup.run(&["admin", "trace", &connection, "--for", "3s", "--from", &from]));
        // Each box once, until the command has ended: it has begun somewhere in between.
        let mut id = 0;
        while !command.is_finished() {
            id = id % 1000 + 1;
            client.check(id);
            client.range(id, id, &mut Vec::new());
        }
        command.join().expect("it ran")
    });
    assert_eq!(following.code, Some(0), "{}", following.said);
    let printed = following.printed();
    assert!(
        printed.contains("  received  check id=") && printed.contains("  sent      range "),
        "{printed}"
    );
    let ran = setup.run(&["admin", "trace", "nobody", "--from", &from]);
    assert!(ran.code == Some(1) && ran.said.contains("no such connection"), "{}", ran.said);
}
