//! Settings: loads them from all their places, layers and validates them; every problem is found
//! before anything starts, and told with its place.
//!
//! `settings.toml` in the repository is the compiled-in default, so it names every key there is.
//! Lowest to highest: it, the settings file, `.env`, the environment, the command line; within
//! variables the older server's names, then `BILLION__SECTION__KEY`.

mod catalogue;
mod changes;
mod layers;
mod written;
mod dotenv;
mod variables;
mod aliases;
mod validate;
mod redis;
mod limits;
mod show;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use actors::{
    board::Board,
    deflate::Level,
    limits::rate::Rate,
    live::LiveSettings,
    session::frame::FrameLimits,
    settings::{
        BroadcasterSettings, HubSettings, NodeSettings, PULSE_INTERVAL, SessionSettings,
        ShardSettings,
    },
};
use catalogue::CATALOGUE;
use config::{Config, Source as _, Value};
use layers::{Findings, Layer};
use serde::Deserialize;

use crate::limits::written::Written;

pub use changes::InForce;
pub use layers::{Flag, Sources};
pub use limits::Limits;
pub use redis::Secret;
pub use show::{Setting, masked, masked_text};
pub use validate::{host_and_port, network, resolve};

/// Everything that can be set. Units and meaning: `settings.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub admin: Admin,
    pub page: Page,
    pub board: BoardSection,
    pub shards: Shards,
    pub session: Session,
    pub limiter: Limiter,
    pub limits: Limits,
    pub broadcaster: Broadcaster,
    pub hub: Hub,
    pub redis: Redis,
    pub store: Store,
    pub database: Database,
    pub people: People,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub address: String,
    pub workers: usize,
    pub allowed_origins: Vec<String>,
    pub allow_missing_origin: bool,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub trusted_proxies: Vec<String>,
    pub base_path: String,
    pub keep_alive_s: u64,
    pub drain_delay_s: u64,
    pub shutdown_timeout_s: u64,
}

impl Server {
    /// What stands before every path of ours: empty, or a path without a slash at its end.
    pub fn base(&self) -> &str {
        self.base_path.trim_end_matches('/')
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub address: String,
    pub hosts: Vec<String>,
    pub token_file: PathBuf,
    pub audit_file: PathBuf,
}

impl Settings {
    /// The file of the audit.
    pub fn audit_file(&self) -> PathBuf {
        let named = &self.admin.audit_file;
        if named.as_os_str().is_empty() {
            self.store.path.join("audit.jsonl")
        } else {
            named.clone()
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub connections: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    pub keys_file: PathBuf,
    pub anonymous_days: u32,
    pub messages: String,
    pub chat: bool,
    pub slow_mode_s: u64,
    pub words_file: PathBuf,
}

impl People {
    /// How fast one player may send messages.
    pub fn messages(&self) -> Rate {
        Written::parse(&self.messages, None).expect("judged when it was read").rate
    }
}

impl Settings {
    /// Where the database is.
    pub fn database_url(&self) -> String {
        match &*self.database.url {
            "" => format!("sqlite://{}", self.store.path.join("billion.db").display()),
            named => named.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    pub path: PathBuf,
    pub reload: bool,
    pub me_url: String,
    pub coffee_url: String,
    pub websocket_url: String,
}

impl Page {
    /// The folder of the page; none for the page that is compiled in.
    pub fn folder(&self) -> Option<&Path> {
        Some(&*self.path).filter(|path| !path.as_os_str().is_empty())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardSection {
    pub name: String,
    pub boxes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shards {
    pub count: u32,
    pub threads: usize,
    pub mailbox: usize,
    pub queue_checks: usize,
    pub commit_checks: usize,
    pub gather_ms: u64,
    pub wait_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub compression: String,
    pub compression_level: i8,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limiter {
    pub limit: f64,
    pub burst: u32,
    pub range_limit: f64,
    pub range_burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broadcaster {
    pub interval_ms: u64,
    pub mailbox: usize,
    pub batch_updates: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    pub mailbox: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub addresses: Vec<String>,
    pub addresses_remap: Vec<String>,
    pub username: String,
    pub password: Secret,
    pub ca_file: PathBuf,
    pub connections: usize,
    pub batch_checks: usize,
    pub wait_replicas: u32,
    pub connect_timeout_ms: u64,
    pub response_timeout_ms: u64,
    pub commit_timeout_ms: u64,
    pub start_timeout_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub path: PathBuf,
    pub log_mib: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: String,
    pub level: String,
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

/// What loading found.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, or everything that is wrong with them.
    pub settings: Result<Settings, Problems>,
    /// What was ignored or is hardly meant, and why; one line each.
    pub notices: Vec<String>,
    /// How to log, as far as that is known: also of wrong settings.
    pub log: Log,
    /// What was read, and how many settings each has.
    pub read: Vec<(String, usize)>,
    values: Vec<Value>,
    defaults: Vec<Value>,
}

impl Loaded {
    /// The settings as TOML, each with its place; secrets masked.
    pub fn print(&self) -> String {
        show::print(&self.values, &self.defaults)
    }

    /// Where the value of `key` comes from.
    pub fn place(&self, key: &str) -> String {
        masked_text(&places(&[key], &self.values))
    }
}

impl Settings {
    /// Layers all of `sources` and validates the result.
    pub fn load(sources: &Sources) -> Loaded {
        let mut findings = Findings::default();
        let layers = sources.layers(&mut findings);
        let defaults = values_of(&layered(layers[..1].to_vec()));
        let layered = layered(layers);
        let values = values_of(&layered);
        for (entry, value) in CATALOGUE.iter().zip(&values) {
            if let Some(problem) = entry.judge(&value.kind) {
                findings.problems.push(format!("{}: {problem}", place(value)));
                findings.doubtful.push(entry.key.to_owned());
            }
        }
        let settings = layered.try_deserialize::<Self>().map_err(|error| error.to_string());
        let log = settings.as_ref().map(|settings| settings.log.clone()).unwrap_or_default();
        match &settings {
            Ok(settings) => {
                // One of them alone is wrong and told already: the other may be right.
                let doubtful = |keys: &[&str]| {
                    keys.iter().any(|key| findings.doubtful.iter().any(|other| other == key))
                };
                let told = |found: Vec<([&'static str; 2], String)>| -> Vec<String> {
                    let found = found.into_iter().filter(|(keys, _)| !doubtful(keys));
                    found.map(|(keys, why)| format!("{}: {why}", places(&keys, &values))).collect()
                };
                let (problems, advice) =
                    (told(validate::relations(settings)), told(validate::advice(settings)));
                findings.problems.extend(problems);
                findings.notices.extend(advice);
            }
            // A number beyond its range cannot become a field, and has been told above.
            Err(error) if findings.problems.is_empty() => findings.problems.push(error.clone()),
            Err(_) => {}
        }
        findings.sort();
        let Findings { problems, notices, read, .. } = findings;
        // Here, so that none of them can be forgotten: names and places are what somebody wrote, who may have written
        // secrets, line breaks and what terminals obey.
        let masked_all = |lines: Vec<String>| -> Vec<String> {
            lines.iter().map(|line| show::one_line(&masked_text(line))).collect()
        };
        let (problems, notices) = (masked_all(problems), masked_all(notices));
        let read = read.into_iter().map(|(place, count)| (masked_text(&place), count)).collect();
        let settings = settings
            .map_err(|_| ())
            .and_then(|settings| if problems.is_empty() { Ok(settings) } else { Err(()) });
        let settings = settings.map_err(|()| Problems(problems));
        Loaded { settings, notices, log, read, values, defaults }
    }

    /// The defaults, whoever builds it.
    #[cfg(test)]
    pub fn defaults() -> Self {
        let nowhere = Sources { folder: "/nonexistent".into(), ..Sources::default() };
        Self::load(&nowhere).settings.expect("the defaults are valid")
    }

    /// The board to serve.
    pub fn board(&self) -> Board {
        Board::new(&self.board.name, self.board.boxes, self.shards.count)
            .expect("validated when the settings were loaded")
    }

    /// What the actors need to know.
    pub fn node(&self) -> NodeSettings {
        let session = &self.session;
        NodeSettings {
            session: SessionSettings {
                mailbox: session.mailbox,
                outbox_bytes: session.outbox_bytes,
                send_buffer_bytes: session.send_buffer_bytes,
                read_buffer_bytes: session.read_buffer_bytes,
                ranges_outstanding: session.ranges_outstanding,
                checks_outstanding: session.checks_outstanding,
            },
            shards: ShardSettings {
                threads: self.shards.threads,
                mailbox: self.shards.mailbox,
                gather: Duration::from_millis(self.shards.gather_ms),
                queue_checks: self.shards.queue_checks,
                commit_checks: if self.redis.is_used() {
                    self.redis.batch_checks
                } else {
                    self.shards.commit_checks
                },
                compression: Level::new(session.compression_level)
                    .expect("validated when the settings were loaded"),
            },
            broadcaster: BroadcasterSettings {
                mailbox: self.broadcaster.mailbox,
                interval: Duration::from_millis(self.broadcaster.interval_ms),
                gather: self.news_gather(),
                batch_updates: self.broadcaster.batch_updates,
                pulse_interval: PULSE_INTERVAL,
            },
            hub: HubSettings { mailbox: self.hub.mailbox },
            live: self.live(),
        }
    }

    /// What the actors follow while they run.
    pub fn live(&self) -> LiveSettings {
        let (session, limiter) = (&self.session, &self.limiter);
        LiveSettings {
            frames: FrameLimits {
                message_bytes: session.message_bytes,
                fragments: session.fragments,
                // Of each connection: whether anybody understands it.
                text: None,
                // Of each connection, as was agreed upon.
                deflate: false,
            },
            checks: Rate::new(limiter.limit, limiter.burst),
            ranges: Rate::new(limiter.range_limit, limiter.range_burst),
            control_frames: limits::control_frames(),
            messages: self.people.messages(),
            bytes_in: self.bytes_in(),
            shared: self.rates(),
            shard_wait_timeout: Duration::from_millis(self.shards.wait_timeout_ms),
            drain_timeout: Duration::from_secs(session.drain_timeout_s),
            close_timeout: Duration::from_secs(session.close_timeout_s),
            ping_interval: Duration::from_secs(session.ping_interval_s),
            idle_timeout: Duration::from_secs(session.idle_timeout_s),
        }
    }
}

/// Each layer over those before it.
fn layered(layers: Vec<Layer>) -> Config {
    let builder =
        layers.into_iter().fold(Config::builder(), |builder, layer| builder.add_source(layer));
    builder.build().expect("layers cannot fail to be read")
}

/// The value of each setting, in the catalogue's order. Not `Config::get`, which forgets where a value
/// comes from.
fn values_of(layered: &Config) -> Vec<Value> {
    let tables = layered.collect().expect("layers cannot fail to be read");
    let value = |key: &str| {
        let (section, name) = key.split_once('.')?;
        tables.get(section)?.clone().into_table().ok()?.remove(name)
    };
    let values = CATALOGUE.iter().map(|entry| value(entry.key));
    values.map(|value| value.expect("the defaults have every setting")).collect()
}

fn place(value: &Value) -> &str {
    value.origin().unwrap_or("default")
}

/// The places of several settings, leaving out compiled-in ones unless all of them are.
fn places(keys: &[&str], values: &[Value]) -> String {
    let given = CATALOGUE.iter().zip(values).filter(|(entry, _)| keys.contains(&entry.key));
    let mut places: Vec<&str> = given.map(|(_, value)| place(value)).collect();
    places.dedup();
    if places.len() > 1 {
        places.retain(|place| *place != "default");
    }
    places.join(", ")
}
