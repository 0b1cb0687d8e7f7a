//! Headers in which anybody may say to be somebody else.
//!
//! A peer on this machine that sends them is taken for a proxy nobody has named, so the strangers of these tests need
//! addresses of the internet: those of TEST-NET-3 (RFC 5737), in a network namespace of the test's own, which takes root.

use std::{
    env,
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    process::Command,
};

use super::{head, status};
use crate::harness::{
    PATIENCE,
    client::KEY,
    eventually,
    origin::stream_from,
    server::{Server, Setup},
};

const SERVER: &str = "203.0.113.1:0";
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
const PROXY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const BLOCKED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// Has no limits.
const FRIEND: &str = "192.0.2.1";

/// What a stranger may say.
const LIES: [&str; 9] = [
    "X-Forwarded-For: 192.0.2.1\r\n",
    "X-Forwarded-For: 127.0.0.1\r\n",
    "X-Forwarded-For: 192.0.2.1, 203.0.113.2\r\nX-Forwarded-For: 203.0.113.2\r\n",
    "x-forwarded-for:192.0.2.1\r\nX-FORWARDED-FOR: ::1\r\n",
    "Forwarded: for=192.0.2.1\r\n",
    "Forwarded: for=\"[2001:db8::1]:4711\";by=203.0.113.2\r\nX-Forwarded-For: 192.0.2.1\r\n",
    "X-Real-IP: 192.0.2.1\r\nTrue-Client-IP: 192.0.2.1\r\nCF-Connecting-IP: 192.0.2.1\r\n",
    "X-Client-IP: 192.0.2.1\r\nX-Originating-IP: 127.0.0.1\r\nClient-IP: 192.0.2.1\r\n",
    "Via: 1.1 203.0.113.2\r\nX-Forwarded-Host: 203.0.113.2\r\n",
];

/// Set for the test that runs in a network of its own.
const INSIDE: &str = "BILLION_TEST_INSIDE";

/// Runs `work` of this very test, which is called `name`, in a network without anybody else.
fn in_a_network_of_its_own(name: &str, work: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return work();
    }
    let script = "ip link set lo up && ip route add local 203.0.113.0/24 dev lo && \
                  exec \"$0\" --exact \"$1\" --nocapture";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(env::current_exe().expect("this program"))
        .arg(name)
        .env(INSIDE, "yes")
        .output()
        .expect("unshare (util-linux) can be run");
    let [printed, said] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(
        !said.contains("unshare failed"),
        "this test needs root (or: -- --skip forwarding): {said}"
    );
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}\n{said}");
}

/// The head of an answer to a request from `peer`, and its connection.
fn ask(peer: Ipv4Addr, server: &Server, first: &str, lines: &str) -> (u16, TcpStream) {
    let to = server.address;
    let mut stream = stream_from(peer, to).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let asked = format!("{first} HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n");
    stream.write_all(asked.as_bytes()).expect("it takes a request");
    (status(&head(&stream)), stream)
}

fn get(peer: Ipv4Addr, server: &Server, lines: &str) -> u16 {
    ask(peer, server, "GET /robots.txt", lines).0
}

/// A handshake of the own page.
fn knock(peer: Ipv4Addr, server: &Server, lines: &str) -> (u16, TcpStream) {
    let shaken = format!(
        "Origin: http://{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}",
        server.address
    );
    ask(peer, server, "GET /ws", &shaken)
}

/// One connection for an address, and no other limit.
fn one_each() -> Setup {
    let setup = Setup::new(1000, 1).with("SERVER__ADDRESS", SERVER).without("LIMITS__ADDRESS");
    setup
        .with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 1)
        .with("LIMITS__ADDRESS_CONNECTS", "off")
        .with("LIMITS__ADDRESS_REQUESTS", "off")
}

#[test]
fn a_stranger_is_who_it_is_whatever_it_says() {
    in_a_network_of_its_own(
        "security::forwarding::a_stranger_is_who_it_is_whatever_it_says",
        || {
            let server = one_each().start();
            let (let_in, _held) = knock(STRANGER, &server, "");
            assert_eq!(let_in, 101);
            for lies in LIES {
                assert_eq!(knock(STRANGER, &server, lies).0, 429, "{lies:?}");
            }
            // Nor does anybody lose a place for what another one says.
            let as_another = format!("X-Forwarded-For: {STRANGER}\r\n");
            assert_eq!(knock(NEIGHBOUR, &server, &as_another).0, 101);
        },
    );
}

#[test]
fn no_list_and_no_limit_is_escaped_by_what_a_stranger_says() {
    let name = "security::forwarding::no_list_and_no_limit_is_escaped_by_what_a_stranger_says";
    in_a_network_of_its_own(name, || {
        // Nobody has more than one token within the hour.
        let server = Setup::new(1000, 1)
            .with("SERVER__ADDRESS", SERVER)
            .without("LIMITS__ADDRESS")
            .with("LIMITS__ADDRESS_REQUESTS", "1-H")
            .with("LIMITS__ALLOW", FRIEND)
            .with("LIMITS__BLOCK", BLOCKED)
            .start();
        assert_eq!(get(STRANGER, &server, ""), 200);
        for lies in LIES.iter().chain(&[""]) {
            assert_eq!(get(STRANGER, &server, lies), 429, "{lies:?}");
            assert_eq!(get(BLOCKED, &server, lies), 403, "{lies:?}");
        }
        // These headers are read, and mean something where a proxy is.
        let through = format!("X-Forwarded-For: {FRIEND}\r\n");
        assert_eq!(get(Ipv4Addr::LOCALHOST, &server, &through), 200);
        let log = eventually("a warning", || {
            Some(server.log()).filter(|log| log.contains("127.0.0.1 sends X-Forwarded-For"))
        });
        assert!(!log.contains("203.0.113.7"), "strangers are no reason for a warning: {log}");
    });
}

#[test]
fn behind_a_trusted_proxy_only_what_that_has_added_counts() {
    let name = "security::forwarding::behind_a_trusted_proxy_only_what_that_has_added_counts";
    in_a_network_of_its_own(name, || {
        let setup = one_each().with("LIMITS__BLOCK", BLOCKED);
        let server = setup.with("SERVER__TRUSTED_PROXIES", PROXY).start();
        let through =
            |said: &str| knock(PROXY, &server, &format!("X-Forwarded-For: {said}{STRANGER}\r\n"));
        let (let_in, _held) = through("");
        assert_eq!(let_in, 101);
        for said in
            ["192.0.2.1, ", "203.0.113.2, 203.0.113.2, ", "\", ", "unknown, ", ",,, ", "::1, "]
        {
            assert_eq!(through(said).0, 429, "{said:?}");
        }
        assert_eq!(knock(PROXY, &server, &format!("X-Forwarded-For: {NEIGHBOUR}\r\n")).0, 101);
        // A header that the proxy passes on and does not write: all who send one have one place together, and no
        // place is had by whoever is blocked.
        let hidden = |from: Ipv4Addr, lie: &str| {
            knock(PROXY, &server, &format!("X-Forwarded-For: {from}\r\nForwarded: {lie}\r\n"))
        };
        let (let_in, _held) = hidden(STRANGER, "x");
        assert_eq!(let_in, 101);
        for lie in ["x", "for=192.0.2.1", "for=203.0.113.2", ""] {
            assert_eq!(hidden(STRANGER, lie).0, 429, "{lie:?}");
            assert_eq!(hidden(BLOCKED, lie).0, 403, "{lie:?}");
        }
    });
}
