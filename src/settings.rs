//! Settings: compiled-in defaults, then the settings file, then the environment. Loads, layers and
//! validates; every problem is found before anything starts.
//!
//! `settings.toml` in the repository is the compiled-in default, so it names every key there is:
//! a key that is not in it is unknown.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use actors::{
    board::Board,
    broadcaster::{BroadcasterSettings, PULSE_INTERVAL},
    hub::HubSettings,
    session::{SessionSettings, frame::FrameLimits, limiter::Rate},
    shard::ShardSettings,
    topology::NodeSettings,
};
use config::{Config, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde::Deserialize;

/// The defaults, with their documentation.
const DEFAULTS: &str = include_str!("../settings.toml");

/// No timeout needs to be longer.
const DAY_S: u64 = 86_400;

/// Messages a session may get beside the answers to its ranges before it counts as lagging.
const MAILBOX_ROOM: usize = 16;

/// Where the settings file is looked for when none is named.
const FILE: &str = "settings.toml";

/// Environment variables of the older server and the keys they set.
const LEGACY: [(&str, &str); 4] = [
    ("SERVER_ADDRESS", "server.address"),
    ("ALLOWED_ORIGINS", "server.allowed_origins"),
    ("LIMITER_LIMIT", "limiter.limit"),
    ("LIMITER_BURST", "limiter.burst"),
];

/// Everything that can be set. Units and meaning: `settings.toml`.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    pub server: Server,
    pub admin: Admin,
    pub page: Page,
    pub board: BoardSection,
    pub shards: Shards,
    pub session: Session,
    pub limiter: Limiter,
    pub broadcaster: Broadcaster,
    pub hub: Hub,
    pub store: Store,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    pub address: String,
    pub workers: usize,
    pub allowed_origins: Vec<String>,
    pub allow_missing_origin: bool,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub shutdown_timeout_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Admin {
    pub address: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    pub path: PathBuf,
    pub reload: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BoardSection {
    pub name: String,
    pub boxes: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Shards {
    pub count: u32,
    pub threads: usize,
    pub mailbox: usize,
    pub queue_checks: usize,
    pub commit_checks: usize,
    pub wait_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Session {
    pub mailbox: usize,
    pub outbox_bytes: usize,
    pub send_buffer_bytes: usize,
    pub read_buffer_bytes: usize,
    pub ranges_outstanding: usize,
    pub checks_outstanding: usize,
    pub message_bytes: u64,
    pub fragments: u32,
    pub ping_interval_s: u64,
    pub idle_timeout_s: u64,
    pub drain_timeout_s: u64,
    pub close_timeout_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Limiter {
    pub limit: f64,
    pub burst: u32,
    pub range_limit: f64,
    pub range_burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Broadcaster {
    pub interval_ms: u64,
    pub mailbox: usize,
    pub batch_updates: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Hub {
    pub mailbox: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Store {
    pub path: PathBuf,
    pub log_mib: u64,
}

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl Settings {
    /// Layers defaults, the settings file and `environment`, and validates the result.
    ///
    /// `file` is read if named, and must exist then; otherwise `./settings.toml` if there is one.
    pub fn load(
        file: Option<&Path>,
        environment: HashMap<String, String>,
    ) -> Result<Self, Problems> {
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
        let known = flatten(defaults.collect().expect("the compiled-in settings are valid TOML"));
        let mut problems = Vec::new();
        let mut builder = Config::builder().add_source(defaults);

        let path = file.unwrap_or(Path::new(FILE));
        if file.is_some() || path.exists() {
            let source = File::from(path).format(FileFormat::Toml);
            match source.collect() {
                Ok(values) => {
                    let place = path.display().to_string();
                    builder = add(builder, values, &place, &known, &mut problems);
                }
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        builder = add_legacy(builder, &environment, &known, &mut problems);
        refuse_redis(&environment, &mut problems);
        let ours = Environment::with_prefix("BILLION")
            .prefix_separator("__")
            .separator("__")
            .source(Some(environment.into_iter().collect()));
        match ours.collect() {
            Ok(values) => builder = add(builder, values, "environment", &known, &mut problems),
            Err(error) => problems.push(format!("environment: {error}")),
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let settings = builder.build().and_then(Config::try_deserialize::<Self>);
        let settings = settings.map_err(|error| Problems(vec![error.to_string()]))?;
        settings.validate(&mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    /// The board to serve.
    pub fn board(&self) -> Board {
        Board::new(&self.board.name, self.board.boxes, self.shards.count)
            .expect("validated when the settings were loaded")
    }

    /// What the actors need to know.
    pub fn node(&self) -> NodeSettings {
        let (session, limiter) = (&self.session, &self.limiter);
        NodeSettings {
            session: SessionSettings {
                mailbox: session.mailbox,
                outbox_bytes: session.outbox_bytes,
                send_buffer_bytes: session.send_buffer_bytes,
                read_buffer_bytes: session.read_buffer_bytes,
                ranges_outstanding: session.ranges_outstanding,
                checks_outstanding: session.checks_outstanding,
                frames: FrameLimits {
                    message_bytes: session.message_bytes,
                    fragments: session.fragments,
                    text: false,
                },
                checks: Rate::new(limiter.limit, limiter.burst),
                ranges: Rate::new(limiter.range_limit, limiter.range_burst),
                shard_wait_timeout: Duration::from_millis(self.shards.wait_timeout_ms),
                drain_timeout: Duration::from_secs(session.drain_timeout_s),
                close_timeout: Duration::from_secs(session.close_timeout_s),
            },
            shards: ShardSettings {
                threads: self.shards.threads,
                mailbox: self.shards.mailbox,
                queue_checks: self.shards.queue_checks,
                commit_checks: self.shards.commit_checks,
            },
            broadcaster: BroadcasterSettings {
                mailbox: self.broadcaster.mailbox,
                interval: Duration::from_millis(self.broadcaster.interval_ms),
                batch_updates: self.broadcaster.batch_updates,
                pulse_interval: PULSE_INTERVAL,
            },
            hub: HubSettings {
                mailbox: self.hub.mailbox,
                ping_interval: Duration::from_secs(session.ping_interval_s),
                idle_timeout: Duration::from_secs(session.idle_timeout_s),
            },
        }
    }

    fn validate(&self, problems: &mut Vec<String>) {
        let mut check = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        for (key, address) in
            [("server.address", &self.server.address), ("admin.address", &self.admin.address)]
        {
            if let Err(problem) = resolve(address) {
                check(false, format!("{key} = {address:?}: {problem}"));
            }
        }
        for origin in &self.server.allowed_origins {
            check(
                is_origin(origin),
                format!(
                    "server.allowed_origins: {origin:?} is no origin as browsers send it: write \
                     scheme://host[:port] in lower case and without a default port, as in \
                     https://example.org"
                ),
            );
        }
        if let Err(error) = Board::new(&self.board.name, self.board.boxes, self.shards.count) {
            check(false, format!("board, shards.count: {error}"));
        }
        for (key, value) in [
            ("shards.mailbox", self.shards.mailbox as u64),
            ("shards.queue_checks", self.shards.queue_checks as u64),
            ("shards.commit_checks", self.shards.commit_checks as u64),
            ("session.mailbox", self.session.mailbox as u64),
            ("session.outbox_bytes", self.session.outbox_bytes as u64),
            ("session.checks_outstanding", self.session.checks_outstanding as u64),
            ("session.fragments", u64::from(self.session.fragments)),
            ("limiter.burst", u64::from(self.limiter.burst)),
            ("limiter.range_burst", u64::from(self.limiter.range_burst)),
            ("broadcaster.mailbox", self.broadcaster.mailbox as u64),
            ("broadcaster.batch_updates", self.broadcaster.batch_updates as u64),
            ("hub.mailbox", self.hub.mailbox as u64),
        ] {
            check(value >= 1, format!("{key} = {value}: must be at least 1"));
            check(
                value <= u64::from(u32::MAX),
                format!("{key} = {value}: must be at most {}", u32::MAX),
            );
        }
        for (key, value, least, most) in [
            ("server.max_connections", self.server.max_connections as u64, 1, 10_000_000),
            ("server.workers", self.server.workers as u64, 0, 1024),
            ("server.shutdown_timeout_s", self.server.shutdown_timeout_s, 2, DAY_S),
            ("shards.threads", self.shards.threads as u64, 1, 1024),
            ("shards.wait_timeout_ms", self.shards.wait_timeout_ms, 1, DAY_S * 1000),
            ("session.message_bytes", self.session.message_bytes, 8, 1 << 20),
            ("session.read_buffer_bytes", self.session.read_buffer_bytes as u64, 64, 1 << 24),
            ("session.send_buffer_bytes", self.session.send_buffer_bytes as u64, 4096, 1 << 30),
            ("session.ping_interval_s", self.session.ping_interval_s, 1, DAY_S),
            ("session.idle_timeout_s", self.session.idle_timeout_s, 1, DAY_S),
            ("session.drain_timeout_s", self.session.drain_timeout_s, 1, DAY_S),
            ("session.close_timeout_s", self.session.close_timeout_s, 1, DAY_S),
            ("session.ranges_outstanding", self.session.ranges_outstanding as u64, 1, 16),
            ("broadcaster.interval_ms", self.broadcaster.interval_ms, 0, 60_000),
            ("store.log_mib", self.store.log_mib, 1, 1 << 20),
        ] {
            check(
                (least..=most).contains(&value),
                format!("{key} = {value}: must be from {least} to {most}"),
            );
        }
        let room = self.session.ranges_outstanding + MAILBOX_ROOM;
        check(
            self.session.mailbox >= room,
            format!(
                "session.mailbox = {}: must be at least session.ranges_outstanding + \
                 {MAILBOX_ROOM} = {room}, or answers alone would overflow it",
                self.session.mailbox
            ),
        );
        for (key, value) in [
            ("limiter.limit", self.limiter.limit),
            ("limiter.range_limit", self.limiter.range_limit),
        ] {
            check(
                value == 0.0 || (0.001..=1e9).contains(&value),
                format!("{key} = {value}: must be 0 (no limit) or from 0.001 to 1000000000"),
            );
        }
        check(
            self.session.idle_timeout_s > self.session.ping_interval_s,
            format!(
                "session.idle_timeout_s = {}: must be more than session.ping_interval_s = {}, or \
                 quiet clients are thrown out before their first ping",
                self.session.idle_timeout_s, self.session.ping_interval_s
            ),
        );
    }
}

/// `host:port`, or `:port` for every interface, to the addresses to bind.
pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    let full =
        if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    let wanted = "write host:port, as in 127.0.0.1:8080, or :port for every interface";
    match full.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => {}
        _ => return Err(format!("no port from 0 to 65535: {wanted}")),
    }
    match full.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(format!("{error}: {wanted}")),
    }
}

/// Whether `text` has the form of an `Origin` header (RFC 6454 §6.2): scheme, host, maybe a port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let scheme_is_legal = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let port_is_legal = port.is_none_or(|port| {
        port.parse::<u16>().is_ok() && !matches!((scheme, port), ("http", "80") | ("https", "443"))
    });
    scheme_is_legal
        && port_is_legal
        && text.to_lowercase() == text
        && !host.is_empty()
        && !host.contains(['/', '?', '#', '@', '*', ' ', ','])
}

/// Adds one layer after checking each of its keys and values against the defaults.
fn add(
    mut builder: config::ConfigBuilder<config::builder::DefaultState>,
    values: Map<String, Value>,
    place: &str,
    known: &BTreeMap<String, Value>,
    problems: &mut Vec<String>,
) -> config::ConfigBuilder<config::builder::DefaultState> {
    for (key, value) in flatten(values) {
        let name = if place == "environment" {
            format!("environment: BILLION__{}", key.to_uppercase().replace('.', "__"))
        } else {
            format!("{place}: {key}")
        };
        if key == "redis" || key.starts_with("redis.") {
            problems.push(format!("{name}: {NO_REDIS}"));
            continue;
        }
        let Some(default) = known.get(&key) else {
            problems.push(format!("{name}: unknown setting{}", suggestion(&key, known)));
            continue;
        };
        match fit(&key, &value, default) {
            Ok(value) => builder = builder.set_override(key, value).expect("a known key is legal"),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    builder
}

fn add_legacy(
    mut builder: config::ConfigBuilder<config::builder::DefaultState>,
    environment: &HashMap<String, String>,
    known: &BTreeMap<String, Value>,
    problems: &mut Vec<String>,
) -> config::ConfigBuilder<config::builder::DefaultState> {
    for (variable, key) in LEGACY {
        let Some(text) = environment.get(variable).filter(|text| !text.is_empty()) else {
            continue;
        };
        match fit(key, &Value::from(text.as_str()), &known[key]) {
            Ok(value) => builder = builder.set_override(key, value).expect("a known key is legal"),
            Err(problem) => problems.push(format!("environment: {variable}: {problem}")),
        }
    }
    builder
}

const NO_REDIS: &str = "this version keeps its board in the embedded store only and would ignore \
                        Redis: remove the setting to go on";

fn refuse_redis(environment: &HashMap<String, String>, problems: &mut Vec<String>) {
    for variable in ["REDIS_ADDRESSES", "REDIS_ADDRESSES_REMAP"] {
        if environment.get(variable).is_some_and(|value| !value.is_empty()) {
            problems.push(format!("environment: {variable}: {NO_REDIS}"));
        }
    }
}

/// Gives `value` the kind its default has, or says why it cannot.
fn fit(key: &str, value: &Value, default: &Value) -> Result<ValueKind, String> {
    let text = value.clone().into_string().unwrap_or_else(|_| format!("{value:?}"));
    let wrong = |wanted: &str| format!("{key} = {text:?} is not {wanted}");
    match &default.kind {
        ValueKind::I64(_) | ValueKind::U64(_) => match &value.kind {
            ValueKind::I64(number) if *number >= 0 => Ok(ValueKind::I64(*number)),
            ValueKind::String(text) => text
                .trim()
                .replace('_', "")
                .parse::<i64>()
                .ok()
                .filter(|number| *number >= 0)
                .map(ValueKind::I64)
                .ok_or_else(|| wrong("a whole number of 0 or more")),
            _ => Err(wrong("a whole number of 0 or more")),
        },
        ValueKind::Float(_) => {
            let number = value.clone().into_float().map_err(|_| wrong("a number"))?;
            Ok(ValueKind::Float(number))
        }
        ValueKind::Boolean(_) => {
            value.clone().into_bool().map(ValueKind::Boolean).map_err(|_| wrong("true or false"))
        }
        ValueKind::Array(_) => match &value.kind {
            ValueKind::Array(items) => {
                let strings = items.iter().all(|item| matches!(item.kind, ValueKind::String(_)));
                strings
                    .then(|| value.kind.clone())
                    .ok_or_else(|| format!("{key}: every entry must be text in quotes"))
            }
            ValueKind::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(ValueKind::Array(items.map(Value::from).collect()))
            }
            _ => Err(wrong("a list")),
        },
        _ => match &value.kind {
            ValueKind::String(text) => Ok(ValueKind::String(text.clone())),
            _ => Err(wrong("text in quotes")),
        },
    }
}

/// Nested tables as dotted keys.
fn flatten(values: Map<String, Value>) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (key, value) in values {
        match value.kind {
            ValueKind::Table(table) => {
                flat.extend(flatten(table).into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
            }
            _ => _ = flat.insert(key, value),
        }
    }
    flat
}

/// The known key most like `key`, if one is close enough to be meant.
fn suggestion(key: &str, known: &BTreeMap<String, Value>) -> String {
    let nearest = known.keys().min_by_key(|candidate| distance(key, candidate));
    match nearest {
        Some(nearest) if distance(key, nearest) <= 3 => format!(" (did you mean {nearest}?)"),
        _ => " (settings.toml in the repository lists all)".to_owned(),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, Problems> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, file).expect("a writable file");
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::load(Some(&path), environment)
    }

    fn problem(file: &str, environment: &[(&str, &str)]) -> String {
        let Problems(problems) = load(file, environment).expect_err("it is wrong");
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let settings = load("", &[]).expect("valid");
        assert_eq!(settings.board().boxes(), 1_000_000_000);
        assert_eq!(settings.shards.count, 50);
        assert_eq!(settings.server.shutdown_timeout_s, 8);
        assert_eq!((settings.limiter.limit, settings.limiter.burst), (10.0, 20));
    }

    #[test]
    fn later_layers_win() {
        let file = "[limiter]\nlimit = 3\nburst = 4\n[server]\naddress = \"127.0.0.1:1\"";
        let settings = load(
            file,
            &[
                ("SERVER_ADDRESS", ":2"),
                ("LIMITER_LIMIT", "5.5"),
                ("BILLION__LIMITER__LIMIT", "7"),
                ("BILLION__SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
            ],
        )
        .expect("valid");
        assert_eq!(settings.limiter.limit, 7.0);
        assert_eq!(settings.limiter.burst, 4);
        assert_eq!(settings.server.address, ":2");
        assert_eq!(settings.server.allowed_origins, ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn addresses_come_in_two_forms() {
        let port = |address| resolve(address).expect("an address")[0];
        assert_eq!(port(":8080").to_string(), "0.0.0.0:8080");
        assert_eq!(port("127.0.0.1:81").to_string(), "127.0.0.1:81");
        assert_eq!(port("[::1]:82").to_string(), "[::1]:82");
        for bad in ["8080", "host", "1.2.3.4:99999", "1.2.3.4:"] {
            assert!(resolve(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_their_place() {
        let said = problem("[limiter]\nlimt = 3", &[]);
        assert!(said.ends_with("limiter.limt: unknown setting (did you mean limiter.limit?)"));
        let said = problem("", &[("BILLION__SERVER__COLOUR", "red")]);
        assert!(said.starts_with("environment: BILLION__SERVER__COLOUR: unknown setting"));
    }

    #[test]
    fn bad_values_are_refused_with_their_place() {
        let said = problem("[shards]\ncount = \"many\"", &[]);
        assert!(said.contains("shards.count = \"many\" is not a whole number"), "{said}");
        let said = problem("", &[("LIMITER_BURST", "-1")]);
        assert!(said.starts_with("environment: LIMITER_BURST: limiter.burst = \"-1\""), "{said}");
        let said = problem("[session]\nidle_timeout_s = 10", &[]);
        assert!(said.contains("must be more than session.ping_interval_s"), "{said}");
        let said = problem("[server]\naddress = \"nowhere\"", &[]);
        assert!(said.starts_with("server.address = \"nowhere\""), "{said}");
        let said = problem("[server]\nallowed_origins = [\"example.org\"]", &[]);
        assert!(said.contains("is no origin"), "{said}");
        for origin in ["https://Example.org", "https://example.org:443", "http://a:99999"] {
            let said = problem("", &[("ALLOWED_ORIGINS", origin)]);
            assert!(said.contains("is no origin"), "{said}");
        }
        for (key, value) in [
            ("SESSION__READ_BUFFER_BYTES", "1000000000000000"),
            ("LIMITER__LIMIT", "0.000000000001"),
            ("SESSION__CLOSE_TIMEOUT_S", "4294967295"),
            ("SESSION__IDLE_TIMEOUT_S", "4294967296"),
            ("SESSION__MAILBOX", "4"),
            ("SERVER__SHUTDOWN_TIMEOUT_S", "1"),
            ("SERVER__WORKERS", "5000"),
        ] {
            let said = problem("", &[(&format!("BILLION__{key}"), value)]);
            assert!(said.contains(value), "{said}");
        }
        let said = problem("[board]\nboxes = 0", &[]);
        assert!(said.contains("a board of 0 boxes"), "{said}");
        let said = problem("[board]\nboxes = 5000000000", &[]);
        assert!(said.contains("boxes"), "{said}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let Problems(problems) =
            load("[limiter]\nlimt = 3\nburst = \"x\"", &[("LIMITER_LIMIT", "fast")])
                .expect_err("three things are wrong");
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn redis_is_refused_rather_than_ignored() {
        assert!(problem("", &[("REDIS_ADDRESSES", "a:1,b:2")]).contains("embedded store only"));
        assert!(problem("[redis]\naddresses = [\"a:1\"]", &[]).contains("embedded store only"));
    }

    #[test]
    fn a_named_file_must_exist_and_parse() {
        let missing = Settings::load(Some(Path::new("/nowhere/x.toml")), HashMap::new());
        assert!(missing.expect_err("missing").to_string().contains("/nowhere/x.toml"));
        assert!(problem("[server", &[]).contains("settings.toml"));
    }
}
