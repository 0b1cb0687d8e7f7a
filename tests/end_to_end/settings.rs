//! Settings as operators meet them: where they come from, what mistakes are told, what they change.

use std::{
    ffi::OsStr,
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt as _,
    process::{Command, Stdio},
};

use crate::harness::{
    browser::Browser,
    client::{Told, handshake},
    server::{Setup, request},
    site::copy_page,
};

/// A free port of an address that no other test uses, so that nobody else takes it meanwhile.
fn free_port(address: [u8; 4]) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from((address, 0))).expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// The line that `--print-settings` has for a setting, checked to be the only one.
fn printed(setup: &Setup, arguments: &[&str], section: &str, name: &str) -> String {
    let ran = setup.run(&[&["--print-settings"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (_, rest) = ran.printed().split_once(&format!("[{section}]\n")).expect("the section");
    let section = rest.split("\n[").next().expect("its lines");
    let mut lines = section.lines().filter(|line| line.starts_with(&format!("{name} = ")));
    let line = lines.next().unwrap_or_else(|| panic!("no {name} in {section}"));
    assert_eq!(lines.next(), None);
    line.to_owned()
}

#[test]
fn each_place_wins_over_those_before_it_and_is_named() {
    let burst = |setup: &Setup, flags: &[&str]| printed(setup, flags, "limiter", "burst");
    let setup = Setup::bare();
    assert_eq!(burst(&setup, &[]), "burst = 20  # default; live");

    let setup = setup.with_file("settings.toml", "# mine\n[limiter]\n\nburst = 21\n");
    assert_eq!(burst(&setup, &[]), "burst = 21  # settings.toml:4; live");
    let setup = setup.with_file("other.toml", "limiter.burst = 121\n");
    assert_eq!(burst(&setup, &["--settings", "other.toml"]), "burst = 121  # other.toml:1; live");

    let setup = setup.with_file(".env", "LIMITER_BURST=22\n");
    assert_eq!(burst(&setup, &[]), "burst = 22  # .env:1 LIMITER_BURST; live");
    let setup = setup.with_file(".env", "BILLION__LIMITER__BURST=23\n\nLIMITER_BURST=22\n");
    assert_eq!(burst(&setup, &[]), "burst = 23  # .env:1 BILLION__LIMITER__BURST; live");

    let setup = setup.with_variable("LIMITER_BURST", "24");
    assert_eq!(burst(&setup, &[]), "burst = 24  # environment LIMITER_BURST; live");
    let setup = setup.with("LIMITER__BURST", 25);
    assert_eq!(burst(&setup, &[]), "burst = 25  # environment BILLION__LIMITER__BURST; live");
    assert_eq!(burst(&setup, &["--set", "limiter.burst=26"]), "burst = 26  # flag --set; live");

    // What only a lower place names stays as that has it.
    let flags =
        ["--address", ":9", "--set", "server.address=:8", "--board", "other", "--data", "d"];
    assert_eq!(
        printed(&setup, &flags, "server", "address"),
        "address = \":9\"  # flag --address; restart"
    );
    assert_eq!(
        printed(&setup, &flags, "board", "name"),
        "name = \"other\"  # flag --board; restart"
    );
    assert_eq!(printed(&setup, &flags, "store", "path"), "path = \"d\"  # flag --data; restart");
    assert_eq!(burst(&setup, &flags), "burst = 25  # environment BILLION__LIMITER__BURST; live");
    assert_eq!(printed(&setup, &flags, "limiter", "limit"), "limit = 10.0  # default; live");
}

#[test]
fn three_mistakes_are_told_at_once_each_with_its_place() {
    let wrong = "[server]\naddress = \"127.0.0.1:0\"\nworkrs = 2\n\n[shards]\ncount = 0\n";
    let setup =
        Setup::bare().with_file("settings.toml", wrong).with_variable("LIMITER_LIMIT", "ten");
    let told = [
        "settings.toml:3: server.workrs: unknown setting (did you mean server.workers?)",
        "settings.toml:6: shards.count = 0: must be from 1 to 10000",
        "environment LIMITER_LIMIT: limiter.limit = \"ten\" is not a number",
    ];
    let ran = setup.run(&["--check"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.said.lines().collect::<Vec<_>>(), [&told[..], &["3 problems"]].concat());
    assert_eq!(ran.printed(), "");

    // Asked to serve it says the same, and has touched nothing.
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(2));
    assert_eq!(said.lines().count(), 3, "{said}");
    for problem in told {
        assert!(said.contains(problem), "{problem} in {said}");
    }
    assert!(!setup.folder().join("data").exists());

    let mended = "[server]\naddress = \"127.0.0.1:0\"\nworkers = 2\n\n[shards]\ncount = 3\n";
    let setup = setup.with_file("settings.toml", mended).with_variable("LIMITER_LIMIT", "10");
    let ran = setup.run(&["--check"]);
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.printed().starts_with("OK: "), "{ran:?}");
    assert!(!setup.folder().join("data").exists());
}

#[test]
fn a_folder_without_a_page_is_found_by_checking() {
    let setup = Setup::bare().with_arguments(&["--set", "page.path=/nowhere"]);
    let ran = setup.run(&["--check"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.said.starts_with("flag --set: page.path: "), "{ran:?}");
    assert!(ran.said.contains("the page's folder /nowhere/"), "{ran:?}");
    assert!(ran.said.contains("set page.path to the folder that holds"), "{ran:?}");
    serving_says_what_checking_does(&setup);
}

/// Asked to serve, it ends with 2 and says what `--check` does, which is one thing.
fn serving_says_what_checking_does(setup: &Setup) {
    let checked = setup.run(&["--check"]);
    let (problem, rest) = checked.said.split_once('\n').expect("a line");
    assert_eq!((checked.code, rest), (Some(2), "1 problem\n"), "{checked:?}");
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!((status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(problem), "{problem} in {said}");
}

#[test]
fn a_store_that_cannot_be_a_folder_is_found_by_checking() {
    let mut setup = Setup::new(1000, 1).with_file("taken", "");
    std::os::unix::fs::symlink("nowhere", setup.folder().join("dangling")).expect("a link");
    for (path, told) in [
        ("", "environment BILLION__STORE__PATH: store.path = \"\": write the name of a folder"),
        ("taken", "environment BILLION__STORE__PATH: store.path: taken: is not a folder"),
        ("taken/data", "environment BILLION__STORE__PATH: store.path: taken/data: "),
        ("dangling", "environment BILLION__STORE__PATH: store.path: dangling: is a link to"),
    ] {
        setup = setup.with("STORE__PATH", path);
        let ran = setup.run(&["--check"]);
        assert!(ran.said.starts_with(told), "{ran:?}");
        serving_says_what_checking_does(&setup);
    }
}

#[test]
fn no_password_on_the_command_line_is_said_again() {
    let setup = Setup::bare();
    for words in [
        &["--set", "redis://u:s3cret@h"][..],
        &["--set=redis://u:s3cret@h"],
        &["--set", "redis://u:x s3cret@h"],
        &["--set", "redis://u:s3cret@h=1", "--check"],
        &["--settings", "redis://u:s3cret@h", "--check"],
        &["--redis=redis://u:s3cret@h"],
        &["redis://u:s3cret@h"],
        &["u:s3cret@h"],
        &["health", "redis://u:s3cret@h"],
        &["health", "--address", "redis://u:s3cret@h"],
    ] {
        let ran = setup.run(words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(!ran.said.contains("s3cret"), "{words:?}: {ran:?}");
        assert!(!ran.said.is_empty() && ran.printed() == "", "{words:?}: {ran:?}");
    }
    let ran = setup.run(&["redis://u:s3cret@h"]);
    assert!(ran.said.contains("'redis://***@h'"), "it is told which word: {ran:?}");
}

#[test]
fn completing_offers_files_only_where_files_belong() {
    let setup = Setup::bare().with_file("a-file", "");
    let script = setup.run(&["completions", "bash"]).printed().to_owned();
    let setup = setup.with_file("billion.bash", &script);
    let offered = |flag: &str| {
        // compopt fails outside of a real completion, which changes nothing here.
        let ask = format!(
            "source ./billion.bash; COMP_WORDS=(billion {flag} a); COMP_CWORD=2; \
             _billion billion a {flag} 2>&-; echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &ask]).current_dir(setup.folder()).output();
        String::from_utf8(output.expect("bash is there").stdout).expect("text")
    };
    assert_eq!(offered("--settings"), "a-file\n");
    for flag in ["--set", "--address", "--board", "--data"] {
        assert!(!offered(flag).contains("a-file"), "{flag}: {}", offered(flag));
    }
}

#[test]
fn no_password_is_printed_logged_or_told() {
    let setup = Setup::bare()
        .with_variable("REDIS_ADDRESSES", "redis://:hunter2@10.0.0.1:6379/1")
        .with_variable("WEBSOCKET_URL", "wss://me:hunter2@play.example/ws")
        .with_file("settings.toml", "[redis]\npassword = \"hunter2\"\nno = 1\n")
        .with_file(".env", "BILLION__REDIS__PASSWRD=hunter2\nhunter2 is no line\n");
    for arguments in [&["--check"][..], &["--print-settings"], &[]] {
        let ran = setup.run(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.said.contains("hunter2") && !ran.printed().contains("hunter2"), "{ran:?}");
        for place in [
            "settings.toml:3: redis.no: unknown setting",
            ".env:1 BILLION__REDIS__PASSWRD: unknown setting (did you mean BILLION__REDIS__PASSWORD?)",
            ".env:2: ",
            "environment REDIS_ADDRESSES: redis.addresses: \"redis://***@10.0.0.1:6379/1\"",
            "environment WEBSOCKET_URL: page.websocket_url = \"wss://***@play.example/ws\"",
        ] {
            assert!(ran.said.contains(place), "{place}: {ran:?}");
        }
    }
    let ran = setup.run(&["--print-settings"]);
    let line =
        "websocket_url = \"wss://***@play.example/ws\"  # environment WEBSOCKET_URL; restart\n";
    assert!(ran.printed().contains(line), "{ran:?}");
}

#[test]
fn a_new_operator_changes_port_shards_mailbox_and_limiter() {
    let (players, admin) = (free_port([127, 0, 77, 1]), free_port([127, 0, 77, 2]));
    let text = format!(
        "[server]\naddress = \"{players}\"\n[admin]\naddress = \"{admin}\"\n\
         [page]\npath = \"{}\"\n[board]\nboxes = 1000000\n[shards]\ncount = 5\nmailbox = 77\n\
         [limiter]\nlimit = 0.001\nburst = 2\n",
        env!("CARGO_MANIFEST_DIR")
    );
    let setup = Setup::bare().with_file("settings.toml", &text);
    assert_eq!(setup.run(&["--check"]).code, Some(0));
    assert_eq!(
        printed(&setup, &[], "shards", "mailbox"),
        "mailbox = 77  # settings.toml:11; restart"
    );

    let server = setup.start();
    assert_eq!((server.address, server.admin), (players, admin));
    assert!(server.log().contains("1,000,000 boxes in 5 shards"), "{}", server.log());
    let mut client = server.client_v2();
    for id in 1..=3 {
        client.check(id);
    }
    let mut told = [client.next(), client.next(), client.next()];
    told.sort_by_key(|told| matches!(told, Told::Refused { .. }));
    assert_eq!(told[2], Told::Refused { id: 3, reason: 4 }, "the burst is 2: {told:?}");
    assert!(matches!(told[0], Told::Update { .. }) && matches!(told[1], Told::Update { .. }));
    assert!(setup.folder().join("data/main.redb").exists(), "paths start in the working directory");
    assert_eq!(server.metric("billion_checks_committed_total "), 2.0);
}

/// They were waited for without a word.
#[test]
fn a_pipe_under_a_name_that_is_looked_for_is_told() {
    for (name, complaint) in [
        (".env", ".env: cannot be read: it is no regular file"),
        ("settings.toml", "settings.toml: cannot be read: it is no regular file"),
        ("templates/index.html", "it is no regular file"),
    ] {
        let setup = Setup::bare();
        copy_page(setup.folder());
        let pipe = setup.folder().join(name);
        // Only the template was copied.
        let _ = std::fs::remove_file(&pipe);
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("coreutils").success());
        let unnamed = setup.run(&["--check"]);
        if name.starts_with("templates") {
            assert_eq!(unnamed.code, Some(0), "nobody has asked for that page: {}", unnamed.said);
        }
        let ran = setup.with("PAGE__PATH", ".").run(&["--check"]);
        assert_eq!(ran.code, Some(2), "{}", ran.said);
        assert!(ran.said.contains(complaint), "{}", ran.said);
    }
}

/// It was read until the memory was full.
#[test]
fn settings_without_an_end_are_told() {
    let setup = Setup::bare();
    let link = setup.folder().join("settings.toml");
    std::os::unix::fs::symlink("/dev/zero", link).expect("a link");
    for (arguments, told) in [
        (&["--check"][..], "settings.toml: cannot be read: it is no regular file"),
        (
            &["--check", "--settings", "/dev/zero"],
            "/dev/zero: cannot be read: it has more than 1 MiB",
        ),
    ] {
        let ran = setup.run(arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.said);
        assert!(ran.said.contains(told), "{}", ran.said);
    }
}

#[test]
fn a_dotenv_file_of_the_older_server_is_obeyed() {
    let dotenv = "ALLOWED_ORIGINS=https://one.example\nWEBSOCKET_MAX_CONNECTIONS=2\n\
                  WEBSOCKET_HEARTBEAT_INTERVAL=1m30s\nWEBSOCKET_CONNECTION_TIMEOUT=100s\n\
                  WEBSOCKET_PING_WORKERS=4\n";
    let setup = Setup::new(1000, 1).with_file(".env", dotenv);
    let interval = printed(&setup, &[], "session", "ping_interval_s");
    assert_eq!(interval, "ping_interval_s = 90  # .env:3 WEBSOCKET_HEARTBEAT_INTERVAL; live");
    let server = setup.start();
    let ignored = ".env:5 WEBSOCKET_PING_WORKERS: ignored: the hub of each of server.workers";
    assert_eq!(server.log().matches(ignored).count(), 1, "{}", server.log());
    let shake = |origin: &str| request(server.address, "GET", "/ws", &handshake(origin)).status;
    assert_eq!(shake(&format!("http://{}", server.address)), 403);
    assert_eq!(shake("https://one.example"), 101);
}

#[test]
fn the_page_carries_its_links_and_its_socket() {
    let plain = Setup::new(1000, 1).start().get("/").body;
    assert!(plain.contains("data-websocket-url=\"\""), "{plain}");
    assert!(!plain.contains("me-link") && !plain.contains("coffee-link"), "{plain}");

    let setup = Setup::new(1000, 1)
        .with_variable("ME_URL", "https://me.example/?a=1&b=\"2\"")
        .with_variable("BUY_ME_A_COFFEE_URL", "https://coffee.example/me")
        .with_variable("WEBSOCKET_URL", "wss://play.example:8443/ws?room=1");
    let page = setup.start().get("/");
    // Some template engines escape the slash as well, which browsers undo.
    let body = page.body.replace("&#x2F;", "/");
    let me = "<a id=\"me-link\" href=\"https://me.example/?a=1&amp;b=&quot;2&quot;\"";
    for text in [
        me,
        "<a id=\"coffee-link\" href=\"https://coffee.example/me\"",
        "data-websocket-url=\"wss://play.example:8443/ws?room=1\"",
    ] {
        assert!(body.contains(text), "{text} in {body}");
    }
    let policy = "connect-src 'self' wss://play.example:8443;";
    assert!(page.head.contains(policy), "{}", page.head);
}

#[test]
fn a_page_plays_on_the_server_that_its_settings_name() {
    let address = free_port([127, 0, 77, 3]);
    let origin = format!("http://{address}");
    let game = Setup::new(250_000, 1).with("SERVER__ALLOWED_ORIGINS", &origin).start();
    let front = Setup::new(250_000, 1)
        .with("SERVER__ADDRESS", address)
        .with("PAGE__WEBSOCKET_URL", format!("ws://{}/ws?room=1", game.address))
        .start();
    let browser = Browser::start();
    let window = browser.open(&front);
    window.until_live();
    window.click(7);
    window.until_state(7, "checked");
    assert_eq!(game.metric("billion_announced_boxes "), 1.0);
    assert_eq!(front.metric("billion_connections "), 0.0);
    window.assert_no_complaints();

    // A path: the same server, whatever else is in it.
    let alone = Setup::new(250_000, 1).with("PAGE__WEBSOCKET_URL", "/ws?room=1").start();
    let window = browser.open(&alone);
    window.until_live();
    window.click(8);
    window.until_state(8, "checked");
    assert_eq!(alone.metric("billion_connections "), 1.0);
    window.assert_no_complaints();
}

#[test]
fn completions_are_scripts_that_know_our_flags() {
    let setup = Setup::bare();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = setup.run(&["completions", shell]);
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""), "{shell}: {ran:?}");
        assert!(ran.printed().contains("print-settings"), "{shell}");
        if shell == "bash" {
            let script = setup.folder().join("billion.bash");
            std::fs::write(&script, ran.printed()).expect("a writable file");
            let read = Command::new("bash").arg("-n").arg(&script).status();
            assert!(read.expect("bash is there").success(), "{}", ran.printed());
        }
    }
    assert_eq!(setup.run(&["completions", "cmd"]).code, Some(2));
}

#[test]
fn the_command_line_explains_itself() {
    let setup = Setup::bare();
    let help = setup.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in ["--settings", "--set", "--check", ".env", "BILLION__SECTION__KEY", "LIMITER_LIMIT"]
    {
        assert!(help.printed().contains(word), "{word} in {}", help.printed());
    }
    let (_, admin) = help.printed().split_once("--admin-address").expect("the flag");
    let admin = admin.split("\n      --").next().expect("what it is for");
    assert!(admin.contains("checks boxes"), "that it can write: {admin}");
    let version = setup.run(&["--version"]);
    let numbered = concat!("billion ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.printed().starts_with(numbered), "{}", version.printed());
    for (wrong, hint) in [
        (&["--adress", ":1"][..], "--address"),
        (&["--set", "limiter.burts=1"], "did you mean limiter.burst?"),
        (&["--set", "limiter.burst"], "write section.key=value"),
        (&["--set", "=5"], "write section.key=value"),
        (&["serve"], "tip: without a command, billion serves the board"),
        (&["exprot"], "'export'"),
        (&["--check", "--print-settings"], "cannot be used with"),
        (&["complete"], "completions"),
        (&["--check", "completions", "bash"], "'--check' cannot be used with a command"),
        (&["--print-settings", "health"], "'--print-settings' cannot be used with a command"),
        (&["--address", ":1", "health"], "'--address' cannot be used with a command"),
        (&["health", "--address", "127.0.0.1"], "'127.0.0.1' for '--address <HOST:PORT>': no port"),
    ] {
        let ran = setup.run(wrong);
        assert_eq!(ran.code, Some(2), "{wrong:?}: {ran:?}");
        assert!(ran.said.contains(hint), "{wrong:?}: {ran:?}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_refused_rather_than_ignored() {
    let setup = Setup::bare();
    let output = Command::new(env!("CARGO_BIN_EXE_billion"))
        .arg("--check")
        .current_dir(setup.folder())
        .env("BILLION__STORE__PATH", OsStr::from_bytes(b"/data/\xff"))
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("environment BILLION__STORE__PATH: is not text in UTF-8"), "{said}");
}

#[test]
fn output_that_nobody_reads_to_its_end_is_no_failure() {
    let setup = Setup::bare();
    let mut child = Command::new(env!("CARGO_BIN_EXE_billion"))
        .args(["completions", "bash"])
        .current_dir(setup.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Every setting that is a number, with the least and the most that the manual allows; a test of the
/// binary keeps the manual in step with what it takes.
fn ranges() -> Vec<(String, String, String)> {
    let manual = include_str!("../../docs/OPERATING.md");
    let (_, table) = manual.split_once("<!-- settings: begin -->").expect("it begins");
    let (table, _) = table.split_once("<!-- settings: end -->").expect("it ends");
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split(" | ").collect();
        let (key, range) = (cells[0].trim_end_matches('`'), cells.get(3)?);
        // 0 of a rate is no limit, which is the easiest to bear.
        let (least, most) = range.strip_prefix("0, or ").unwrap_or(range).split_once(" to ")?;
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        let [key, least, most] = [key, least, most].map(ToOwned::to_owned);
        (is_number(&least) && is_number(&most)).then_some((key, least, most))
    };
    table.lines().filter_map(row).collect()
}

/// A server with every number at one end of its range, but for those that need a Redis Cluster.
fn at_one_end(pick: impl Fn(&(String, String, String)) -> String) -> Setup {
    let ranges = ranges();
    assert!(ranges.len() > 30, "{ranges:?}");
    let ranges = ranges.iter().filter(|(key, ..)| !key.starts_with("redis."));
    ranges.fold(Setup::new(1000, 1), |setup, range| {
        setup.with(&range.0.to_uppercase().replace('.', "__"), pick(range))
    })
}

#[test]
fn a_server_plays_at_the_lower_end_of_every_range() {
    // With patience of a second or a millisecond, a busy machine would lose the player.
    let setup = at_one_end(|(_, least, _)| least.clone());
    let setup = setup.with("SESSION__IDLE_TIMEOUT_S", 60).with("SHARDS__WAIT_TIMEOUT_MS", 2000);
    let mut server = setup.start();
    let mut player = server.client();
    player.check(1);
    assert_eq!(player.next(), Told::Update { total: 1, id: 1 }, "the only box there is");
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn a_server_plays_at_the_upper_end_of_every_range() {
    // It would serve for that long before it ends.
    let setup = at_one_end(|(_, _, most)| most.clone()).with("SERVER__DRAIN_DELAY_S", 0);
    let mut server = setup.start();
    let mut player = server.client();
    player.check(u32::MAX);
    assert_eq!(player.next(), Told::Update { total: 1, id: u32::MAX });
    // It would be waited for as long as all those timeouts are.
    drop(player);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn what_ends_the_process_is_told_whatever_is_logged() {
    for chosen in ["off", "warning", "garbage", "a=b", "other=info", "info/nothing like it"] {
        let setup = Setup::new(1000, 1).with_variable("RUST_LOG", chosen);
        let (status, said) = setup.fail_to_start(&["--set", "limiter.limit=abc"]);
        assert_eq!(status.code(), Some(2), "{chosen}");
        let told = "ERROR flag --set: limiter.limit = \"abc\" is not a number";
        assert!(said.contains(told), "{chosen}: {said}");
        let ran = setup.run(&["export", "copy.bxb"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.said.contains("ERROR "), "{chosen}: {ran:?}");
    }
    let setup = Setup::new(1000, 1).with_variable("RUST_LOG", "warning");
    let log = setup.start().log();
    assert!(log.contains("RUST_LOG: \"warning\" is no level"), "{log}");
    assert!(log.contains("INFO  listening on http://"), "{log}");
}

#[test]
fn one_port_for_both_listeners_is_found_by_checking() {
    let setup = Setup::new(1000, 1)
        .with("SERVER__ADDRESS", ":20320")
        .with("ADMIN__ADDRESS", "127.0.0.1:20320");
    serving_says_what_checking_does(&setup);
    let ran = setup.run(&["--check"]);
    assert!(ran.said.contains("both would listen on one port"), "{ran:?}");
}
