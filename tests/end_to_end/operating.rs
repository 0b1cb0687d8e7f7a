//! What operators meet: start, mistakes, readiness, metrics, signals.

use crate::harness::{
    client::{Told, handshake},
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
fn files_of_the_page_are_compressed_and_kept_for_ever() {
    let server = Setup::new(250_000, 2).start();
    let page = server.get("/").body;
    let linked: Vec<&str> = page
        .split(['"', '\''])
        .filter(|text| text.starts_with("/static/") && text.len() > "/static/".len())
        .collect();
    assert!(linked.iter().any(|path| path.ends_with("/main.js")), "{linked:?}");
    for path in &linked {
        let file = request(server.address, "GET", path, &[("Accept-Encoding", "br, gzip")]);
        assert_eq!(file.status, 200, "{path}");
        assert!(file.head.contains("cache-control: public, max-age=31536000, immutable"), "{path}");
        assert!(file.head.contains("etag: \""), "{path}: {}", file.head);
        assert!(file.head.contains("content-encoding: br"), "{path}: {}", file.head);
    }
    let css = linked.iter().find(|path| path.ends_with(".css")).expect("a style sheet");
    let hash = css.split('/').nth(2).expect("a hash");
    // A page of another version, from a node that was or will be upgraded.
    let other = css.replace(hash, "0123456789abcdef");
    let stale = server.get(&other);
    assert_eq!(stale.status, 200);
    assert!(stale.head.contains("cache-control: no-store"), "{}", stale.head);
    assert_eq!(server.get(&format!("{other}?exact")).status, 404);
    let exact = server.get(&format!("{css}?exact"));
    assert_eq!(exact.status, 200);
    assert!(exact.head.contains("immutable"), "{}", exact.head);
    assert_eq!(server.get(&format!("/static/{hash}/nothing.js")).status, 404);
    assert_eq!(server.get(&format!("/static/{hash}/..%2f..%2fCargo.toml")).status, 404);
}

#[test]
fn whoever_works_on_the_page_sees_changes_without_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [("templates/index.html", "{{ static }} one"), ("static/main.js", "1;")] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(path, text).expect("a writable file");
    }
    let path = folder.path().display();
    let server = Setup::new(1000, 1).with("PAGE__PATH", path).with("PAGE__RELOAD", true).start();
    let before = server.get("/").body;
    assert!(before.ends_with(" one"), "{before}");
    std::fs::write(folder.path().join("static/main.js"), "2;").expect("a writable file");
    std::fs::write(folder.path().join("templates/index.html"), "{{ static }} two")
        .expect("a writable file");
    let after = server.get("/").body;
    assert!(after.ends_with(" two"), "{after}");
    let (old, new) = (&before[..before.len() - 4], &after[..after.len() - 4]);
    assert_ne!(old, new, "another file, another name");
    assert_eq!(server.get(&format!("{new}/main.js")).body, "2;");
    std::fs::write(folder.path().join("templates/index.html"), "{% if %}").expect("writable");
    let broken = server.get("/");
    assert_eq!(broken.status, 500);
    assert!(broken.body.contains("templates/index.html"), "{}", broken.body);
}

#[test]
fn the_overview_and_the_pulse_say_how_full_every_tile_is() {
    let server = Setup::new(250_003, 2).start();
    let mut watcher = server.client_v2();
    let (total, players, tiles) = watcher.next_pulse();
    assert_eq!((total, players, tiles), (0, 1, vec![]), "also when nothing happens");
    let mut player = server.client();
    for id in [1, 2, 100_001, 250_003] {
        player.check(id);
    }
    let mut seen = std::collections::BTreeMap::new();
    let (mut total, mut players) = (0, 0);
    while seen.values().sum::<u32>() < 4 {
        let pulse = watcher.next_pulse();
        (total, players) = (pulse.0, pulse.1);
        seen.extend(pulse.2);
    }
    assert_eq!((total, players), (4, 2));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, 2), (1, 1), (2, 1)]);

    let overview = server.get("/overview");
    assert_eq!(overview.status, 200);
    assert_eq!(
        overview.bytes,
        [&b"BXO1"[..], &[0x93, 0xD0, 3, 0, 4, 0, 0, 0, 3, 0, 0, 0], &[2, 1, 1, 0, 0, 0, 0, 0, 0]]
            .concat()
    );
    let tag = overview.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let known = request(server.address, "GET", "/overview", &[("If-None-Match", tag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    player.check(3);
    eventually("the overview of the board as it is now", || {
        let now = request(server.address, "GET", "/overview", &[("If-None-Match", tag)]);
        (now.status == 200 && now.bytes[8] == 5 && now.bytes[16] == 3).then_some(())
    });
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
    assert!(!server.log().contains("did not"), "everything ended in time: {}", server.log());

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
    server.signal("-TERM");
    eventually("the first signal", || server.log().contains("SIGTERM: finishing").then_some(()));
    server.signal("-INT");
    // Long before the client is given up, which is after a minute.
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().contains("SIGINT again: exiting at once"), "{}", server.log());
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
    let server = Setup::new(1000, 1).with("SERVER__WORKERS", 2).with_open_files(80).start();
    assert!(server.log().contains("only 80 files may be open: taking 22 players"));
    let players: Vec<_> = (0..22).map(|_| server.client()).collect();
    let own = format!("http://{}", server.address);
    assert_eq!(request(server.address, "GET", "/ws", &handshake(&own)).status, 503);
    drop(players);
}

#[test]
fn too_few_files_for_its_threads_are_one_clear_line() {
    let setup = Setup::new(1000, 1).with("SERVER__WORKERS", 2).with_open_files(30);
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("only 30 files may be open, and 3 threads"), "{said}");
    assert!(said.contains("raise the limit with ulimit -n"), "{said}");
    // A few more suffice for a player.
    let server = Setup::new(1000, 1).with("SERVER__WORKERS", 2).with_open_files(62).start();
    let mut player = server.client();
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
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
    assert!(said.contains("or set server.address to another port"), "the way out: {said}");
}

#[test]
fn mistakes_in_the_settings_are_told_before_anything_starts() {
    let setup = Setup::new(1000, 1)
        .with("LIMITER__LIMT", 5)
        .with("SHARDS__COUNT", "many")
        .with_variable("REDIS_ADDRESSES", "somewhere");
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(2));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("did you mean BILLION__LIMITER__LIMIT?"), "{said}");
    assert!(said.contains("shards.count = \"many\" is not a whole number"), "{said}");
    assert!(said.contains("environment REDIS_ADDRESSES: redis.addresses"), "{said}");
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
