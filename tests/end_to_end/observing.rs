//! What operators watch nodes with, `docker/observe/`: a real Prometheus scrapes real nodes that are played on, and
//! every rule and every panel of the dashboard finds data there.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Over,
    client::handshake,
    cluster::shared,
    eventually,
    prometheus::{Prometheus, folder, selectors},
    server::{Server, Setup, request},
};

const BOARD: &str = "observed";
const BOXES: u32 = 250_000;

/// Two scrapes after the first request of each kind, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn prometheus_finds_data_for_every_rule_and_every_panel() {
    let nodes = Nodes::start();
    let prometheus = Prometheus::start(&nodes.all().map(|node| node.admin));
    let (rules, panels) = (rules(&prometheus), panels());
    assert_eq!(rules.iter().map(|rule| rule.0.clone()).collect::<Vec<_>>(), alerts());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| nodes.play(&is_over));
        // However this ends, the play does.
        let _over = Over(&is_over);
        let deadline = Instant::now() + LIMIT;
        loop {
            let missing = without_data(&prometheus, &rules, &panels);
            if missing.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "without data:\n{}", missing.join("\n"));
            thread::sleep(Duration::from_millis(200));
        }
    });
    let other = [("another".to_owned(), "rate(billion_nothing_total[1m])".to_owned())];
    assert_eq!(without_data(&prometheus, &other, &[]).len(), 1, "it would be noticed");
    assert_eq!(without_data(&prometheus, &[], &other).len(), 1, "it would be noticed");

    // As Prometheus itself has evaluated them.
    let judged = eventually("every rule to be evaluated", || {
        let groups = prometheus.ask("rules").expect("it answers");
        let judged = groups["groups"][0]["rules"].as_array()?.clone();
        judged.iter().all(|rule| rule["health"] != "unknown").then_some(judged)
    });
    assert_eq!(judged.len(), rules.len(), "{judged:?}");
    for rule in judged {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Every expression that finds nothing. An alert finds nothing while all is well, but what it compares has to be there.
fn without_data(
    prometheus: &Prometheus,
    rules: &[(String, String)],
    panels: &[(String, String)],
) -> Vec<String> {
    let mut missing = Vec::new();
    let mut expect_data = |what: &str, expression: &str| match prometheus.query(expression) {
        Ok(values) if !values.is_empty() => {}
        Ok(_) => missing.push(format!("{what}: {expression}")),
        Err(error) => missing.push(format!("{what}: {expression}: {error}")),
    };
    for (alert, expression) in rules {
        let selected = selectors(expression);
        assert!(!selected.is_empty(), "{alert}: {expression}");
        for selector in selected {
            expect_data(alert, &selector);
        }
        // Whatever it finds, it can be evaluated.
        expect_data(alert, &format!("count({expression}) or vector(0)"));
    }
    for (panel, expression) in panels {
        expect_data(panel, expression);
    }
    missing
}

/// Names and expressions of all alerts, as Prometheus has read them.
fn rules(prometheus: &Prometheus) -> Vec<(String, String)> {
    let groups = prometheus.ask("rules").expect("it answers");
    let rules = groups["groups"][0]["rules"].as_array().expect("rules").iter();
    let text = |rule: &Value, key: &str| rule[key].as_str().expect("text").to_owned();
    rules.map(|rule| (text(rule, "name"), text(rule, "query"))).collect()
}

/// Names of all alerts in the file.
fn alerts() -> Vec<String> {
    let file = fs::read_to_string(folder().join("alerts.yml")).expect("a file");
    let names = file.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(ToOwned::to_owned).collect()
}

fn dashboard() -> Value {
    let file = folder().join("grafana/dashboards/billion.json");
    serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON")
}

/// Titles and queries of all panels, with values in the place of the variables that Grafana fills in.
fn panels() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries = panels.iter().filter(|panel| panel["type"] != "row").flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("queries");
        assert!(!targets.is_empty(), "{title}");
        targets.iter().map(move |target| {
            let expression = target["expr"].as_str().expect("an expression");
            let filled = expression.replace("$instance", ".+").replace("$__rate_interval", "1m");
            assert!(!filled.contains('$'), "{title}: {filled}");
            (title.to_owned(), filled)
        })
    });
    queries.collect()
}

/// Nodes with whatever a node may have to count.
struct Nodes {
    embedded: Server,
    /// Lets through a request a second.
    refusing: Server,
    on_redis: [Server; 2],
}

impl Nodes {
    fn start() -> Self {
        let on_redis = Setup::on(shared(), BOARD, BOXES, 2);
        let refusing = Setup::new(BOXES, 2).with("LIMITS__NODE_REQUESTS", "1-S burst 1");
        let nodes = Self {
            embedded: Setup::new(BOXES, 2).start(),
            refusing: refusing.start(),
            on_redis: [on_redis.start(), on_redis.start()],
        };
        nodes.on_redis[0].client().check(BOXES);
        let key = format!("billion:{{{BOARD}:1}}:state");
        eventually("a key range that is made again", || {
            shared().command_on(&key, &["DEL", &key]);
            (nodes.on_redis[0].metric("billion_redis_resyncs_total{result=\"ok\"}") > 0.)
                .then_some(())
        });
        nodes
    }

    fn all(&self) -> [&Server; 4] {
        let [one, other] = &self.on_redis;
        [&self.embedded, &self.refusing, one, other]
    }

    /// Does a little of everything, again and again.
    fn play(&self, is_over: &AtomicBool) {
        let played = [&self.embedded, &self.on_redis[0], &self.on_redis[1]];
        let mut players = played.map(Server::client);
        let mut id = 0;
        while !is_over.load(Relaxed) {
            for (player, node) in players.iter_mut().zip(played) {
                id = id % BOXES + 1;
                player.check(id);
                player.check(id);
                player.range(1, 1000, &mut Vec::new());
                // By a page of another site, by one that does not speak the protocol, and by one that leaves.
                let stranger = handshake("http://evil.example");
                assert_eq!(request(node.address, "GET", "/ws", &stranger).status, 403);
                let mut odd = node.client();
                odd.send(b"odd");
                assert_eq!(odd.closed().0, 1008);
            }
            for path in ["/", "/overview", "/static/main.js", "/nothing"] {
                self.embedded.get(path);
                self.refusing.get("/");
            }
            request(self.embedded.address, "POST", "/", &[]);
            request(self.embedded.admin, "GET", "/store", &[]);
            thread::sleep(Duration::from_millis(20));
        }
        drop(players);
    }
}

#[test]
fn promtool_accepts_the_rules_and_every_alert_fires_when_it_should() {
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]] {
        let ran = Command::new("promtool").args(arguments).current_dir(folder()).output();
        let ran = ran.expect("promtool, of Debian's prometheus, can be run");
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    }
    let cases = fs::read_to_string(folder().join("alerts.test.yml")).expect("a file");
    for alert in alerts() {
        assert!(cases.contains(&format!("alertname=\"{alert}\"")), "{alert} is never seen to fire");
    }
}

#[test]
fn the_dashboard_begins_with_the_golden_signals_and_asks_whatever_source_and_node_is_chosen() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "billion-checkboxes");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "instance"]);
    let panels = dashboard["panels"].as_array().expect("panels");
    let titles = panels.iter().map(|panel| panel["title"].as_str().expect("a title"));
    let first: Vec<_> = titles.take(5).collect();
    assert_eq!(first, ["Golden signals", "Traffic", "Errors", "Latency, p99", "Saturation"]);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are used once");
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
        for selector in selectors(target["expr"].as_str().expect("an expression")) {
            assert!(selector.contains("instance=~\"$instance\""), "{selector}: {target}");
        }
    }
}
