//! More clients than there is room for: who is turned away is told when to come back, those inside
//! notice nothing, and the operator hears of it before descriptors run out.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Output,
};

use crate::harness::{
    client::{Client, Told, handshake},
    eventually,
    server::{Response, Server, Setup, request},
    swarm,
};

/// Of the boards on which `swarm` plays.
const BOXES: u32 = 1_600_000;

/// A WebSocket handshake as from the own page, with one header more.
fn knock(at: SocketAddr, extra: (&str, &str)) -> Response {
    let own = format!("http://{at}");
    let headers = [&handshake(&own)[..], &[extra]].concat();
    request(at, "GET", "/ws", &headers)
}

/// The seconds of `Retry-After`.
fn retry_after(refused: &Response) -> u32 {
    let value = refused.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let value = value.unwrap_or_else(|| panic!("no Retry-After: {refused:?}"));
    value.parse().expect("a number of seconds")
}

/// Enough refusals that not all of them say the same by chance: 11 values, 40 draws.
fn is_spread(refuse: impl Fn() -> Response, status: u16) {
    let told: BTreeSet<u32> = (0..40)
        .map(|_| {
            let refused = refuse();
            assert_eq!(refused.status, status, "{refused:?}");
            retry_after(&refused)
        })
        .collect();
    assert!(told.len() > 1, "all would come back together: {told:?}");
    assert!(told.iter().all(|seconds| (5..=15).contains(seconds)), "{told:?}");
}

#[test]
fn a_full_node_says_when_to_come_back_and_plays_on() {
    let server = Setup::new(1000, 1).with("SERVER__MAX_CONNECTIONS", 3).start();
    let mut players: Vec<_> = (0..3).map(|_| server.client()).collect();
    is_spread(|| knock(server.address, ("X-Odd", "")), 503);
    players[0].check(7);
    for player in &mut players {
        assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    }
    assert_eq!(server.metric("billion_refusals_total{reason=\"full\"}"), 40.0);
    players.pop();
    eventually("the place that was given back", || {
        Client::try_connect(server.address, "/ws").map(drop)
    });
}

#[test]
fn behind_a_trusted_proxy_each_address_has_its_own_limit() {
    let setup = Setup::new(1000, 1).without("LIMITS__ADDRESS");
    let setup = setup.with("LIMITS__ADDRESS_CONNECTS", "off");
    let setup = setup.with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 2);
    let server = setup.with("SERVER__TRUSTED_PROXIES", "127.0.0.1").start();
    let _held = [1, 2].map(|_| held_from(&server, "192.0.2.1"));
    is_spread(|| knock(server.address, ("X-Forwarded-For", "192.0.2.1")), 429);
    assert_eq!(knock(server.address, ("X-Forwarded-For", "192.0.2.2")).status, 101);
    assert_eq!(knock(server.address, ("X-Forwarded-For", "192.0.2.1")).status, 429);
}

/// A connection that the proxy holds open for a client at `address`.
fn held_from(server: &Server, address: &str) -> TcpStream {
    let at = server.address;
    let mut stream = TcpStream::connect(at).expect("the server listens");
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: {address}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it takes a request");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    stream
}

/// Connections that say nothing take descriptors, and no limit of players counts them.
#[test]
fn the_log_warns_before_descriptors_run_out_and_says_when_that_is_over() {
    const FILES: u32 = 150;
    let server = Setup::new(1000, 1).with("SERVER__WORKERS", 1).with_open_files(FILES).start();
    assert_eq!(server.metric("process_max_fds "), f64::from(FILES));
    let mut player = server.client();
    let mut silent = Vec::new();
    eventually("a warning", || {
        // They are given up after 5 s each, so there have to be new ones; never so many that the
        // metrics could not be asked.
        if server.metric("process_open_fds ") < 0.95 * f64::from(FILES) {
            silent.push(TcpStream::connect(server.address).expect("the server listens"));
        }
        server.log().contains("files are running out: ").then_some(())
    });
    assert!(server.metric("billion_http_connections ") > 10.0);
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    drop(silent);
    eventually("the end of it", || server.log().contains("files suffice again: ").then_some(()));
    eventually("all of them gone", || {
        (server.metric("billion_http_connections ") == 0.0).then_some(())
    });
    let log = server.log();
    assert_eq!(log.matches("files are running out").count(), 1, "one line, not one each: {log}");
    assert!(log.contains(&format!("of {FILES} are open, 1 of them players")), "{log}");
}

/// HTTP is given a connection when it speaks: until then it is only counted.
#[test]
fn connections_that_say_nothing_are_given_up_and_keep_nobody_out() {
    let server = Setup::new(1000, 1).with("SERVER__WORKERS", 1).start();
    let silent: Vec<_> =
        (0..500).map(|_| TcpStream::connect(server.address).expect("it listens")).collect();
    eventually("all accepted", || {
        (server.metric("billion_http_connections ") >= 500.0).then_some(())
    });
    let mut player = server.client();
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    eventually("they were given up", || {
        (server.metric("billion_http_connections ") == 0.0).then_some(())
    });
    drop(silent);
}

/// Everybody is cut off and back at once, three times: no handshake fails, those who stayed have heard
/// every check once, and so has everybody who was there, since they came. `swarm` keeps the books.
#[test]
fn a_crowd_that_was_cut_off_comes_back_and_nobody_who_stayed_notices() {
    let server = Setup::new(BOXES, 4).start();
    for how in [&["--by", "reset"][..], &["--by", "end", "--v2"]] {
        let figures =
            swarm_figures(&["storm", "--listeners", "400", "--hold", "0.5"], how, &server);
        assert_eq!(figures["cuts"], 3, "{figures}");
        assert_eq!(figures["back_min"], 400, "{figures}");
        assert_eq!(figures["turned_away"], 0, "{figures}");
        // Those who came back, and nobody twice.
        assert_eq!(figures["handshake_count"], 3 * 400, "{figures}");
        eventually("all have gone", || {
            (server.metric("billion_connections ") == 0.0).then_some(())
        });
        let http = server.metric("billion_http_connections ");
        assert_eq!(http, 0.0, "no connection is left half open");
    }
    assert_eq!(server.metric("billion_panics_total "), 0.0);
}

/// There is room for exactly those who were cut off: whoever is back before the server has noticed is
/// turned away and comes again, and no place is lost.
#[test]
fn places_of_a_crowd_that_was_cut_off_are_free_again() {
    let server = Setup::new(BOXES, 4).with("SERVER__MAX_CONNECTIONS", 204).start();
    let figures = swarm_figures(&["storm", "--listeners", "200"], &["--hold", "0.2"], &server);
    assert_eq!(figures["back_min"], 200, "{figures}");
    eventually("all have gone", || (server.metric("billion_connections ") == 0.0).then_some(()));
    let players: Vec<_> = (0..204).map(|_| server.client()).collect();
    assert_eq!(server.metric("billion_connections "), players.len() as f64);
}

/// A limit for people is not a server that loses checks.
#[test]
fn a_load_that_the_limiter_holds_back_is_told_so() {
    let limited =
        || Setup::new(BOXES, 4).with("LIMITER__LIMIT", 10).with("LIMITER__BURST", 20).start();
    for load in
        [&["fanout", "--listeners", "5", "--rate", "1000"][..], &["checks", "--plain"], &["checks"]]
    {
        let output = swarm_output(load, &["--seconds", "1", "--warmup", "1"], &limited());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{load:?}: {told}");
        assert!(told.contains("LIMITER_LIMIT=0"), "{load:?}: {told}");
        assert!(output.stdout.is_empty(), "no figures that mean nothing");
    }
    let slow = ["fanout", "--listeners", "5", "--rate", "20", "--checkers", "4"];
    let figures = swarm_figures(&slow, &["--seconds", "1", "--warmup", "1"], &limited());
    assert!(figures["checks_sent_in_all"].as_u64() > Some(0), "below the limit all is well");
}

/// Runs `swarm` against a server nobody else plays on; its figures, once its books balance.
fn swarm_figures(command: &[&str], more: &[&str], server: &Server) -> serde_json::Value {
    let output = swarm_output(command, more, server);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", server.log());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["figures"].clone()
}

fn swarm_output(command: &[&str], more: &[&str], server: &Server) -> Output {
    swarm::command()
        .args(command)
        .args(more)
        .args(["--url", &format!("ws://{}", server.address)])
        .args(["--boxes", &BOXES.to_string(), "--exclusive", "true", "--json", "-"])
        .output()
        .expect("swarm can be run")
}
