//! The operators' files agree with the server and with each other: every metric it exposes is in
//! `docs/OPERATING.md` and the other way round, alerts ask for metrics that exist, and what
//! `docker/` builds, mounts and waits for is what the server needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::harness::{
    client::Told,
    cluster::shared,
    eventually,
    server::{Server, Setup, request},
};

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Type and label names of a metric.
type Kind = (String, BTreeSet<String>);

#[test]
fn the_manual_lists_every_metric_and_no_other() {
    let on_redis = Setup::on(shared(), "manual", 250_000, 2);
    let other = on_redis.start();
    let servers = [Setup::new(250_000, 2).start(), on_redis.start()];
    servers.iter().for_each(provoke_every_family);
    other.client().check(8);
    eventually("a gap", || {
        lose_a_key_range();
        (servers[1].metric("billion_redis_resyncs_total{result=\"ok\"}") > 0.).then_some(())
    });
    let exposed: BTreeMap<_, _> = servers
        .iter()
        .flat_map(|server| {
            let open = ("Accept", "application/openmetrics-text");
            exposed(&request(server.admin, "GET", "/metrics", &[open]).body)
        })
        .collect();
    let listed = listed(&read("docs/OPERATING.md"));
    for name in exposed.keys().chain(listed.keys()) {
        assert_eq!(exposed.get(name), listed.get(name), "{name}: server (left), manual (right)");
    }
    assert!(listed.len() > 20, "{listed:?}");
}

/// Makes a key range of the board in Redis go missing.
fn lose_a_key_range() {
    let key = "billion:{manual:1}:state";
    shared().command_on(key, &["DEL", key]);
}

/// Metrics that are split by a label are absent until something happened.
fn provoke_every_family(server: &Server) {
    let mut player = server.client();
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    player.send(b"odd");
    assert_eq!(player.closed().0, 1008);
    eventually("the session's end", || {
        let body = request(server.admin, "GET", "/metrics", &[]).body;
        body.contains("billion_connections_closed_total{").then_some(())
    });
}

/// From the OpenMetrics text: names as one asks for them.
fn exposed(text: &str) -> BTreeMap<String, Kind> {
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.split_once('{'))
            .filter(|(rest, _)| ["", suffix, "_bucket"].contains(rest))
            .flat_map(|(_, labels)| {
                labels.split_once('}').map_or("", |(labels, _)| labels).split(',')
            })
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .filter(|label| label != "le")
            .collect();
        kinds.insert(format!("{name}{suffix}"), (kind.to_owned(), labels));
    }
    kinds
}

/// From the manual's section: rows of `| `name{label}` | type | …`.
fn listed(manual: &str) -> BTreeMap<String, Kind> {
    let (_, section) = manual.split_once("\n## Metrics\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let prefixes = ["| `billion_", "| `process_"];
    let is_row = |line: &&str| prefixes.iter().any(|prefix| line.starts_with(prefix));
    let rows = section.lines().filter(is_row).map(|line| &line["| `".len()..]);
    let parse = |row: &str| {
        let (name, rest) = row.split_once('`')?;
        let kind = rest.split('|').nth(1)?.trim();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let labels = labels.map(ToOwned::to_owned).collect();
        Some((name.to_owned(), (kind.to_owned(), labels)))
    };
    rows.map(|row| parse(row).unwrap_or_else(|| panic!("not a row of metrics: {row}"))).collect()
}

#[test]
fn the_version_and_the_metrics_name_the_same_commit() {
    let setup = Setup::new(1000, 1).with("SERVER__MAX_CONNECTIONS", 321);
    let said = String::from_utf8(setup.run(&["--version"]).output).expect("text");
    let (version, commit) = said
        .trim()
        .strip_prefix("billion ")
        .and_then(|said| said.strip_suffix(')')?.split_once(" ("))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(!commit.is_empty(), "{said}");
    let server = setup.start();
    let info = format!("billion_build_info{{version=\"{version}\",commit=\"{commit}\"}} ");
    assert_eq!(server.metric(&info), 1.0, "{info}");
    assert_eq!(server.metric("billion_connections_max "), 321.0);
}

#[test]
fn alerts_and_the_text_around_them_ask_for_metrics_that_exist() {
    let manual = read("docs/OPERATING.md");
    let listed = listed(&manual);
    let known = |name: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        listed.contains_key(name)
            || base.is_some_and(|base| listed.get(base).is_some_and(|kind| kind.0 == "histogram"))
    };
    let alerts = read("docker/observe/alerts.yml");
    let dashboard = read("docker/observe/grafana/dashboards/billion.json");
    let mut asked = 0;
    for text in [&alerts, &dashboard, &manual] {
        let metrics = text.match_indices("billion_").chain(text.match_indices("process_"));
        for (at, _) in metrics {
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            let name = text[at..].split(|c| !legal(c)).next().unwrap_or_default();
            assert!(known(name), "{name} is not a metric");
            asked += 1;
        }
    }
    assert!(asked > listed.len(), "alerts and manual were read");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let paragraph = format!("\n### `{alert}`\n");
        assert!(manual.contains(&paragraph), "the manual does not say what to do: {alert}");
        let leads_there = format!("runbook_url: docs/OPERATING.md#{}\n", alert.to_lowercase());
        assert!(alerts.contains(&leads_there), "no {leads_there}");
    }
}

#[test]
fn the_image_is_built_from_files_that_exist_by_the_pinned_compiler() {
    let dockerfile = read("docker/Dockerfile");
    let lines: Vec<_> = dockerfile.lines().collect();
    let toolchain = read("rust-toolchain.toml");
    let (_, channel) = toolchain.split_once("channel = \"").expect("a channel");
    let (minor, _) = channel.split('"').next().and_then(|c| c.rsplit_once('.')).expect("1.95.0");
    assert!(lines.contains(&format!("FROM rust:{minor}-bookworm AS builder").as_str()));
    assert!(!dockerfile.contains("# syntax="), "it would be fetched before every build");

    let ignored = read(".dockerignore");
    let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut copied = 0;
    for line in lines.iter().filter_map(|line| line.strip_prefix("COPY ")) {
        if line.starts_with("--from") {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        for source in &words[..words.len() - 1] {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "{source}");
            assert!(sent.contains(source), "{source} is not sent to the builder");
            copied += 1;
        }
    }
    assert!(copied >= 8, "{copied}");

    let user = lines.iter().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    let number = user.split(':').next().and_then(|user| user.parse::<u32>().ok());
    assert!(number.is_some_and(|number| number > 0), "USER {user} is not a number above 0");
    let before = |one: &str, other: &str| {
        let at = |start: &str| lines.iter().rposition(|line| line.starts_with(start));
        at(one).is_some() && at(one) < at(other)
    };
    assert!(before("FROM ", "USER ") && before("USER ", "ENTRYPOINT "), "root no longer");
}

#[test]
fn images_have_the_tag_of_the_version_and_services_have_limits() {
    // Without its closing brace, where a value ends.
    let ours = format!("billion-checkboxes:${{BILLION_TAG:-{}", env!("CARGO_PKG_VERSION"));
    let tagged = |image: &str| image.rsplit('/').next().is_some_and(|name| name.contains(':'));
    for file in ["docker/compose.yml", "docker/compose.cluster.yml"] {
        let text = read(file);
        let images = values(&text, " image: ");
        assert!(images.contains(&&*ours), "{file}: {images:?}");
        assert!(images.iter().all(|image| tagged(image)), "{file}: {images:?}");
        for limit in ["mem_limit: ", "pids_limit: ", "max-size: ", "no-new-privileges:true"] {
            assert!(text.contains(limit), "{file} has no {limit}");
        }
    }
    let watching = read("docker/observe/compose.yml");
    let images = values(&watching, " image: ");
    assert!(images.len() == 2 && images.iter().all(|image| tagged(image)), "{images:?}");
    assert_eq!(watching.matches("mem_limit: ").count(), images.len());
    let dockerfile = read("docker/Dockerfile");
    assert!(dockerfile.contains(&format!("-t billion-checkboxes:{} .", env!("CARGO_PKG_VERSION"))));
    assert!(dockerfile.contains("\nARG BILLION_COMMIT\n"), "build.rs asks for it");
}

/// A wrong setting ends the server with 2, and only the main process's code keeps systemd from trying again.
#[test]
fn systemd_does_not_try_wrong_settings_again() {
    let unit = read("docker/billion.service");
    assert_eq!(values(&unit, "RestartPreventExitStatus="), ["2"]);
    assert_eq!(values(&unit, "ExecStartPre="), [""; 0], "its exit code would not count");
    let number = |key| values(&unit, key)[0].parse::<u32>().expect("a number");
    // Whatever else is wrong when the machine starts, such as names that do not resolve yet.
    let tried_for = number("RestartSec=") * number("StartLimitBurst=");
    assert!((60..number("StartLimitIntervalSec=")).contains(&tried_for), "{tried_for} s");
}

#[test]
fn systemd_has_settings_read_again_by_the_signal_that_does_it() {
    let (unit, manual) = (read("docker/billion.service"), read("docs/OPERATING.md"));
    assert!(unit.contains("\nExecReload=/bin/kill -HUP $MAINPID\n"), "{unit}");
    assert!(manual.contains("`billion --check && systemctl reload billion`"), "look before");
}

#[test]
fn whoever_stops_the_server_waits_longer_than_it_takes() {
    let settings = read("settings.toml");
    let (_, timeout) = settings.split_once("\nshutdown_timeout_s = ").expect("the default");
    let timeout: u64 = timeout.lines().next().expect("a line").parse().expect("a number");
    for (file, key) in [
        ("docker/compose.yml", "stop_grace_period: "),
        ("docker/compose.cluster.yml", "stop_grace_period: "),
        ("docker/billion.service", "TimeoutStopSec="),
    ] {
        let text = read(file);
        let (_, waits) = text.split_once(key).unwrap_or_else(|| panic!("{file}: no {key}"));
        let digits: String = waits.chars().take_while(char::is_ascii_digit).collect();
        assert!(digits.parse::<u64>().expect("seconds") > timeout, "{file}: {key}{digits}");
    }
}

#[test]
fn what_the_operators_files_set_are_settings() {
    let settings = read("settings.toml");
    let known = variables(&settings);
    let ours = variables(&read("docker/billion.toml"));
    assert!(ours.len() == 1 && ours.is_subset(&known), "{ours:?}");
    let mut set = 0;
    for file in [
        "docker/compose.yml",
        "docker/compose.cluster.yml",
        "docker/billion.service",
        "docker/Dockerfile",
    ] {
        let text = read(file);
        for (at, _) in text.match_indices("BILLION__") {
            let legal = |c: char| c.is_ascii_uppercase() || c == '_';
            let name = text[at..].split(|c| !legal(c)).next().unwrap_or_default();
            assert!(known.contains(name), "{file}: {name} is not a setting");
            set += 1;
        }
    }
    assert!(set >= 1, "{set}");
}

/// What follows `key` in every line of `text` that has it, up to the end of the word.
fn values<'text>(text: &'text str, key: &str) -> Vec<&'text str> {
    let value = |line: &'text str| {
        let (_, value) = line.split_once(key)?;
        value.split([' ', ';', '}']).next()
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(value).collect()
}

#[test]
fn nginx_the_nodes_and_redis_have_one_address_each_in_all_files() {
    let (nginx, compose) = (read("docker/nginx.conf"), read("docker/compose.cluster.yml"));
    let own = values(&compose, "BILLION__SERVER__TRUSTED_PROXIES: ");
    let mut nodes: BTreeSet<_> =
        values(&compose, "players: { ipv4_address: ").into_iter().collect();
    assert!(own.len() == 1 && nodes.remove(own[0]) && nodes.len() == 3, "{own:?} {nodes:?}");
    for role in [" max_fails=1", " backup"] {
        let asked = nginx.lines().filter(|line| line.contains(role));
        let asked = asked.flat_map(|line| values(line, "server "));
        let asked: BTreeSet<_> = asked.map(|node| node.trim_end_matches(":8080")).collect();
        assert_eq!(asked, nodes, "asked by nginx, {role} (left), nodes (right)");
    }

    let redis = values(&compose, "{ board: { ipv4_address: 172.28.0.10");
    let redis: BTreeSet<_> = redis.iter().map(|last| format!("172.28.0.10{last}:6379")).collect();
    let listed = compose.lines().filter(|line| line.trim_start().starts_with("172.28.0."));
    let listed: BTreeSet<_> =
        listed.flat_map(str::split_whitespace).map(ToOwned::to_owned).collect();
    assert_eq!(listed, redis, "made a cluster of (left), servers (right)");
    assert_eq!(redis.len(), 6);
}

#[test]
fn nginx_is_more_patient_with_players_than_a_node() {
    let (settings, proxy) = (read("settings.toml"), read("docker/nginx-proxy.conf"));
    let (_, players) = proxy.split_once("location = /ws {").expect("a location for players");
    for (ours, theirs) in [
        ("idle_timeout_s = ", "proxy_read_timeout "),
        ("drain_timeout_s = ", "proxy_send_timeout "),
    ] {
        let ours: u64 = values(&settings, ours)[0].parse().expect("seconds");
        let theirs = values(players, theirs)[0].trim_end_matches('s');
        assert!(theirs.parse::<u64>().expect("seconds") > ours, "{theirs} is not above {ours}");
    }
}

/// What the keys of settings in TOML are called in the environment.
fn variables(settings: &str) -> BTreeSet<String> {
    let (mut section, mut names) = ("", BTreeSet::new());
    for line in settings.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ") {
            names.insert(format!("BILLION__{section}__{key}").to_uppercase());
        }
    }
    names
}
