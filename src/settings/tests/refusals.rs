//! What is refused, what is said then, and what is never said.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Case, Problems, Settings, Sources, environment, file};

#[test]
fn unknown_settings_are_refused_with_their_place_and_a_suggestion() {
    let said = file("[limiter]\nburst = 1\nlimt = 3").problem();
    let wanted = "settings.toml:3: limiter.limt: unknown setting (did you mean limiter.limit?)";
    assert_eq!(said, wanted);
    let said = file("[server]\nburst = 3").problem();
    assert!(said.ends_with("(did you mean limiter.burst?)"), "elsewhere: {said}");
    let said = file("[limitter]\nlimit = 3\nburst = 4").problem();
    assert_eq!(said, "settings.toml:1: unknown section [limitter] (did you mean [limiter]?)");
    let said = file("server = 3").problem();
    assert!(said.starts_with("settings.toml:1: server is a section"), "{said}");
    let said = environment(&[("BILLION__LIMITER__LIMT", "3")]).problem();
    let wanted = "environment BILLION__LIMITER__LIMT: unknown setting \
                  (did you mean BILLION__LIMITER__LIMIT?)";
    assert_eq!(said, wanted);
    let flags = &[("--set", "limiter.brst", "3")];
    let said = Case { flags, ..Case::default() }.problem();
    let wanted = "flag --set: limiter.brst: unknown setting (did you mean limiter.burst?)";
    assert_eq!(said, wanted);
}

/// Once a proxy has stripped such a path, a request could mean the page or what the server has there.
#[test]
fn a_path_of_the_servers_own_is_no_base_path() {
    for own in ["/ws", "/static/", "/overview/x", "/robots.txt"] {
        let said = environment(&[("BILLION__SERVER__BASE_PATH", own)]).problem();
        assert!(said.contains("is a path of the server's own"), "{own}: {said}");
    }
    for other in ["", "/", "/boxes", "/wsx", "/games/ws"] {
        let settings = environment(&[("BILLION__SERVER__BASE_PATH", other)]).settings();
        assert_eq!(settings.server.base_path, other);
    }
}

#[test]
fn a_variable_with_too_few_underscores_is_told_and_ignored() {
    let loaded = environment(&[("BILLION_LIMITER_RANGE_LIMIT", "3"), ("BILLION_X", "3")]).load();
    let wanted = "environment BILLION_LIMITER_RANGE_LIMIT: ignored \
                  (did you mean BILLION__LIMITER__RANGE_LIMIT?)";
    assert_eq!(loaded.notices, [wanted]);
    assert!(loaded.settings.is_ok());
}

#[test]
fn what_is_hardly_meant_is_told_and_obeyed() {
    let gathering = |gather, interval| {
        let case = Case {
            file: &format!(
                "[shards]\ngather_ms = {gather}\n[broadcaster]\ninterval_ms = {interval}"
            ),
            ..Case::default()
        };
        let loaded = case.load();
        let obeyed = loaded.settings.expect("nothing is wrong");
        assert_eq!((obeyed.shards.gather_ms, obeyed.broadcaster.interval_ms), (gather, interval));
        loaded.notices
    };
    let told = gathering(10, 50);
    let wanted = "settings.toml:2, settings.toml:4: shards.gather_ms = 10: less than";
    assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
    for (gather, interval) in [(0, 50), (50, 50), (60, 50), (20, 0), (1000, 5000)] {
        assert_eq!(gathering(gather, interval), [""; 0]);
    }
}

#[test]
fn variables_that_look_like_ours_are_told_and_ignored() {
    let loaded = environment(&[
        ("billion__shards__count", "4"),
        ("billion__shards__cuont", "4"),
        ("Billion__X", "4"),
        ("REDIS_ADDRESS", "redis://:hunter2@x"),
        ("REDIS_PASSWORD", "hunter2"),
        ("REDIS_EMPTY", ""),
    ])
    .load();
    let unknown = "not known here and ignored";
    assert_eq!(
        loaded.notices,
        [
            &format!("environment REDIS_ADDRESS: {unknown} (did you mean REDIS_ADDRESSES?)"),
            &format!(
                "environment REDIS_PASSWORD: {unknown} (did you mean BILLION__REDIS__PASSWORD?)"
            ),
            "environment billion__shards__count: ignored (did you mean BILLION__SHARDS__COUNT?)",
            "environment billion__shards__cuont: ignored (did you mean BILLION__SHARDS__COUNT?)",
            "environment Billion__X: ignored (did you mean BILLION__SECTION__KEY?)",
        ]
    );
    assert_eq!(loaded.settings.expect("nothing is wrong").shards.count, 50);
}

#[test]
fn older_names_with_a_slip_are_told_and_those_of_others_are_not() {
    let loaded = environment(&[
        ("SERVER_ADRESS", ":3"),
        ("ALLOWED_ORIGIN", "https://a.example"),
        ("LIMITER_BRUST", "3"),
        ("me_url", "https://me.example"),
        ("WEBSOCKETS_URL", "wss://a.example"),
        // Of others.
        ("ALLOWED_HOSTS", "a"),
        ("SERVER_PORT", "1"),
        ("SERVER_NAME", "a"),
        ("DB_URL", "a"),
        ("MY_URL", "a"),
        ("RATE_LIMIT", "1"),
        ("HOME", "/"),
        ("SERVER_ADDRES", ""),
    ])
    .load();
    let told: Vec<_> = loaded.notices.iter().map(|told| told.replace("environment ", "")).collect();
    let meant = |name, meant| format!("{name}: not known here and ignored (did you mean {meant}?)");
    assert_eq!(
        told,
        [
            meant("SERVER_ADRESS", "SERVER_ADDRESS"),
            meant("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
            meant("LIMITER_BRUST", "LIMITER_BURST"),
            meant("me_url", "ME_URL"),
        ]
    );
    assert!(loaded.settings.is_ok());
    let loaded = Case { dotenv: "SERVER_ADRESS=:3", ..Case::default() }.load();
    assert_eq!(loaded.notices.len(), 1, "{:?}", loaded.notices);
}

#[test]
fn values_of_another_kind_are_refused_even_where_they_are_overridden() {
    let said = file("[shards]\ncount = \"many\"").problem();
    assert_eq!(said, "settings.toml:2: shards.count = \"many\" is not a whole number of 0 or more");
    let said = environment(&[("LIMITER_BURST", "-1")]).problem();
    assert!(said.starts_with("environment LIMITER_BURST: limiter.burst = \"-1\" is not"), "{said}");
    let dotenv = "LIMITER_LIMIT=fast";
    let said = Case { dotenv, environment: &[("LIMITER_LIMIT", "3")], ..Case::default() }.problem();
    assert!(said.starts_with(".env:1 LIMITER_LIMIT: limiter.limit = \"fast\" is not"), "{said}");
    for (text, kind) in [
        ("[server]\nallowed_origins = 3", "a list"),
        ("[server]\nallowed_origins = [3]", "3 is a number: write text in quotes"),
        ("[server]\ntrusted_proxies = [10.1]", "10.1 is a number: write text in quotes"),
        ("[server]\ntrusted_proxies = true", "a list"),
        ("[server]\nallow_missing_origin = \"maybe\"", "true or false"),
        (
            "[server]\naddress = 8080",
            "address = 8080 is a number: write text in quotes, address = \"…\"",
        ),
        ("[store]\npath = true", "store.path = true is a switch: write text in quotes"),
        ("[board]\nname = ['a']", "board.name = [\"a\"] is a list: write text in quotes"),
        ("[shards]\ncount = [1]", "shards.count = [1] is not a whole number"),
        ("[limiter]\nlimit = nan", "a number"),
        ("[server]\nworkers = 1.5", "a whole number"),
    ] {
        let said = file(text).problem();
        assert!(said.starts_with("settings.toml:2: ") && said.contains(kind), "{said}");
    }
}

#[test]
fn values_out_of_range_are_refused_where_they_end_up() {
    for (key, value) in [
        ("SESSION__READ_BUFFER_BYTES", "1000000000000000"),
        ("LIMITER__LIMIT", "0.000000000001"),
        ("SESSION__CLOSE_TIMEOUT_S", "4294967295"),
        ("SESSION__IDLE_TIMEOUT_S", "4294967296"),
        ("SESSION__MAILBOX", "4"),
        ("SESSION__MAILBOX", "31"),
        ("SERVER__SHUTDOWN_TIMEOUT_S", "1"),
        ("SERVER__WORKERS", "5000"),
        ("BOARD__BOXES", "0"),
        ("BOARD__BOXES", "5000000000"),
        ("BOARD__NAME", "a/b"),
        ("SHARDS__COUNT", "10001"),
        ("SERVER__ADDRESS", "nowhere"),
        ("ADMIN__ADDRESS", "1.2.3.4:99999"),
        ("STORE__PATH", ""),
        ("SERVER__ALLOWED_ORIGINS", "example.org"),
        ("SERVER__ALLOWED_ORIGINS", "https://example.org/page"),
        ("SERVER__ALLOWED_ORIGINS", "https://*.example.org"),
        ("SERVER__ALLOWED_ORIGINS", "http://a:99999"),
        ("SERVER__BASE_PATH", "boxes"),
        ("SERVER__BASE_PATH", "//evil.example"),
        ("SERVER__BASE_PATH", "/a/../b"),
        ("SERVER__BASE_PATH", "/a b"),
        ("SERVER__BASE_PATH", "/a?b"),
        ("SERVER__KEEP_ALIVE_S", "0"),
        ("ADMIN__HOSTS", "node-1:9090"),
    ] {
        let name = format!("BILLION__{key}");
        let said = environment(&[(&name, value)]).problem();
        assert!(said.starts_with(&format!("environment {name}: ")), "{said}");
        assert!(said.contains(value), "{said}");
    }
    let hidden = Case {
        file: "[server]\nworkers = 5000",
        environment: &[("BILLION__SERVER__WORKERS", "2")],
        ..Case::default()
    };
    assert_eq!(hidden.settings().server.workers, 2);
}

#[test]
fn settings_that_contradict_each_other_are_told_with_the_places_of_both() {
    let case = Case {
        file: "[session]\nidle_timeout_s = 10",
        environment: &[("BILLION__SESSION__PING_INTERVAL_S", "20")],
        ..Case::default()
    };
    let said = case.problem();
    assert!(said.contains("settings.toml:2"), "{said}");
    assert!(said.contains("environment BILLION__SESSION__PING_INTERVAL_S"), "{said}");
    assert!(said.contains("10: must be more than session.ping_interval_s = 20"), "{said}");
    // The idle timeout may be right once the interval is.
    let said = file("[session]\nidle_timeout_s = 10\nping_interval_s = \"5 s\"").problem();
    assert!(said.starts_with("settings.toml:3: session.ping_interval_s"), "{said}");
}

#[test]
fn only_a_folder_of_the_page_can_be_read_anew() {
    let said = file("[page]\nreload = true").problem();
    assert!(said.starts_with("settings.toml:2: page.reload = true: "), "{said}");
    assert!(said.contains("set page.path to the folder"), "{said}");
    assert!(file("[page]\nreload = true\npath = \".\"").settings().page.reload);
}

#[test]
fn all_problems_are_told_at_once() {
    let case = Case {
        file: "[limiter]\nlimt = 3\nburst = \"x\"\n[board]\nboxes = 0",
        dotenv: "BILLION__FOO=1\nSERVER_ADDRESS: this is nothing",
        environment: &[("LIMITER_LIMIT", "fast")],
        flags: &[("--address", "server.address", "here")],
    };
    let problems = case.problems();
    let places = [
        "settings.toml:2: ",
        "settings.toml:3: ",
        "settings.toml:5: ",
        ".env:1 BILLION__FOO: ",
        ".env:2 SERVER_ADDRESS: no variable can be read here",
        "environment LIMITER_LIMIT: ",
        "flag --address: ",
    ];
    assert_eq!(problems.len(), places.len(), "{problems:#?}");
    for (problem, place) in problems.iter().zip(places) {
        assert!(problem.starts_with(place), "in the order of their places, {place}: {problems:#?}");
    }
}

#[test]
fn every_syntax_error_is_told_with_its_line() {
    let problems = file("[server]\naddress = \nworkers = 1\n[limiter\nlimit = = 3").problems();
    assert!(problems.iter().any(|said| said.starts_with("settings.toml:2: ")), "{problems:#?}");
    assert!(problems.iter().any(|said| said.starts_with("settings.toml:4: ")), "{problems:#?}");
    let twice = file("[server]\nworkers = 1\nworkers = 2").problem();
    assert!(twice.starts_with("settings.toml:3: "), "{twice}");
}

#[test]
fn nodes_of_redis_are_judged_with_their_place() {
    for good in ["a:1", "[::1]:7000", ":6379", "redis://u:p%40@a:1/0", "rediss://a"] {
        assert!(environment(&[("REDIS_ADDRESSES", good)]).settings().redis.is_used(), "{good}");
    }
    for (bad, why) in [
        ("a", "no host and port"),
        ("a:b", "no host and port"),
        ("u:secret@a:1", "no host and port"),
        ("redis://a:1/3", "no databases"),
        ("http://a:1", "no address of Redis"),
        ("redis://a:1,rediss://b:1", "for all of them or for none"),
    ] {
        let said = environment(&[("REDIS_ADDRESSES", bad)]).problem();
        assert!(said.starts_with("environment REDIS_ADDRESSES: redis.addresses"), "{said}");
        assert!(said.contains(why) && !said.contains("secret"), "{said}");
    }
    let said = environment(&[("REDIS_ADDRESSES_REMAP", "a:1,b:2")]).problem();
    assert!(said.contains("write announced|reachable"), "{said}");
    let said = file("[redis]\naddresses = [\"a:1\"]\nca_file = \"x\"").problem();
    assert!(said.contains("redis.ca_file is for rediss:// addresses"), "{said}");
}

#[test]
fn only_addresses_and_whole_networks_can_be_trusted() {
    let name = "BILLION__SERVER__TRUSTED_PROXIES";
    let good = "127.0.0.1, 10.0.0.0/8,172.28.0.0/24,::1,fd00::/8,0.0.0.0/1";
    let trusted = environment(&[(name, good)]).settings().server.trusted_proxies;
    assert_eq!(trusted.join(","), good.replace(", ", ","));
    for (bad, why) in [
        ("nginx", "names are not looked up"),
        ("nginx.example/24", "names are not looked up"),
        ("10.0.0", "does not begin with an IP address"),
        ("10.0.0.0:80", "does not begin with an IP address"),
        ("[::1]", "does not begin with an IP address"),
        ("10.0.0.0/33", "no prefix length from 0 to 32"),
        ("fd00::/129", "no prefix length from 0 to 128"),
        ("10.0.0.0/", "no prefix length"),
        ("10.0.0.0/-8", "no prefix length"),
        ("10.0.0.0/255.0.0.0", "no prefix length"),
        ("0.0.0.0/0", "trusts everybody"),
        ("::/0", "trusts everybody"),
        ("::ffff:10.0.0.0/104", "is IPv4 written as IPv6"),
        ("10.1.0.0/8", "the network is 10.0.0.0/8, the address 10.1.0.0"),
        ("fd00::1/8", "the network is fd00::/8, the address fd00::1"),
    ] {
        let value = format!("127.0.0.1,{bad}");
        let said = environment(&[(name, &value)]).problem();
        let start = format!("environment {name}: server.trusted_proxies: \"{bad}\" ");
        assert!(said.starts_with(&start) && said.contains(why), "{said}");
    }
    // Whoever lets in only those of a list blocks everybody.
    let blocked = environment(&[("BILLION__LIMITS__BLOCK", "0.0.0.0/0,::/0")]).settings();
    assert_eq!(blocked.limits.block, ["0.0.0.0/0", "::/0"]);
    let said = file("[server]\ntrusted_proxies = [\"a\", \"b\"]").problem();
    assert!(said.starts_with("settings.toml:2: ") && said.contains("\"b\""), "all: {said}");
}

#[test]
fn links_and_sockets_are_judged_as_urls() {
    for good in ["https://example.org", "http://example.org:81/a?b=c#d", "https://a.example/@me"] {
        assert_eq!(environment(&[("ME_URL", good)]).settings().page.me_url, good);
    }
    for good in ["/ws", "/a/ws?x=1", "ws://10.0.0.1:9000/ws", "wss://play.example.org/ws?x=1"] {
        let settings = environment(&[("WEBSOCKET_URL", good)]).settings();
        assert_eq!(settings.page.websocket_url, good);
    }
    for (name, bad) in [
        ("ME_URL", "example.org"),
        ("ME_URL", "javascript:alert(1)"),
        ("ME_URL", "https:example.org"),
        ("BUY_ME_A_COFFEE_URL", "ftp://example.org"),
        ("BUY_ME_A_COFFEE_URL", "https://"),
        ("WEBSOCKET_URL", "https://example.org/ws"),
        ("WEBSOCKET_URL", "example.org/ws"),
        ("WEBSOCKET_URL", "ws"),
        ("WEBSOCKET_URL", "//example.org/ws"),
        ("WEBSOCKET_URL", "/\\example.org/ws"),
        ("WEBSOCKET_URL", "/ws#here"),
        ("WEBSOCKET_URL", "wss://example.org/ws#here"),
        ("WEBSOCKET_URL", "wss://example.org/w s"),
        ("WEBSOCKET_URL", "wss://example.org;script-src/ws"),
    ] {
        let said = environment(&[(name, bad)]).problem();
        assert!(said.starts_with(&format!("environment {name}: page.")), "{said}");
    }
}

#[test]
fn passwords_are_never_shown() {
    let secret = "hunter2";
    let url = format!("https://me:{secret}@example.org");
    for name in [
        "ME_URL",
        "WEBSOCKET_URL",
        "ALLOWED_ORIGINS",
        "SERVER_ADDRESS",
        "LIMITER_LIMIT",
        "REDIS_ADDRESSES",
        "WEBSOCKET_SEND_TIMEOUT_MS",
        "BILLION__REDDIS__PASSWORD",
        "BILLION__SHARDS__COUNT",
        "BILLION__BOARD__NAME",
    ] {
        let variables = [(name, url.as_str())];
        let loaded = environment(&variables).load();
        let printed = loaded.print();
        let said = loaded.settings.expect_err(name).to_string();
        assert!(!printed.contains(secret) && !said.contains(secret), "{name}: {said}\n{printed}");
    }
    for text in [
        format!("[redis]\npassword = \"{secret}\"\nno = 1"),
        format!("[redis]\npassword = \"{secret}"),
        format!("password = {secret}"),
        format!("[server]\naddress = \"redis://:{secret}@x/y:1\""),
    ] {
        let said = file(&text).problems().join("\n");
        assert!(!said.contains(secret), "{said}");
    }
    for text in [
        format!("[\"redis://u:{secret}@h\"]"),
        format!("\"redis://u:a {secret}@h\" = 1"),
        format!("server.\"u:{secret}@h\" = 1"),
        format!("[store.\"//u:{secret}@h\"]"),
    ] {
        let said = file(&text).problem();
        assert!(!said.contains(secret) && said.contains("***@h"), "{said}");
    }
    let named = PathBuf::from(format!("redis://u:{secret}@h/x"));
    let sources = Sources { file: Some(named), ..Sources::default() };
    let loaded = Settings::load(&sources);
    let said = loaded.settings.expect_err("missing").to_string();
    assert!(said.starts_with("redis://***@h/x: cannot be read"), "{said}");
    assert!(!format!("{:?}", loaded.read).contains(secret));
    let loaded = environment(&[("BILLION__REDIS__PASSWORD", secret)]).load();
    assert!(loaded.print().contains("password = \"***\""), "{}", loaded.print());
    assert!(!format!("{:?}", loaded.settings).contains(secret));
    let dotenv = format!(
        "REDIS_ADDRESSES=redis://:{secret}@x/1\nbad line {secret}\nX='{secret}\n\
         BILLION__REDIS__PASSWORD='{secret}"
    );
    let loaded = Case { dotenv: &dotenv, ..Case::default() }.load();
    let Problems(problems) = loaded.settings.expect_err("something is wrong");
    assert!(!format!("{problems:?} {:?}", loaded.notices).contains(secret), "{problems:?}");
    assert!(problems.len() == 2 && loaded.notices.len() == 1, "{problems:?} {:?}", loaded.notices);
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources { file: Some(PathBuf::from("/nowhere/x.toml")), ..Sources::default() };
    let said = Settings::load(&sources).settings.expect_err("missing").to_string();
    assert!(said.starts_with("/nowhere/x.toml: cannot be read"), "{said}");
}

/// What is wrong with settings whose files `make` puts into a folder.
fn unreadable(make: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make(folder.path());
    let sources = Sources { folder: folder.path().to_owned(), ..Sources::default() };
    let said = Settings::load(&sources).settings.expect_err("something is wrong").to_string();
    said.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn only_a_file_that_is_not_there_is_passed_over() {
    for name in ["settings.toml", ".env"] {
        let said = unreadable(|folder| symlink("nowhere", folder.join(name)).expect("a link"));
        let wanted = "cannot be read: it is a link to a file that does not exist";
        assert_eq!(said, format!("{name}: {wanted}"));
        let said = unreadable(|folder| symlink(name, folder.join(name)).expect("a link"));
        assert!(said.starts_with(&format!("{name}: cannot be read: ")), "a loop: {said}");
        let said = unreadable(|folder| fs::create_dir(folder.join(name)).expect("a folder"));
        assert!(said.starts_with(&format!("{name}: cannot be read: ")), "a folder: {said}");
    }
    // Of a path that cannot be walked nobody knows what is at its end. (A folder that may not be
    // searched is the same, except to root.)
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let sources = Sources { folder: file.path().to_owned(), ..Sources::default() };
    let Problems(said) = Settings::load(&sources).settings.expect_err("no folder");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("/settings.toml: cannot be read: "), "{said:?}");
    assert!(said[1].contains("/.env: cannot be read: "), "{said:?}");
}

#[test]
fn a_file_that_is_no_text_is_told_with_its_line() {
    for name in ["settings.toml", ".env"] {
        let text = b"#\n# caf\xe9\n";
        let said = unreadable(|folder| fs::write(folder.join(name), text).expect("a file"));
        assert_eq!(said, format!("{name}:2: is not text in UTF-8 (byte 6 of the line)"));
    }
}

#[test]
fn whatever_a_name_is_made_of_it_is_told_in_one_line() {
    let case = Case {
        file: "\"a\\nb\" = 1\n\n[server]\n\"\\u001b[2J\" = 2\n",
        dotenv: "BILLION__\u{1b}=1\n",
        ..Case::default()
    };
    let problems = case.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for problem in problems {
        assert!(!problem.contains(char::is_control), "{problem:?}");
        assert!(problem.contains("unknown setting"), "{problem:?}");
    }
}
