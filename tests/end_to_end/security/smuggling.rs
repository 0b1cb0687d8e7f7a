//! Requests whose end two servers may see at different places: whoever slips a second one past a proxy that way. Each of
//! these is refused, or answered as the last one of its connection; what follows in its bytes is nobody's request.

use std::net::SocketAddr;

use super::{listeners, say, say_all, statuses};
use crate::harness::server::{Server, Setup};

/// What is slipped in, and a word of what it would be answered with on either listener.
const SLIPPED: &str = "GET /limits/why HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n";
const ANSWERED: [&str; 2] = ["There is nothing at this address", "name an address"];

/// What comes of a request with these lines and `body`: its statuses.
fn fate(to: SocketAddr, first: &str, lines: &str, body: &str) -> Vec<u16> {
    judged(say(to, format!("{first}\r\nHost: localhost\r\n{lines}\r\n{body}")), lines, body)
}

fn judged(answers: String, lines: &str, body: &str) -> Vec<u16> {
    let slipped = ANSWERED.iter().any(|word| answers.contains(word));
    assert!(!slipped, "{lines:?} {body:?} slips a request in:\n{answers}");
    statuses(&answers)
}

/// The same on both listeners.
fn fates(server: &Server, first: &str, lines: &str, body: &str) -> [Vec<u16>; 2] {
    listeners(server).map(|to| fate(to, first, lines, body))
}

#[test]
fn a_request_of_two_lengths_is_refused() {
    let server = Setup::new(1000, 1).start();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for lines in [
        // Two answers to where it ends.
        &*format!("Content-Length: 5\r\n{chunked}"),
        &*format!("{chunked}Content-Length: 5\r\n"),
        &*format!("{chunked}Content-Length: 0\r\n"),
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5, 5\r\n",
        // Lengths that not everybody reads alike.
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5e0\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "Content-Length\0: 5\r\n",
        // Encodings that some take for chunked, and some for none.
        &*format!("{chunked}{chunked}"),
        &*format!("{chunked}Transfer-Encoding: identity\r\n"),
        &*format!("Transfer-Encoding: identity\r\n{chunked}"),
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0c\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X-Odd: 1\rTransfer-Encoding: chunked\r\n",
        "X-Odd: 1\0\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chun\u{212a}ed\r\n",
    ] {
        for method in ["GET /", "POST /", "POST /import"] {
            let body = format!("0\r\n\r\n{SLIPPED}");
            for fate in fates(&server, &format!("{method} HTTP/1.1"), lines, &body) {
                assert_eq!(fate, [400], "{method} {lines:?}");
            }
        }
    }
    for fate in fates(&server, "POST / HTTP/1.0", chunked, &format!("0\r\n\r\n{SLIPPED}")) {
        assert_eq!(fate, [400], "an encoding that HTTP/1.0 does not know");
    }
    assert_eq!(server.metric("billion_panics_total "), 0.0);
}

#[test]
fn nothing_in_a_body_that_nobody_reads_is_a_request() {
    let server = Setup::new(1000, 1).start();
    let (length, close) = (SLIPPED.len(), "Connection: close\r\n");
    // A whole body that looks like a request.
    let chunks = format!("{length:x}\r\n{SLIPPED}\r\n0\r\n\r\n");
    for (lines, body) in [
        (format!("{close}Content-Length: {length}\r\n"), SLIPPED),
        (format!("{close}Transfer-Encoding: chunked\r\n"), &*chunks),
    ] {
        for first in ["GET /healthz HTTP/1.1", "POST / HTTP/1.1", "POST /import HTTP/1.1"] {
            for fate in fates(&server, first, &lines, body) {
                assert_eq!(fate.len(), 1, "{first} {lines:?}: {fate:?}");
            }
        }
    }
    // Chunks whose sizes not everybody reads alike: what follows is neither body nor request. Operators' listener may
    // wait for the rest of one.
    for size in [
        "5;\n",
        "0x5\r\n",
        "+5\r\n",
        "-5\r\n",
        "5 \n",
        " 5\r\n",
        "5_0\r\n",
        "5\n",
        "\r\n",
        ";\r\n",
        "10000000000000000\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "0\r\nX: \n",
    ] {
        let (lines, body) = ("Transfer-Encoding: chunked\r\n", format!("{size}{SLIPPED}"));
        for to in listeners(&server) {
            let asked = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}");
            let fate = judged(say_all(to, asked), lines, &body);
            assert!(fate.len() <= 2 && !fate.contains(&200), "{size:?}: {fate:?}");
        }
    }
}

/// A proxy that knows of a body passes it on behind the head.
#[test]
fn a_request_that_wants_to_leave_http_is_the_last_of_its_connection() {
    let server = Setup::new(1000, 1).start();
    let length = format!("Content-Length: {}\r\n", SLIPPED.len());
    for (offer, lines) in [
        ("websocket", ""),
        ("websocket", &*length),
        ("h2c, websocket", &*length),
        ("websocket, h2c", &*length),
    ] {
        for path in ["/robots.txt", "/ws", "/overview", "/static/main.js"] {
            let lines = format!("Upgrade: {offer}\r\nConnection: Upgrade\r\n{lines}");
            let fate = fate(server.address, &format!("GET {path} HTTP/1.1"), &lines, SLIPPED);
            assert_eq!(fate.len(), 1, "{path} {lines:?}: {fate:?}");
        }
    }
    for target in ["evil.example:443", "/", "*"] {
        let fate = fate(server.address, &format!("CONNECT {target} HTTP/1.1"), "", SLIPPED);
        assert!(matches!(fate[..], [400..=499]), "{target}: {fate:?}");
    }
    assert_eq!(server.metric("billion_panics_total "), 0.0);
}
