//! Clients that take their time: to say what they want, to send what nobody asked for, to read what they are told.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{listeners, rest, say, send, statuses};
use crate::harness::{
    PATIENCE,
    server::{Server, Setup, request},
    within,
};

/// Sends a byte, and another one each time nothing has come for a moment; what comes until the connection ends.
fn drip(to: SocketAddr, begin: &str) -> String {
    let mut stream = send(to, begin.as_bytes());
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
    let (deadline, mut answer) = (Instant::now() + PATIENCE, Vec::new());
    while Instant::now() < deadline {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes) {
            Ok(0) => return String::from_utf8_lossy(&answer).into_owned(),
            Ok(read) => answer.extend_from_slice(&bytes[..read]),
            Err(error) if super::is_pause(&error) => _ = stream.write_all(b"a"),
            Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
    panic!("{to} goes on waiting for {begin:?}")
}

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_given_up() {
    let server = Setup::new(1000, 1).start();
    // Side by side: each takes five seconds.
    std::thread::scope(|scope| {
        for to in listeners(&server) {
            for begin in ["G", "GET / HTTP/1.1\r\nHost: x\r\nX-Odd: "] {
                scope.spawn(move || {
                    assert_eq!(statuses(&drip(to, begin)), [408], "{begin:?}");
                });
            }
        }
    });
}

/// Nothing that players send has a body.
#[test]
fn a_body_is_not_waited_for() {
    let server = Setup::new(1000, 1).start();
    for (method, path, wanted) in [
        ("POST", "/", 405),
        ("POST", "/ws", 405),
        ("GET", "/overview", 200),
        ("GET", "/static/main.js", 200),
        ("POST", "/nothing", 405),
    ] {
        for body in [
            "Content-Length: 1000000\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            let told =
                say(server.address, format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{body}"));
            assert_eq!(statuses(&told), [wanted], "{method} {path} {body:?}");
        }
    }
    // Expected to say whether it wants it, the server does not wait, either.
    let expecting =
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let told = say(server.address, expecting);
    assert_eq!(statuses(&told).last(), Some(&405), "{told}");
}

/// HTTP goes on reading chunks that nobody wants, for as long as any come: whoever sent none kept a place each.
#[test]
fn bodies_without_an_end_keep_nobody_out() {
    let server = Setup::new(1000, 1).with("SERVER__WORKERS", 1).start();
    let endless = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    // More than there are places, and all open as far as their clients are concerned.
    let held: Vec<_> = (0..2300).map(|_| send(server.address, endless)).collect();
    assert_eq!(server.get("/").status, 200);
    for one in &held {
        assert_eq!(statuses(&rest(one)), [405]);
    }
}

#[test]
#[ignore = "long: an upload may be silent for half a minute"]
fn an_upload_that_stops_is_given_up() {
    let server = Setup::new(1000, 1).start();
    let begun = b"POST /import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-billion-backup\r\n\
                  Content-Length: 400\r\n\r\nBXB";
    let told = rest(&send(server.admin, begun));
    assert_eq!(statuses(&told), [408], "{told}");
    // The one place for imports is free again.
    let typed = [("Content-Type", "application/x-billion-backup"), ("Content-Length", "0")];
    assert_eq!(request(server.admin, "POST", "/import", &typed).status, 422);
}

/// A client that has as little room for answers as it may.
fn deaf(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option can be set");
    socket.connect(&server.address.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
    stream
}

/// Sends short requests for long answers until no more are taken.
fn ask_too_much(mut client: &TcpStream) {
    let asked = b"GET /static/around.css HTTP/1.1\r\nHost:x\r\n\r\n".repeat(1000);
    let blocked = (0..1000).any(|_| client.write_all(&asked).is_err());
    assert!(blocked, "the server goes on reading from a client that does not");
}

/// HTTP reads 128 KB at once, and keeps each request in them, a kilobyte, until it is answered.
#[test]
fn requests_whose_answers_nobody_reads_cost_little_memory() {
    const CLIENTS: u64 = 20;
    let server = Setup::new(1000, 1).start();
    let clients: Vec<_> = (0..CLIENTS).map(|_| deaf(&server)).collect();
    assert_eq!(server.get("/").status, 200);
    let before = server.resident();
    clients.iter().for_each(ask_too_much);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < CLIENTS * 512 * 1024, "{CLIENTS} clients cost {grown} bytes");
    assert_eq!(server.get("/").status, 200, "and nobody else waits");
}

/// Connections that are kept live for minutes; one whose answers are not taken has half a minute.
#[test]
#[ignore = "long: half a minute is what a client has to read"]
fn whoever_asks_and_never_reads_loses_its_place_long_before_its_connection_is_old() {
    let server = Setup::new(1000, 1).start();
    let client = deaf(&server);
    ask_too_much(&client);
    assert_eq!(server.metric("billion_http_connections "), 1.0);
    within(Duration::from_secs(60), "its end", || {
        (server.metric("billion_http_connections ") == 0.0).then_some(())
    });
}
