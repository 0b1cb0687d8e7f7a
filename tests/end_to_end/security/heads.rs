//! What is no HTTP/1.1, and heads that are too long.

use super::{head, listeners, say, send, status, statuses};
use crate::harness::{
    client::KEY,
    server::{Server, Setup},
};

/// The statuses of whatever answers these bytes on both listeners, until the connection ends.
fn fates(server: &Server, bytes: impl AsRef<[u8]>) -> [Vec<u16>; 2] {
    listeners(server).map(|to| statuses(&say(to, bytes.as_ref())))
}

#[test]
fn older_http_is_answered_and_plays_no_part_in_handshakes() {
    let server = Setup::new(1000, 1).start();
    for fate in fates(&server, "GET /healthz HTTP/1.0\r\n\r\n") {
        assert_eq!(fate, [200], "without Host, and over with its answer");
    }
    let own = format!("http://{}", server.address);
    let handshake = |version: &str, path: &str| {
        let asked = format!(
            "GET {path} {version}\r\nHost: {}\r\nOrigin: {own}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            server.address
        );
        status(&head(&send(server.address, asked.as_bytes())))
    };
    assert_eq!(handshake("HTTP/1.1", "/ws"), 101);
    assert_eq!(handshake("HTTP/1.0", "/ws"), 400);
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "HTTP/1.1 ", "http/1.1", ""] {
        assert_eq!(handshake(version, "/ws"), 400, "{version:?}");
    }
    for bytes in [
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        // The first bytes of TLS.
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
    ] {
        for fate in fates(&server, bytes) {
            assert_eq!(fate, [400], "{bytes:?}");
        }
    }
}

/// Whoever could switch a proxy's connection to HTTP/2 in the clear would be past whatever that proxy checks.
#[test]
fn nobody_speaks_http_2_in_the_clear() {
    let server = Setup::new(1000, 1).start();
    for offer in ["Upgrade", "Upgrade, HTTP2-Settings", "HTTP2-Settings", "close, Upgrade"] {
        let asked = format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: {offer}\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        );
        for to in listeners(&server) {
            let answer = head(&send(to, asked.as_bytes()));
            assert_eq!(status(&answer), 200, "{offer}: {answer}");
            assert!(!answer.to_lowercase().contains("upgrade: h2c"), "{answer}");
        }
    }
    // It is told from the start that it is expected to; a frame of settings would be the answer.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for fate in fates(&server, preface) {
        assert_eq!(fate, [400]);
    }
}

#[test]
fn a_head_of_too_many_or_too_long_lines_is_refused_and_a_long_one_is_not() {
    let server = Setup::new(1000, 1).start();
    let [players, operators] = listeners(&server);
    let with = |lines: &str| {
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")
    };
    // Two lines are there already.
    let many = |lines: usize| with(&"X-Odd: 1\r\n".repeat(lines - 2));
    let value = |length| with(&format!("X-Odd: {}\r\n", "x".repeat(length)));
    let name = |length| with(&format!("{}: 1\r\n", "x".repeat(length)));
    for (to, asked, wanted) in [
        (players, many(96), 200),
        (players, many(97), 431),
        (players, many(5000), 431),
        (players, value(59_000), 200),
        (players, value(61_000), 431),
        (players, name(59_000), 200),
        (players, name(70_000), 431),
        (operators, many(96), 200),
        (operators, many(97), 431),
        (operators, many(5000), 431),
        (operators, value(100_000), 200),
        (operators, value(140_000), 431),
    ] {
        assert_eq!(statuses(&say(to, &asked)), [wanted], "{} bytes: {}", asked.len(), &asked[..70]);
    }
    // Of what never ends, no more is read than what is too much.
    for to in [players, operators] {
        let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Odd: {}", "x".repeat(1_000_000));
        assert_eq!(statuses(&say(to, endless)), [431]);
    }
    // Nor is it where it follows another request, which has had its answer.
    let asked_before = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{}", name(70_000));
    assert_eq!(statuses(&say(players, asked_before)), [200]);
    assert_eq!(server.metric("billion_panics_total "), 0.0);
}
