//! Too much of something from one address, and what others notice of it: nothing.
//!
//! That one address gets no more than its share, however it connects, is shown in `limits.rs`.

use std::{
    io::{ErrorKind, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use super::{rest, status};
use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    eventually,
    origin::{client_from, stream_from},
    server::{Server, Setup},
};

const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 3);

/// As a server is that nobody has set anything for.
fn usual() -> Setup {
    let limits = ["LIMITS__ADDRESS", "LIMITER__LIMIT", "LIMITER__RANGE_LIMIT"];
    limits.into_iter().fold(Setup::new(100_000, 1), Setup::without)
}

/// A player, once there is a token for it: a server has none when it starts.
fn let_in(server: &Server, from: Ipv4Addr, path: &str) -> Client {
    eventually("a token", || client_from(from, server.address, path))
}

/// What the page is, asked for by `from`.
fn page(server: &Server, from: Ipv4Addr) -> String {
    let mut stream = stream_from(from, server.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let asked = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    stream.write_all(asked.as_bytes()).expect("it takes a request");
    rest(&stream)
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("an option can be set");
    stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// There are 2,048 places, and whoever has one may be silent for five seconds.
#[test]
fn six_thousand_silent_connections_keep_a_page_from_nobody() {
    let server = usual().with("SERVER__WORKERS", 1).with("SERVER__TRUSTED_PROXIES", PROXY).start();
    // Proxies give nothing up, so this one, which is there before all others, ends first of all that may be silent to
    // the end of their time.
    let first = stream_from(PROXY, server.address).expect("it listens");
    let silent: Vec<_> =
        (0..6000).map(|_| stream_from(FLOOD, server.address).expect("it listens")).collect();
    let page = page(&server, OTHER);
    assert!(is_open(&first), "the page came when the first of {} had had its time", silent.len());
    assert!(status(&page) == 200 && page.contains("</html>"), "{page}");
}

/// Held up again and again, at least at times.
fn is_held_up(server: &Server) {
    eventually("it is held up", || {
        (server.metric("billion_sessions_throttled ") == 1.0).then_some(())
    });
}

#[test]
fn whoever_floods_with_pings_or_pongs_is_read_slowly_and_nobody_else_waits() {
    for first in [0x89, 0x8A] {
        let server = usual().start();
        let mut flooder = let_in(&server, FLOOD, "/ws");
        let mut other = let_in(&server, OTHER, "/ws");
        // Empty, masked with zeros. Fifty are taken at once and ten a second from then on: what comes behind them
        // has to wait for more than three minutes.
        flooder.send_raw(&[first, 0x80, 0, 0, 0, 0].repeat(2000));
        flooder.check(1);
        is_held_up(&server);
        other.check(2);
        assert_eq!(other.next(), Told::Update { total: 1, id: 2 });
    }
}

#[test]
fn whoever_floods_with_checks_is_answered_slowly_and_nobody_else_waits() {
    const CHECKS: u32 = 2000;
    let server = usual().start();
    let mut flooder = let_in(&server, FLOOD, "/ws?v=2");
    let mut other = let_in(&server, OTHER, "/ws?v=2");
    (1..=CHECKS).for_each(|id| flooder.check(id));
    is_held_up(&server);
    other.check(CHECKS + 1);
    assert!(matches!(other.next(), Told::Update { id, .. } if id == CHECKS + 1));
    // Twenty were taken and as many refused, and a few a second more of either: most have not been looked at.
    let answered = ["billion_checks_received_total ", "billion_refusals_total{reason=\"rate\"} "];
    let answered: f64 = answered.map(|name| server.metric(name)).iter().sum();
    assert!(answered < f64::from(CHECKS), "{answered} were answered at once");
}
