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
    assert!(many.ends_with(".env:5 ALLOWED_ORIGINS"), "where it begins: {many}");
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
            ("BILLION__STORE__PATH", "a \"quoted\" \\ folder # with all"),
            ("ALLOWED_ORIGINS", "https://a.example,https://b.example"),
            ("ME_URL", "https://social.example/@me"),
        ],
        ..Case::default()
    };
    let loaded = case.load();
    let printed = loaded.print();
    let again = file(&printed).settings();
    assert_eq!(format!("{again:?}"), format!("{:?}", loaded.settings.expect("valid")));
    assert!(
        printed.contains("limit = 7.0  # environment BILLION__LIMITER__LIMIT; live\n"),
        "{printed}"
    );
    assert!(printed.contains("burst = 20  # default; live\n"), "{printed}");
}

#[test]
fn what_was_changed_can_be_told_from_what_was_only_written_down() {
    let case = Case {
        file: "[limiter]\nlimit = 10\nburst = 21\n[server]\nallowed_origins = []",
        environment: &[("BILLION__REDIS__PASSWORD", "hunter2"), ("BILLION__BOARD__NAME", "main")],
        ..Case::default()
    };
    let printed = case.load().print();
    for line in [
        "settings.toml:2 (default); live\n",
        "burst = 21  # ",
        "settings.toml:3; live\n",
        "settings.toml:5 (default); live\n",
        "name = \"main\"  # environment BILLION__BOARD__NAME (default); restart\n",
        "password = \"***\"  # environment BILLION__REDIS__PASSWORD; restart\n",
        "boxes = 1000000000  # default; restart\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
}

#[test]
fn a_dotenv_file_may_be_anybodys() {
    // Lines of others, each of which one reader of such files or another refuses.
    for theirs in [
        "GREETING=Hello world",
        "JAVA_OPTS=-Xms1g -Xmx1g",
        "my-app.key=1",
        "PATH_W=C:\\data",
        "MOTD=it's",
        "PROMPT=${",
        "EMPTY=\"",
        "OPEN='",
        "no line of anybody",
    ] {
        let dotenv = format!("{theirs}\nBILLION__BOARD__NAME=ours\n");
        let loaded = Case { dotenv: &dotenv, ..Case::default() }.load();
        assert_eq!(loaded.settings.expect(theirs).board.name, "ours", "{theirs}");
        assert!(loaded.notices.len() <= 1, "{:?}", loaded.notices);
    }
    let dotenv = "no line\nA=${\nLIMITER_BURST=3\nB='\nC=fine";
    let loaded = Case { dotenv, ..Case::default() }.load();
    assert_eq!(
        loaded.notices,
        [
            ".env:1: passed over, like lines 2, 4: no variable can be read here, and none of ours is \
          named"
        ]
    );
    assert_eq!(loaded.settings.expect("valid").limiter.burst, 3);
}

#[test]
fn blanks_and_apostrophes_in_a_dotenv_file_are_a_part_of_the_value() {
    let dotenv = "ALLOWED_ORIGINS=https://a.example, https://b.example  # both\n\
                  BILLION__STORE__PATH=C:\\the board's # it's\n\
                  BILLION__REDIS__PASSWORD=\"a b\"'c $d' e\n\
                  BILLION__REDIS__USERNAME=\"a\\\"\\\\ \\$b\"\n\
                  export ME_URL = https://a.example/#here\n";
    let settings = Case { dotenv, ..Case::default() }.settings();
    assert_eq!(settings.server.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(settings.store.path.to_str(), Some("C:\\the board's"));
    assert_eq!(settings.redis.username, "a\"\\ $b");
    assert_eq!(settings.page.me_url, "https://a.example/#here");
}

#[test]
fn a_dollar_that_leads_nowhere_is_told_without_what_it_stands_in() {
    let dotenv = "BILLION__REDIS__PASSWORD=pa$hunter2\nTHEIRS=$hunter2\nSERVER_ADDRESS=:$PORT\n";
    let case = Case { dotenv, environment: &[("PORT", "9000")], ..Case::default() };
    let loaded = case.load();
    assert_eq!(
        loaded.notices,
        [
            ".env:1 BILLION__REDIS__PASSWORD: a $ in it begins the name of a variable that is not set and \
          counts as empty: write \\$ or single quotes for a $ itself"
        ]
    );
    assert_eq!(loaded.settings.expect("valid").server.address, ":9000", "the environment's");
    let literal = "BILLION__BOARD__NAME='a'\nBILLION__REDIS__PASSWORD='pa$word'\n\
                   BILLION__STORE__PATH=pa\\$word$\n";
    let loaded = Case { dotenv: literal, ..Case::default() }.load();
    assert_eq!(loaded.notices, [""; 0]);
    assert_eq!(loaded.settings.expect("valid").store.path.to_str(), Some("pa$word$"));
}

#[test]
fn addresses_come_in_two_forms() {
    let port = |address| super::super::resolve(address).expect("an address")[0];
    assert_eq!(port(":8080").to_string(), "0.0.0.0:8080");
    assert_eq!(port("127.0.0.1:81").to_string(), "127.0.0.1:81");
    assert_eq!(port("[::1]:82").to_string(), "[::1]:82");
    let bad = [
        "8080",
        "host",
        "1.2.3.4:99999",
        "1.2.3.4:",
        "1.2.3.4:+80",
        "1.2.3:80",
        "256.1.1.1:80",
        "8080:80",
        "::1:80",
        "[::1]",
        "[x]:80",
        "a b:80",
        "http://a:80",
        "u@a:80",
        "*:80",
    ];
    for bad in bad {
        assert!(super::super::resolve(bad).is_err(), "{bad}");
    }
    // Whether there is such a host is asked when it is needed.
    for good in ["play.example:80", "node_1.internal:80", "1.example:80", "[fe80::1]:80", "a.:80"] {
        assert_eq!(super::super::host_and_port(good).as_deref(), Ok(good));
        assert_eq!(environment(&[("SERVER_ADDRESS", good)]).settings().server.address, good);
    }
}

#[test]
fn the_struct_knows_every_setting_and_no_other() {
    // A field without a default, or a default without a field, fails to deserialize.
    let loaded = Settings::load(&super::Sources::default());
    assert_eq!(loaded.values.len(), super::super::CATALOGUE.len());
    assert!(file("").load().settings.is_ok());
}
