//! Who may connect: pages of this server, however a browser spells that, and nobody else.

use std::net::SocketAddr;

use super::{head, send, status};
use crate::harness::{
    client::KEY,
    eventually,
    server::{Server, Setup, request},
};

/// Where the server is reached.
const HOST: &str = "play.example:8443";

/// The status of a handshake with these lines of `Origin` and whatever else.
fn knock(server: &Server, origins: &[&str], more: &str) -> u16 {
    let origins: String = origins.iter().map(|origin| format!("Origin: {origin}\r\n")).collect();
    handshake(server.address, &format!("{origins}{more}"))
}

fn handshake(to: SocketAddr, lines: &str) -> u16 {
    let head_of_it = format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    );
    status(&head(&send(to, head_of_it.as_bytes())))
}

/// What other pages are, or may look like.
const FOREIGN: [&str; 33] = [
    "",
    "null",
    "NULL",
    "*",
    "https://",
    "https://*",
    "file://",
    "about:blank",
    "data:text/html,x",
    "play.example:8443",
    "//play.example:8443",
    "ws://play.example:8443",
    "ftp://play.example:8443",
    "chrome-extension://play.example:8443",
    "https://evil.example",
    "https://evil.example:8443",
    "https://127.0.0.1:8443",
    // Another port is another origin, and so is none.
    "https://play.example",
    "https://play.example:8444",
    "https://play.example:84430",
    "http://play.example:80",
    // Names that begin, end or go on like ours.
    "https://sub.play.example:8443",
    "https://evilplay.example:8443",
    "https://play.example.evil.example:8443",
    "https://play.example:8443.evil.example",
    "https://play.example:8443@evil.example",
    "https://evil.example#play.example:8443",
    "https://evil.example/play.example:8443",
    "https://play.example:8443/page",
    "https://play.example:8443\\@evil.example",
    "https://play.exa\tmple:8443",
    "https://play\u{3002}example:8443",
    "https://play.example:8443, https://evil.example",
];

#[test]
fn no_spelling_of_a_foreign_origin_may_connect() {
    let server = Setup::new(1000, 1).start();
    for origin in FOREIGN {
        assert_eq!(knock(&server, &[origin], ""), 403, "{origin:?}");
    }
    for own in
        ["https://play.example:8443", "HTTPS://PLAY.EXAMPLE:8443", "http://play.example.:8443"]
    {
        assert_eq!(knock(&server, &[own], ""), 101, "{own:?}");
        // Two lines are none, whatever they say and in whatever order.
        for other in [own, "https://evil.example", "null", ""] {
            assert_eq!(knock(&server, &[own, other], ""), 403, "{own:?} and {other:?}");
            assert_eq!(knock(&server, &[other, own], ""), 403, "{other:?} and {own:?}");
        }
    }
    let refused = "billion_refusals_total{reason=\"origin\"} ";
    assert_eq!(server.metric(refused), (FOREIGN.len() + 3 * 2 * 4) as f64);
    eventually("nobody is left", || (server.metric("billion_connections ") == 0.0).then_some(()));
}

#[test]
fn a_list_of_origins_lets_in_those_and_not_even_the_own_page() {
    let listed = "https://board.example,https://Sub.example:8443";
    let server = Setup::new(1000, 1).with("SERVER__ALLOWED_ORIGINS", listed).start();
    for origin in ["https://board.example", "https://BOARD.example:443", "https://sub.example:8443"]
    {
        assert_eq!(knock(&server, &[origin], ""), 101, "{origin:?}");
    }
    let near = [
        "https://play.example:8443",
        "http://board.example",
        "https://board.example:8443",
        "https://sub.example",
        "https://sub.board.example",
        "https://board.example.evil.example",
        "https://board.example,https://Sub.example:8443",
    ];
    for origin in near.iter().chain(&FOREIGN) {
        assert_eq!(knock(&server, &[origin], ""), 403, "{origin:?}");
    }
}

/// Other headers say something of a page as well. None is believed instead of its origin.
#[test]
fn a_handshake_without_an_origin_is_no_pages_whatever_else_it_says() {
    let server = Setup::new(1000, 1).start();
    for more in [
        "",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Referer: https://play.example:8443/\r\n",
        "Sec-WebSocket-Origin: https://play.example:8443\r\n",
        "X-Forwarded-Host: play.example:8443\r\n",
    ] {
        assert_eq!(knock(&server, &[], more), 403, "{more:?}");
        assert_eq!(knock(&server, &["https://evil.example"], more), 403, "{more:?}");
    }
    let other_host = "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n";
    assert_eq!(knock(&server, &["https://evil.example"], other_host), 403);
    assert_eq!(knock(&server, &["https://play.example:8443"], "Host: evil.example\r\n"), 400);
    let programs = Setup::new(1000, 1).with("SERVER__ALLOW_MISSING_ORIGIN", true).start();
    assert_eq!(knock(&programs, &[], ""), 101);
    assert_eq!(knock(&programs, &["null"], ""), 403);
}

/// Why somebody is turned away is told to pages that would be let in, and lets nobody in.
#[test]
fn only_the_own_page_is_told_how_a_handshake_would_be_answered() {
    let server = Setup::new(1000, 1).start();
    let own = format!("http://{}", server.address);
    let why = |headers: &[(&str, &str)]| request(server.address, "GET", "/ws/why", headers);
    let site = |site| ("Sec-Fetch-Site", site);
    // By plain HTTP a browser says neither, and no page of another site could read the answer.
    for headers in [&[][..], &[site("same-origin")], &[("Origin", &*own)]] {
        let told = why(headers);
        assert_eq!(told.status, 200, "{headers:?}: {}", told.body);
        assert!(!told.head.contains("access-control-"), "{}", told.head);
    }
    for headers in [
        &[site("cross-site")][..],
        &[site("same-site")],
        &[("Origin", "http://evil.example")],
        &[("Origin", "http://evil.example"), site("same-origin")],
        &[("Origin", "null"), site("same-origin")],
    ] {
        assert_eq!(why(headers).status, 403, "{headers:?}");
    }
}
