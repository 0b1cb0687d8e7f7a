//! Who wins, and where a value is said to come from.

use super::{Case, Settings, environment, file};

#[test]
fn the_defaults_are_complete_and_valid() {
    let settings = file("").settings();
    assert_eq!(settings.board().boxes(), 1_000_000_000);
    assert_eq!(settings.shards.count, 50);
    assert_eq!(settings.server.shutdown_timeout_s, 8);
    assert_eq!((settings.limiter.limit, settings.limiter.burst), (10.0, 20));
    assert_eq!(settings.page.websocket_url, "");
}

#[test]
fn each_layer_wins_over_those_before_it() {
    let full = Case {
        file: "[limiter]\n\nlimit = 2\n",
        dotenv: "LIMITER_LIMIT=3\nBILLION__LIMITER__LIMIT=4",
        environment: &[("LIMITER_LIMIT", "5"), ("BILLION__LIMITER__LIMIT", "6")],
        flags: &[("--set", "limiter.limit", "7"), ("--limit", "limiter.limit", "8")],
    };
    let [file, dotenv] = [full.file, full.dotenv];
    let one = "LIMITER_LIMIT=3";
    let legacy = &full.environment[..1];
    let ladder = [
        (Case::default(), 10.0, "default"),
        (Case { file, ..Case::default() }, 2.0, "settings.toml:3"),
        (Case { file, dotenv: one, ..Case::default() }, 3.0, ".env:1 LIMITER_LIMIT"),
        (Case { file, dotenv, ..Case::default() }, 4.0, ".env:2 BILLION__LIMITER__LIMIT"),
        (Case { environment: legacy, flags: &[], ..full }, 5.0, "environment LIMITER_LIMIT"),
        (Case { flags: &[], ..full }, 6.0, "environment BILLION__LIMITER__LIMIT"),
        (Case { flags: &full.flags[..1], ..full }, 7.0, "flag --set"),
        (full, 8.0, "flag --limit"),
    ];
    for (case, limit, place) in ladder {
        let loaded = case.load();
        let said = loaded.place("limiter.limit");
        assert!(said.ends_with(place), "{said} is not {place}");
        assert_eq!(loaded.settings.expect("valid").limiter.limit, limit, "{place}");
    }
}

#[test]
fn a_layer_changes_only_what_it_names() {
    let case = Case {
        file: "[limiter]\nlimit = 3\nburst = 4\n[server]\naddress = \"127.0.0.1:1\"",
        environment: &[
            ("SERVER_ADDRESS", ":2"),
            ("BILLION__SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ],
        ..Case::default()
    };
    let settings = case.settings();
    assert_eq!((settings.limiter.limit, settings.limiter.burst), (3.0, 4));
    assert_eq!(settings.server.address, ":2");
    assert_eq!(settings.server.allowed_origins, ["https://a.example", "https://b.example"]);
}

#[test]
fn a_shorter_list_replaces_a_longer_one() {
    let case = Case {
        file: "[server]\nallowed_origins = [\"https://a.example\", \"https://b.example\"]",
        environment: &[("BILLION__SERVER__ALLOWED_ORIGINS", "")],
        ..Case::default()
    };
    assert!(case.settings().server.allowed_origins.is_empty());
}

#[test]
fn empty_older_variables_count_as_not_set() {
    assert_eq!(environment(&[("LIMITER_LIMIT", "")]).settings().limiter.limit, 10.0);
    assert!(environment(&[("REDIS_ADDRESSES", "")]).load().settings.is_ok());
}

#[test]
fn a_file_may_be_written_in_any_of_tomls_ways() {
    for text in [
        "limiter.limit = 3",
        "limiter = { limit = 3 }",
        "\u{feff}[limiter]\r\nlimit = 3\r\n",
        "[limiter]\n'limit' = 3.0",
    ] {
        assert_eq!(file(text).settings().limiter.limit, 3.0, "{text}");
    }
}

#[test]
fn dotenv_files_are_read_as_others_write_them() {
    let case = Case {
        dotenv: "# ours\nexport BILLION__BOARD__NAME=\"one\" # quoted\n\nOTHER=x\n\
                 ALLOWED_ORIGINS='https://a.example,\nhttps://b.example'\n\
                 BILLION__BOARD__NAME=two",
        ..Case::default()
    };
    let loaded = case.load();
    assert!(loaded.place("board.name").ends_with(".env:7 BILLION__BOARD__NAME"), "the last one");
    let many = loaded.place("server.allowed_origins");
    assert!(many.ends_with(".env:6 ALLOWED_ORIGINS"), "where it ends: {many}");
    let settings = loaded.settings.expect("valid");
    assert_eq!(settings.board.name, "two");
    assert_eq!(settings.server.allowed_origins, ["https://a.example", "https://b.example"]);
    assert!(std::env::var_os("BILLION__BOARD__NAME").is_none(), "the process's own stays");
}

#[test]
fn a_name_in_a_dotenv_file_goes_on_after_an_underscore() {
    for (value, address) in [
        (":$MY_PORT", ":9005"),
        (":${MY_PORT}", ":9005"),
        ("\"$MY_HOST:$MY_PORT\"", "127.0.0.1:9005"),
        ("\"$MY_HOST\":'9006' # not $MY_PORT, don't", "127.0.0.1:9006"),
        ("$MY_HOST:900$_5", "127.0.0.1:9007"),
    ] {
        let dotenv = format!(
            "# don't\nMY_HOST=127.0.0.1 # it's here\nMY_PORT=9005\n_5=7\nSERVER_ADDRESS={value}\n\
             BOARD='$MY_PORT'\nBILLION__STORE__PATH='$MY_PORT'\nME_URL=https://a.example/\\$MY_PORT"
        );
        let settings = Case { dotenv: &dotenv, ..Case::default() }.settings();
        assert_eq!(settings.server.address, address, "{value}");
        assert_eq!(settings.store.path.to_str(), Some("$MY_PORT"), "single quotes keep it");
        assert_eq!(settings.page.me_url, "https://a.example/$MY_PORT", "so does a backslash");
    }
}

#[test]
fn a_long_line_in_a_dotenv_file_is_one_line() {
    let long = "x".repeat(50_000);
    let dotenv = format!("OTHER={long}\nOTHER={long}\nLIMITER_BURST=3");
    let loaded = Case { dotenv: &dotenv, ..Case::default() }.load();
    let place = loaded.place("limiter.burst");
    assert!(place.ends_with(".env:3 LIMITER_BURST"), "{place}");
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let case = Case {
        environment: &[
            ("BILLION__LIMITER__LIMIT", "7"),
            ("BILLION__STORE__PATH", "a \"quoted\" \\ folder # with\nall"),
            ("ALLOWED_ORIGINS", "https://a.example,https://b.example"),
            ("ME_URL", "https://social.example/@me"),
        ],
        ..Case::default()
    };
    let loaded = case.load();
    let printed = loaded.print();
    let again = file(&printed).settings();
    assert_eq!(format!("{again:?}"), format!("{:?}", loaded.settings.expect("valid")));
    assert!(printed.contains("limit = 7.0  # environment BILLION__LIMITER__LIMIT\n"), "{printed}");
    assert!(printed.contains("burst = 20  # default\n"), "{printed}");
}

#[test]
fn addresses_come_in_two_forms() {
    let port = |address| super::super::resolve(address).expect("an address")[0];
    assert_eq!(port(":8080").to_string(), "0.0.0.0:8080");
    assert_eq!(port("127.0.0.1:81").to_string(), "127.0.0.1:81");
    assert_eq!(port("[::1]:82").to_string(), "[::1]:82");
    for bad in ["8080", "host", "1.2.3.4:99999", "1.2.3.4:"] {
        assert!(super::super::resolve(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_struct_knows_every_setting_and_no_other() {
    // A field without a default, or a default without a field, fails to deserialize.
    let loaded = Settings::load(&super::Sources::default());
    assert_eq!(loaded.values.len(), super::super::CATALOGUE.len());
    assert!(file("").load().settings.is_ok());
}
