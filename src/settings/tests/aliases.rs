//! The older server's names.

use std::collections::BTreeSet;

use super::{
    super::aliases::{ALIASES, seconds},
    Case, environment,
};

#[test]
fn no_two_names_mean_the_same_setting() {
    let keys: Vec<_> = ALIASES.iter().filter_map(|(_, meaning)| meaning.key()).collect();
    let different: BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "they would need an order: {keys:?}");
}

#[test]
fn an_environment_of_the_older_server_is_understood() {
    let case = environment(&[
        ("SERVER_ADDRESS", ":8081"),
        ("ME_URL", "https://me.example"),
        ("BUY_ME_A_COFFEE_URL", "https://coffee.example/me"),
        ("WEBSOCKET_URL", "wss://play.example/ws"),
        ("LIMITER_LIMIT", "2.5"),
        ("LIMITER_BURST", "5"),
        ("ALLOWED_ORIGINS", "https://one.example,https://two.example"),
        ("WEBSOCKET_MAX_CONNECTIONS", "1000"),
        ("WEBSOCKET_HEARTBEAT_INTERVAL", "1m30s"),
        ("WEBSOCKET_CONNECTION_TIMEOUT", "100"),
        ("WEBSOCKET_MESSAGE_QUEUE_SIZE", "256"),
        ("WEBSOCKET_SHARD_COUNT", "16"),
        ("WEBSOCKET_SEND_TIMEOUT_MS", "5001"),
        ("WEBSOCKET_READ_BUFFER_SIZE", "1024"),
        ("WEBSOCKET_WRITE_BUFFER_SIZE", "1024"),
        ("WEBSOCKET_MAX_MESSAGE_SIZE", "512"),
        ("WEBSOCKET_BROADCAST_WORKERS", "4"),
        ("WEBSOCKET_CLOSE_ON_BACKPRESSURE", "true"),
        ("WEBSOCKET_PING_WORKERS", "2"),
        ("WEBSOCKET_ENABLE_GLOBAL_PING", "true"),
        ("WEBSOCKET_DROP_ON_FULL", "true"),
        ("WEBSOCKET_MESSAGE_BUFFER_SIZE", "256"),
        ("WEBSOCKET_PING_WORKER", "2"),
        ("WEBSOCKET_SOMETHING", "2"),
        ("REDIS_ADDRESSES", "172.28.0.101:6379,172.28.0.102:6379"),
        ("REDIS_ADDRESSES_REMAP", "172.28.0.101:6379|:6371,172.28.0.102:6379|example.org:6372"),
    ]);
    let loaded = case.load();
    let told: Vec<_> = loaded.notices.iter().filter_map(|said| said.split_once(": ")).collect();
    let names: Vec<_> =
        told.iter().map(|(name, _)| name.trim_start_matches("environment ")).collect();
    assert_eq!(
        names,
        [
            "WEBSOCKET_WRITE_BUFFER_SIZE",
            "WEBSOCKET_BROADCAST_WORKERS",
            "WEBSOCKET_CLOSE_ON_BACKPRESSURE",
            "WEBSOCKET_PING_WORKERS",
            "WEBSOCKET_ENABLE_GLOBAL_PING",
            "WEBSOCKET_DROP_ON_FULL",
            "WEBSOCKET_MESSAGE_BUFFER_SIZE",
            "WEBSOCKET_PING_WORKER",
            "WEBSOCKET_SOMETHING",
        ],
        "each once"
    );
    assert_eq!(told[0].1, "session.send_buffer_bytes = 1024: raised to the least, 4096");
    assert_eq!(told[7].1, "not known here and ignored (did you mean WEBSOCKET_PING_WORKERS?)");
    assert_eq!(told[8].1, "not known here and ignored");

    let settings = loaded.settings.expect("nothing is wrong");
    let (server, page, session) = (&settings.server, &settings.page, &settings.session);
    assert_eq!((server.address.as_str(), server.max_connections), (":8081", 1000));
    assert_eq!(server.allowed_origins, ["https://one.example", "https://two.example"]);
    assert_eq!(page.me_url, "https://me.example");
    assert_eq!(page.coffee_url, "https://coffee.example/me");
    assert_eq!(page.websocket_url, "wss://play.example/ws");
    assert_eq!((settings.limiter.limit, settings.limiter.burst), (2.5, 5));
    assert_eq!((session.ping_interval_s, session.idle_timeout_s), (90, 100));
    assert_eq!((session.mailbox, session.drain_timeout_s), (256, 6));
    assert_eq!((session.read_buffer_bytes, session.send_buffer_bytes), (1024, 4096));
    assert_eq!((session.message_bytes, settings.shards.count), (512, 16));
    let access = settings.cluster().expect("nothing to read").expect("it is used").access;
    let seeds: Vec<_> = access.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["172.28.0.101:6379", "172.28.0.102:6379"]);
    let mut remap: Vec<_> =
        access.remap.iter().map(|(from, to)| format!("{from} is {to}")).collect();
    remap.sort();
    assert_eq!(
        remap,
        ["172.28.0.101:6379 is 127.0.0.1:6371", "172.28.0.102:6379 is example.org:6372"]
    );
}

#[test]
fn rust_log_means_what_it_means_elsewhere_and_keeps_nobody_from_starting() {
    let level = |written: &str, file: &'static str| {
        let case = Case { file, environment: &[("RUST_LOG", written)], ..Case::default() };
        let loaded = case.load();
        (loaded.settings.expect("nothing is wrong").log.level, loaded.notices)
    };
    let file = "[log]\nlevel = \"warn\"\n";
    for (written, expected) in [("", "warn"), ("debug", "debug"), ("off/x", "off/x")] {
        assert_eq!(level(written, file), (expected.to_owned(), vec![]), "{written}");
    }
    for (written, expected) in [
        ("warning", "warn"),
        ("warning,debug", "debug"),
        ("\"debug\"", "warn"),
        ("\u{FFFD}", "warn"),
    ] {
        let (level, notices) = level(written, file);
        assert_eq!(level, expected, "{written}");
        let [told] = &notices[..] else { panic!("{notices:?}") };
        assert!(told.starts_with("environment RUST_LOG: "), "{told}");
        assert!(told.contains(" is no level: write error, "), "{told}");
    }
    let dotenv = "RUST_LOG=debug";
    assert_eq!(Case { dotenv, ..Case::default() }.settings().log.level, "debug");
    let flags: &[_] = &[("--set", "log.level", "trace")];
    let both = Case { flags, environment: &[("RUST_LOG", "debug")], ..Case::default() };
    assert_eq!(both.settings().log.level, "trace");
    let said = super::file("[log]\nlevel = \"warning\"\n").problem();
    assert!(
        said.starts_with("settings.toml:2: log.level = \"warning\": \"warning\" is no"),
        "{said}"
    );
}

#[test]
fn durations_are_read_as_go_writes_them_and_rounded_up() {
    for (text, unit, wanted) in [
        ("54", "s", 54),
        ("54s", "s", 54),
        ("54s", "ms", 54),
        ("1.5", "s", 2),
        ("1m30s", "s", 90),
        ("1h0m0.5s", "s", 3601),
        ("500ms", "s", 1),
        ("1500", "ms", 2),
        ("1000", "ms", 1),
        ("1µs", "s", 1),
        ("999999999ns", "s", 1),
        ("1000000001ns", "s", 2),
        (".5m", "s", 30),
        ("0", "s", 0),
        ("0s", "s", 0),
        (" 3 ", "s", 3),
    ] {
        assert_eq!(seconds(text, unit), Some(wanted), "{text}");
    }
    for bad in [
        "",
        "-1s",
        "1 s",
        "s",
        "5x",
        "1m30",
        ".",
        ".s",
        "1.2.3s",
        "1e3s",
        "99999999999999999999s",
        "999999999999999999h",
    ] {
        assert_eq!(seconds(bad, "s"), None, "{bad}");
    }
}

#[test]
fn a_bad_duration_names_its_variable() {
    let said = environment(&[("WEBSOCKET_HEARTBEAT_INTERVAL", "soon")]).problem();
    let wanted =
        "environment WEBSOCKET_HEARTBEAT_INTERVAL: session.ping_interval_s: \"soon\" is no";
    assert!(said.starts_with(wanted), "{said}");
    let said = environment(&[("WEBSOCKET_SEND_TIMEOUT_MS", "0")]).problem();
    assert!(said.contains("session.drain_timeout_s = 0: must be from 1"), "{said}");
}
