//! What operators meet: start, mistakes, readiness, metrics, signals.

use std::time::{Duration, Instant};

use crate::harness::{
    client::Told,
    eventually,
    server::{Setup, request},
};

#[test]
fn a_fresh_server_is_healthy_ready_and_measured() {
    let server = Setup::new(250_000, 2).start();
    assert_eq!(server.get("/healthz").status, 200);
    for path in ["/readyz", "/readyz?store=1"] {
        let ready = server.get(path);
        assert_eq!(ready.status, 200, "{ready:?}");
        assert!(ready.body.contains("\"ready\":true"), "{ready:?}");
        assert!(ready.body.contains("\"store\":\"up\""), "{ready:?}");
    }
    let mut client = server.client();
    client.check(7);
    assert_eq!(client.next(), Told::Update { total: 1, id: 7 });
    for (name, value) in [
        ("billion_connections", 1.0),
        ("billion_checks_received_total", 1.0),
        ("billion_checks_committed_total", 1.0),
        ("billion_updates_flushed_total", 1.0),
        ("billion_announced_boxes", 1.0),
        ("billion_lagging", 0.0),
        ("billion_panics_total", 0.0),
        ("billion_store_up", 1.0),
        ("billion_store_commit_seconds_count", 1.0),
        ("billion_flush_seconds_count", 1.0),
        ("billion_shard_queue_checks", 0.0),
        ("billion_broadcast_queue_updates", 0.0),
    ] {
        eventually(name, || (server.metric(&format!("{name} ")) == value).then_some(()));
    }
    assert_eq!(request(server.address, "GET", "/metrics", &[]).status, 404, "not for players");
}

#[test]
fn the_page_is_served_with_a_strict_policy() {
    let server = Setup::new(250_000, 2).start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("data-boxes=\"250000\""), "{}", page.body);
    assert!(page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(!page.body.contains("<script>") && !page.body.contains("style=\""), "nothing inline");
    let script = server.get("/static/main.js");
    assert_eq!(script.status, 200);
    assert!(script.head.contains("content-type: text/javascript"), "{}", script.head);
    assert_eq!(server.get("/static/../Cargo.toml").status, 404);
    assert_eq!(server.get("/nothing").status, 404);
}

#[test]
fn sigterm_saves_announces_and_says_goodbye() {
    let setup = Setup::new(250_000, 2);
    let mut server = setup.start();
    let mut player = server.client();
    let mut listener = server.client_v2();
    for id in 1..=500 {
        player.check(id);
    }
    // Everything the server has read by now will be saved and announced, before the Close.
    let mut announced = vec![];
    while announced.len() < 100 {
        if let Told::Update { id, .. } = player.next() {
            announced.push(id);
        }
    }
    let began = Instant::now();
    server.signal("-TERM");
    let close = loop {
        match player.next() {
            Told::Update { id, .. } => announced.push(id),
            other => break other,
        }
    };
    assert_eq!(close, Told::Closed(1001, "server going away".into()));
    assert_eq!(listener.closed().0, 1001);
    drop((player, listener));
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(8));

    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.greeted as usize, announced.len(), "saved = announced");
    let mut nothing = vec![];
    announced.sort_unstable();
    assert_eq!(client.range(1, 500, &mut nothing), announced);
}

#[test]
fn a_second_signal_exits_at_once() {
    let setup = Setup::new(250_000, 2)
        .with("SERVER__SHUTDOWN_TIMEOUT_S", 60)
        .with("SESSION__CLOSE_TIMEOUT_S", 60);
    let mut server = setup.start();
    // A client that never closes its side keeps the orderly way out waiting.
    let _client = server.client();
    let began = Instant::now();
    server.signal("-TERM");
    eventually("the first signal", || server.log().contains("SIGTERM: finishing").then_some(()));
    server.signal("-INT");
    assert_eq!(server.wait().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(10), "it did not wait for the client");
}

#[test]
fn while_draining_newcomers_are_told_to_come_back() {
    let setup = Setup::new(250_000, 2)
        .with("SERVER__SHUTDOWN_TIMEOUT_S", 60)
        .with("SESSION__CLOSE_TIMEOUT_S", 60);
    let server = setup.start();
    let _lingering = server.client();
    server.signal("-TERM");
    eventually("draining", || (server.get("/readyz").status == 503).then_some(()));
    assert_eq!(server.get("/healthz").status, 200);
    let own = format!("http://{}", server.address);
    let refused = request(server.address, "GET", "/ws", &handshake(&own));
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
}

#[test]
fn head_is_answered_wherever_get_is() {
    let server = Setup::new(1000, 1).start();
    for path in ["/", "/healthz", "/readyz", "/static/main.js"] {
        let head = request(server.address, "HEAD", path, &[]);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(request(server.address, "POST", path, &[]).status, 405, "{path}");
    }
    assert_eq!(request(server.admin, "HEAD", "/metrics", &[]).status, 200);
}

#[test]
fn players_are_limited_by_the_files_that_may_be_open() {
    let server = Setup::new(1000, 1).with_open_files(80).start();
    assert!(server.log().contains("only 80 files may be open: taking 40 players"));
    let players: Vec<_> = (0..40).map(|_| server.client()).collect();
    let own = format!("http://{}", server.address);
    assert_eq!(request(server.address, "GET", "/ws", &handshake(&own)).status, 503);
    drop(players);
}

/// The headers of a legal handshake from a page of `origin`.
fn handshake(origin: &str) -> [(&str, &str); 5] {
    [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", origin),
    ]
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let first = Setup::new(1000, 1).start();
    let taken = first.address.to_string();
    let (status, said) = Setup::new(1000, 1).with("SERVER__ADDRESS", &taken).fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&format!("cannot listen on {taken} (server.address)")), "{said}");
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn mistakes_in_the_settings_are_told_before_anything_starts() {
    let setup = Setup::new(1000, 1)
        .with("LIMITER__LIMT", 5)
        .with("SHARDS__COUNT", "many")
        .with_variable("REDIS_ADDRESSES", "127.0.0.1:6379");
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(2));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("did you mean BILLION__LIMITER__LIMIT?"), "{said}");
    assert!(said.contains("shards.count = \"many\" is not a whole number"), "{said}");
    assert!(
        said.contains("environment REDIS_ADDRESSES: Redis is not supported by this version"),
        "{said}"
    );
    assert!(!setup.store_path().exists(), "nothing was started");
    let (status, said) = Setup::new(1000, 1).fail_to_start(&["--settings", "/nowhere.toml"]);
    assert_eq!(status.code(), Some(2));
    assert!(said.contains("/nowhere.toml"), "{said}");
}

#[test]
fn the_older_servers_variables_are_understood() {
    let setup = Setup::new(1000, 1)
        .with_variable("ALLOWED_ORIGINS", "https://one.example,https://two.example")
        .with_variable("LIMITER_BURST", "3");
    let server = setup.start();
    let get = |origin: &str| request(server.address, "GET", "/ws", &handshake(origin)).status;
    assert_eq!(get("https://two.example"), 101);
    assert_eq!(get(&format!("http://{}", server.address)), 403);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let setup = Setup::new(1000, 1);
    let _first = setup.start();
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("main.redb"), "{said}");
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_board_of_another_size_is_refused_and_another_shard_count_is_not() {
    let setup = Setup::new(250_000, 2);
    let mut server = setup.start();
    let mut client = server.client();
    client.check(200_001);
    client.next();
    server.kill();

    let setup = setup.with("SHARDS__COUNT", 3);
    let mut server = setup.start();
    assert_eq!(server.client().range(200_001, 200_001, &mut vec![]), [200_001]);
    server.kill();

    let setup = setup.with("BOARD__BOXES", 300_000);
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    for word in ["main.redb", "250000", "300000"] {
        assert!(said.contains(word), "{word} in: {said}");
    }
}
