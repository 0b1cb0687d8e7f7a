//! The ports: of which families they are, how they are told, and names that come late.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    process::Command,
};

use crate::harness::{
    client::handshake,
    eventually,
    origin::stream_from,
    server::{Setup, request, request_over},
};

#[test]
fn every_interface_is_told_as_an_address_to_open() {
    let server = Setup::new(1000, 1).with("SERVER__ADDRESS", ":0").with("ADMIN__ADDRESS", ":0");
    let server = server.start();
    let players = format!("listening on http://localhost:{} (every ", server.address.port());
    let operators = format!("metrics on http://localhost:{}/metrics (every ", server.admin.port());
    eventually("the warning", || server.log().contains("Keep it off the internet").then_some(()));
    let log = server.log();
    assert!(log.contains(&players) && log.contains(&operators), "{log}");
    assert!(log.contains("/export and /import are there, too"), "{log}");
    assert_eq!(request(server.address, "GET", "/healthz", &[]).status, 200);
    let quiet = Setup::new(1000, 1).start();
    assert!(!quiet.log().contains("off the internet"), "{}", quiet.log());
}

#[test]
fn a_client_over_ipv4_is_the_same_to_a_listener_of_both_families() {
    let server = Setup::new(1000, 1)
        .with("SERVER__ADDRESS", ":0")
        .without("LIMITS__ADDRESS")
        .with("SERVER__TRUSTED_PROXIES", "127.0.0.2")
        .with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 1)
        .start();
    let proxy = Ipv4Addr::new(127, 0, 0, 2);
    let shake = |client: &str| {
        let own = format!("http://{}", server.address);
        let headers = [&handshake(&own)[..], &[("X-Forwarded-For", client)]].concat();
        let stream = stream_from(proxy, server.address).expect("the server listens");
        request_over(stream, server.address, "GET", "/ws", &headers).status
    };
    let _player = server.client();
    assert_eq!(shake("192.0.2.1"), 101, "the proxy is believed");
    assert_eq!(shake("127.0.0.1"), 429, "the first client's address");
    assert_eq!(shake("::ffff:127.0.0.1"), 429, "however it is written");
}

/// In a network namespace of its own, which needs root.
#[test]
fn a_port_alone_is_enough_where_there_is_no_ipv6() {
    let setup = Setup::bare();
    let script = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && \
                  { \"$0\" --address :20310 --admin-address :20311 --set board.boxes=1000 & } && \
                  for _ in $(seq 300); do \
                    \"$0\" health --address :20311 2>&- && break; sleep 0.1; \
                  done; \
                  kill -TERM $! && wait $!";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script, env!("CARGO_BIN_EXE_billion")])
        .current_dir(setup.folder())
        .output()
        .expect("unshare (util-linux) can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !said.contains("unshare failed"),
        "this test needs root (or: -- --skip no_ipv6): {said}"
    );
    assert!(output.status.success(), "{said}");
    // The kernel has the family still, and a socket of both; where it has not, a test of the binary's.
    assert!(said.contains("listening on http://localhost:20310 (every "), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"ready\":true"), "{output:?}");
}

#[test]
fn a_name_that_is_not_known_yet_is_waited_for() {
    let setup = Setup::new(1000, 1).with("SERVER__ADDRESS", "nowhere.invalid:8080");
    assert_eq!(setup.run(&["--check"]).code, Some(0), "nothing is wrong with the settings");
    let mut child = setup.spawn(&[]);
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    log.read_line(&mut line).expect("it says something");
    assert!(line.contains("WARN  server.address = \"nowhere.invalid:8080\": "), "{line}");
    assert!(line.trim_end().ends_with(": trying for 30 s"), "{line}");
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.expect("kill can be run").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
