//! What a value may be, and what came along with it that nobody meant.

use super::{Case, Problems, environment, file};

#[test]
fn what_came_along_with_a_value_is_told_with_its_place() {
    let quotes = "has quotes around it";
    let blank = "begins or ends with a blank";
    let control = "a control character";
    for (name, value, why) in [
        ("BILLION__STORE__PATH", "\"/srv/d1\"", quotes),
        ("BILLION__STORE__PATH", "/srv/d1\"", quotes),
        ("BILLION__STORE__PATH", "'/srv/d1'", quotes),
        ("BILLION__STORE__PATH", "“/srv/d1”", quotes),
        ("BILLION__STORE__PATH", "/srv/d1\r", "a carriage return"),
        ("BILLION__STORE__PATH", "/srv/d1\n", "a line break"),
        ("BILLION__STORE__PATH", "/srv/d1\r\n", "a line break"),
        ("BILLION__STORE__PATH", " /srv/d1", blank),
        ("BILLION__STORE__PATH", "/srv/d1\u{a0}", blank),
        ("BILLION__STORE__PATH", "/srv/d1\u{200b}", blank),
        ("BILLION__STORE__PATH", "/srv/\td1", control),
        ("BILLION__PAGE__PATH", "\"/srv/page\"", quotes),
        ("BILLION__REDIS__CA_FILE", "\"/srv/ca.pem\"", quotes),
        ("BILLION__REDIS__USERNAME", "billion\n", "a line break"),
        ("BILLION__BOARD__NAME", "\"main\"", quotes),
        ("BILLION__SHARDS__COUNT", "\"10\"", quotes),
        ("BILLION__PAGE__RELOAD", "true\r", "a carriage return"),
        ("SERVER_ADDRESS", "\":8081\"", quotes),
        ("LIMITER_LIMIT", "10\r", "a carriage return"),
        ("LIMITER_BURST", " 10", blank),
        ("ME_URL", "\"https://a.example\"", quotes),
        ("WEBSOCKET_HEARTBEAT_INTERVAL", "54s\r", "a carriage return"),
        ("WEBSOCKET_SEND_TIMEOUT_MS", "\"5000\"", quotes),
        ("WEBSOCKET_READ_BUFFER_SIZE", "1024\n", "a line break"),
        ("ALLOWED_ORIGINS", "https://a.example\n", "a line break"),
        ("ALLOWED_ORIGINS", "https://a.example,\"https://b.example\"", quotes),
        ("REDIS_ADDRESSES", "a:1,b\u{1}:2", control),
        ("REDIS_ADDRESSES", "'a:1'", quotes),
    ] {
        let said = environment(&[(name, value)]).problem();
        assert!(said.starts_with(&format!("environment {name}: ")) && said.contains(why), "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
    }
    for (text, why) in [
        ("[store]\npath = \"data \"", blank),
        ("[store]\npath = '\"data\"'", quotes),
        ("[board]\nname = \"\\u0000\"", control),
        ("[server]\nallowed_origins = [\"https://a.example\", \"https://b.example \"]", blank),
    ] {
        let said = file(text).problem();
        assert!(said.starts_with("settings.toml:2: ") && said.contains(why), "{said}");
    }
    let flags = &[("--data", "store.path", "\"d\"")];
    let said = Case { flags, ..Case::default() }.problem();
    assert!(said.starts_with("flag --data: store.path = ") && said.contains(quotes), "{said}");
    let said = Case { dotenv: "BILLION__STORE__PATH=' d'", ..Case::default() }.problem();
    assert!(said.starts_with(".env:1 BILLION__STORE__PATH: ") && said.contains(blank), "{said}");
    // A list may stand on several lines.
    let origins = [("ALLOWED_ORIGINS", "https://a.example,\nhttps://b.example")];
    assert_eq!(environment(&origins).settings().server.allowed_origins.len(), 2);
}

#[test]
fn what_came_along_with_a_password_is_told_without_the_password() {
    let name = "BILLION__REDIS__PASSWORD";
    for (value, why) in [
        ("hunter2\n", "redis.password = ***: ends in a line break: remove it"),
        ("hunter2\r", "redis.password = ***: ends in a carriage return"),
        ("hun\tter2", "redis.password = ***: has a control character"),
        ("\"hunter2\"", "if it belongs to it, write it into settings.toml"),
        ("hunter2 ", "if it belongs to it, write it into settings.toml"),
    ] {
        let said = environment(&[(name, value)]).problem();
        assert!(said.starts_with(&format!("environment {name}: ")) && said.contains(why), "{said}");
        assert!(!said.contains("hun"), "{said}");
    }
    let said = file("[redis]\npassword = \"hunter2\\n\"").problem();
    assert!(said.starts_with("settings.toml:2: redis.password = ***: ends in"), "{said}");
    assert!(file("[redis]\npassword = ' \"x\" '").load().settings.is_ok());
}

#[test]
fn text_is_no_number_where_a_file_can_tell_them_apart() {
    for (text, told) in [
        (
            "[limiter]\nlimit = \"5\"",
            "limiter.limit = \"5\" is text: write a number without quotes",
        ),
        ("[server]\nmax_connections = \"19000\"", "is text: write a number without quotes"),
        ("[server]\nallow_missing_origin = 1", "allow_missing_origin = 1 is not true or false"),
        ("[server]\nallow_missing_origin = \"true\"", "is text: write true or false"),
        ("[server]\nallowed_origins = \"https://a.example\"", "is text: write a list"),
        ("[server]\nworkers = true", "is not a whole number"),
        ("[server]\nworkers = 4.0", "is not a whole number"),
    ] {
        let said = file(text).problem();
        assert!(said.starts_with("settings.toml:2: ") && said.contains(told), "{said}");
    }
    let everywhere = [
        ("BILLION__SERVER__MAX_CONNECTIONS", "19_000"),
        ("BILLION__SERVER__ALLOW_MISSING_ORIGIN", "true"),
        ("BILLION__LIMITER__LIMIT", "5"),
    ];
    assert_eq!(environment(&everywhere).settings().server.max_connections, 19_000);
}

#[test]
fn a_number_beyond_all_bounds_is_told_its_range() {
    let range = "must be 0 (no limit) or from 0.001 to 1000000000";
    for value in ["1e400", "inf", "1e10", "0.0001", "-1"] {
        let said = environment(&[("LIMITER_LIMIT", value)]).problem();
        assert!(said.ends_with(range), "{value}: {said}");
    }
    for value in ["99999999999999999999", "513"] {
        let said = environment(&[("BILLION__SERVER__WORKERS", value)]).problem();
        assert!(said.contains(value) && said.ends_with("must be from 0 to 512"), "{said}");
        let said = file(&format!("[server]\nworkers = {value}")).problem();
        assert!(said.contains(value) && said.ends_with("must be from 0 to 512"), "{said}");
    }
    let said = file("[limiter]\nlimit = 1e400").problem();
    assert!(said.ends_with(range), "{said}");
}

#[test]
fn all_bad_entries_of_a_list_are_told_at_once() {
    let said =
        file("[server]\ntrusted_proxies = [1, \"x\", \"10.0.0.1\", \"10.0.0.1/33\"]").problem();
    let wanted =
        "settings.toml:2: server.trusted_proxies: 1 is a number: write text in quotes; \"x\" does";
    assert!(said.starts_with(wanted), "{said}");
    assert!(said.contains("; \"10.0.0.1/33\" has no prefix length"), "{said}");
}

#[test]
fn two_listeners_on_one_port_are_told() {
    let both = |players, operators| {
        let variables = [("SERVER_ADDRESS", players), ("BILLION__ADMIN__ADDRESS", operators)];
        environment(&variables).load().settings
    };
    for (players, operators) in [
        ("127.0.0.1:9", "127.0.0.1:9"),
        (":9", ":9"),
        (":9", "127.0.0.1:9"),
        (":9", "[::1]:9"),
        ("0.0.0.0:9", "127.0.0.1:9"),
        ("192.0.2.1:9", "0.0.0.0:9"),
        ("[::]:9", "127.0.0.1:9"),
        ("[::]:9", "0.0.0.0:9"),
        ("localhost:9", "127.0.0.1:9"),
        ("localhost:9", "[::1]:9"),
        ("[::ffff:127.0.0.1]:9", "127.0.0.1:9"),
        ("a.example:9", "a.example:9"),
    ] {
        let Problems(said) = both(players, operators).expect_err("they overlap");
        assert!(said.len() == 1 && said[0].contains("both would listen on one port"), "{said:?}");
        assert!(
            said[0].starts_with("environment SERVER_ADDRESS, environment BILLION__ADMIN__ADDRESS:")
        );
    }
    for (players, operators) in [
        ("127.0.0.1:9", "127.0.0.1:8"),
        ("127.0.0.1:9", "127.0.0.2:9"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        (":0", ":0"),
        ("0.0.0.0:9", "[::1]:9"),
        ("a.example:9", "b.example:9"),
    ] {
        assert!(both(players, operators).is_ok(), "{players} and {operators}");
    }
}
