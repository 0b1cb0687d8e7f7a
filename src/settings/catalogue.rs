//! What every setting may be: its unit, its range and what it takes to change it, one entry a key, in the
//! order of `settings.toml`. Judges single values; what two settings mean to each other is in `validate`.
//!
//! A test keeps this list, `settings.toml`, the struct and `docs/OPERATING.md` in step.

use actors::board::SHARDS_MAX;
use config::{Value, ValueKind};
use strsim::osa_distance;

use Change::{Live, Restart};

use crate::limits::{
    rules::{self, Route},
    written::Written,
};
use crate::logging;

use super::{
    redis,
    show::{self, masked},
    validate,
};

/// What rules for HTTP requests must look like.
const ROUTES: &str = "a list of rules: write [[limits.route]] tables into settings.toml";

/// No timeout needs to be longer.
const DAY_S: u64 = 86_400;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A whole number from the first to the second, which may be negative.
    Between(i64, i64),
    /// A number of things a second; 0 means no limit.
    Rate,
    /// `true` or `false`.
    Switch,
    /// Any text; what else it must be is found out by whoever uses it.
    Text,
    /// The name of a folder; what is there is found out by whoever uses it.
    Folder,
    /// `host:port` or `:port`.
    Address,
    /// An absolute path, or empty.
    Path,
    /// A list of host names.
    Hosts,
    /// A list of `scheme://host[:port]`.
    Origins,
    /// A list of addresses and networks as in `10.0.0.0/8`.
    Networks,
    /// The same, and not the network of everybody.
    Proxies,
    /// An `http(s)://` URL, or empty.
    Link,
    /// A `ws(s)://` URL, an absolute path, or empty.
    Socket,
    /// 1 to 64 letters, digits, `-` or `_`.
    Name,
    /// A list of `host:port`, `redis://…` or `rediss://…`.
    RedisNodes,
    /// A list of `announced|reachable`.
    Remap,
    /// Text that is never shown.
    Secret,
    /// `sqlite://…`, `mysql://…` or `postgres://…`, or empty; never shown with its password.
    Database,
    /// `"10-S"` and the like.
    Pace,
    /// What `RUST_LOG` may have: levels, and modules with levels.
    Directives,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of paths in which `*` stands for anything.
    Paths,
    /// A list of tables, each a rule for HTTP requests.
    Routes,
}

impl Form {
    /// Whether it has entries, which stand between commas in a variable.
    fn is_list(self) -> bool {
        matches!(
            self,
            Self::Origins
                | Self::Networks
                | Self::Proxies
                | Self::Hosts
                | Self::RedisNodes
                | Self::Remap
                | Self::Paths
        )
    }
}

/// How a value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// As TOML, which tells text from numbers.
    Toml,
    /// As a variable or a flag, where everything is text.
    Text,
}

/// What it takes to change a setting of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Reading the settings again (SIGHUP).
    Live,
    /// Starting it again.
    Restart,
}

impl Change {
    /// What it is called in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Entry {
    /// `section.key`.
    pub key: &'static str,
    /// What the number counts, `–` if it is none.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the documentation"))]
    pub unit: &'static str,
    /// What it takes to change it.
    pub change: Change,
    /// What it may be.
    pub form: Form,
}

const MANY: u64 = u32::MAX as u64;

/// actix-server panics above it.
const WORKERS_MAX: u64 = 512;

/// Every setting there is.
pub const CATALOGUE: &[Entry] = &[
    entry("server.address", "host:port", Restart, Form::Address),
    entry("server.workers", "threads", Restart, Form::Whole(0, WORKERS_MAX)),
    entry("server.allowed_origins", "–", Live, Form::Origins),
    entry("server.allow_missing_origin", "–", Live, Form::Switch),
    entry("server.max_connections", "connections", Live, Form::Whole(1, 10_000_000)),
    entry("server.max_connections_per_address", "connections", Live, Form::Whole(0, 10_000_000)),
    entry("server.trusted_proxies", "–", Live, Form::Proxies),
    entry("server.base_path", "–", Restart, Form::Path),
    entry("server.keep_alive_s", "s", Restart, Form::Whole(1, DAY_S)),
    entry("server.drain_delay_s", "s", Live, Form::Whole(0, DAY_S)),
    entry("server.shutdown_timeout_s", "s", Live, Form::Whole(2, DAY_S)),
    entry("admin.address", "host:port", Restart, Form::Address),
    entry("admin.hosts", "–", Live, Form::Hosts),
    entry("admin.token_file", "–", Restart, Form::Text),
    entry("admin.audit_file", "–", Restart, Form::Text),
    entry("page.path", "–", Restart, Form::Text),
    entry("page.reload", "–", Restart, Form::Switch),
    entry("page.me_url", "–", Restart, Form::Link),
    entry("page.coffee_url", "–", Restart, Form::Link),
    entry("page.websocket_url", "–", Restart, Form::Socket),
    entry("board.name", "–", Restart, Form::Name),
    entry("board.boxes", "boxes", Restart, Form::Whole(1, MANY)),
    entry("shards.count", "shards", Restart, Form::Whole(1, SHARDS_MAX as u64)),
    entry("shards.threads", "threads", Restart, Form::Whole(1, 1024)),
    entry("shards.mailbox", "messages", Restart, Form::Whole(1, MANY)),
    entry("shards.queue_checks", "checks", Restart, Form::Whole(1, MANY)),
    entry("shards.commit_checks", "checks", Restart, Form::Whole(1, MANY)),
    entry("shards.gather_ms", "ms", Restart, Form::Whole(0, 1000)),
    entry("shards.wait_timeout_ms", "ms", Live, Form::Whole(1, DAY_S * 1000)),
    entry("session.mailbox", "messages", Restart, Form::Whole(17, MANY)),
    entry("session.outbox_bytes", "bytes", Restart, Form::Whole(1, MANY)),
    entry("session.send_buffer_bytes", "bytes", Restart, Form::Whole(4096, 1 << 30)),
    entry("session.read_buffer_bytes", "bytes", Restart, Form::Whole(64, 1 << 24)),
    entry("session.ranges_outstanding", "ranges", Restart, Form::Whole(1, 16)),
    entry("session.checks_outstanding", "checks", Restart, Form::Whole(1, MANY)),
    entry("session.message_bytes", "bytes", Live, Form::Whole(8, 1 << 20)),
    entry("session.fragments", "fragments", Live, Form::Whole(1, MANY)),
    entry("session.ping_interval_s", "s", Live, Form::Whole(1, DAY_S - 1)),
    entry("session.idle_timeout_s", "s", Live, Form::Whole(2, DAY_S)),
    entry("session.drain_timeout_s", "s", Live, Form::Whole(1, DAY_S)),
    entry("session.close_timeout_s", "s", Live, Form::Whole(1, DAY_S)),
    entry("session.compression", "–", Live, Form::Word(&["off", "ranges"])),
    entry("session.compression_level", "–", Restart, Form::Between(-2, 9)),
    entry("limiter.limit", "checks/s", Live, Form::Rate),
    entry("limiter.burst", "checks", Live, Form::Whole(1, MANY)),
    entry("limiter.range_limit", "ranges/s", Live, Form::Rate),
    entry("limiter.range_burst", "ranges", Live, Form::Whole(1, MANY)),
    entry("limits.address", "–", Live, Form::Word(&["on", "off"])),
    entry("limits.ipv6_prefix", "bits", Live, Form::Whole(16, 64)),
    entry("limits.address_checks", "checks", Live, Form::Pace),
    entry("limits.address_range_bytes", "bytes", Live, Form::Pace),
    entry("limits.address_connects", "connections", Live, Form::Pace),
    entry("limits.address_requests", "requests", Live, Form::Pace),
    entry("limits.node_checks", "checks", Live, Form::Pace),
    entry("limits.node_range_bytes", "bytes", Live, Form::Pace),
    entry("limits.node_connects", "connections", Live, Form::Pace),
    entry("limits.node_requests", "requests", Live, Form::Pace),
    entry("limits.allow", "–", Live, Form::Networks),
    entry("limits.block", "–", Live, Form::Networks),
    entry("limits.skip", "–", Live, Form::Paths),
    entry("limits.route", "–", Live, Form::Routes),
    entry("limits.status", "status", Live, Form::Whole(400, 599)),
    entry("limits.text", "–", Live, Form::Text),
    entry("limits.headers", "–", Live, Form::Switch),
    entry("limits.shadow", "–", Live, Form::Switch),
    entry("limits.prefix", "–", Restart, Form::Name),
    entry("broadcaster.interval_ms", "ms", Restart, Form::Whole(0, 60_000)),
    entry("broadcaster.mailbox", "messages", Restart, Form::Whole(1, MANY)),
    entry("broadcaster.batch_updates", "updates", Restart, Form::Whole(1, MANY)),
    entry("hub.mailbox", "messages", Restart, Form::Whole(1, MANY)),
    entry("redis.addresses", "–", Restart, Form::RedisNodes),
    entry("redis.addresses_remap", "–", Restart, Form::Remap),
    entry("redis.username", "–", Restart, Form::Text),
    entry("redis.password", "–", Restart, Form::Secret),
    entry("redis.ca_file", "–", Restart, Form::Text),
    entry("redis.connections", "connections", Restart, Form::Whole(1, 64)),
    entry("redis.batch_checks", "checks", Restart, Form::Whole(1, 256)),
    entry("redis.wait_replicas", "replicas", Restart, Form::Whole(0, 5)),
    entry("redis.connect_timeout_ms", "ms", Restart, Form::Whole(10, 60_000)),
    entry("redis.response_timeout_ms", "ms", Restart, Form::Whole(10, 60_000)),
    entry("redis.commit_timeout_ms", "ms", Restart, Form::Whole(100, 600_000)),
    entry("redis.start_timeout_s", "s", Restart, Form::Whole(1, DAY_S)),
    entry("store.path", "–", Restart, Form::Folder),
    entry("store.log_mib", "MiB", Restart, Form::Whole(1, 1 << 20)),
    entry("database.url", "–", Restart, Form::Database),
    entry("database.connections", "connections", Restart, Form::Whole(1, 1000)),
    entry("people.keys_file", "–", Restart, Form::Text),
    entry("people.anonymous_days", "days", Live, Form::Whole(1, 3650)),
    entry("people.messages", "messages", Live, Form::Pace),
    entry("people.chat", "–", Restart, Form::Switch),
    entry("people.slow_mode_s", "s", Live, Form::Whole(0, 3600)),
    entry("people.words_file", "–", Restart, Form::Text),
    entry("log.format", "–", Live, Form::Word(&["text", "json"])),
    entry("log.level", "–", Live, Form::Directives),
];

const fn entry(key: &'static str, unit: &'static str, change: Change, form: Form) -> Entry {
    Entry { key, unit, change, form }
}

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.key == key)
}

impl Entry {
    /// Gives `value` the kind this setting has, or says why it cannot.
    pub fn fit(&self, value: ValueKind, notation: Notation) -> Result<ValueKind, String> {
        let (key, toml) = (self.key, notation == Notation::Toml);
        let told = match &value {
            _ if self.form == Form::Secret => "***".to_owned(),
            ValueKind::String(text) => format!("{:?}", masked(text)),
            ValueKind::I128(number) => number.to_string(),
            other => show::toml(other),
        };
        let wrong = |wanted: &str| format!("{key} = {told} is not {wanted}");
        let quoted = |wanted: &str| {
            format!("{key} = {told} is text: write {wanted}, as in {} = …", self.name())
        };
        if let ValueKind::String(text) = &value
            && let Some(why) = self.unclean(text, notation)
        {
            return Err(format!("{key} = {told}: {why}"));
        }
        match (self.form, value) {
            (Form::Whole(..), value) => match (whole(&value), &value) {
                (Some(_), ValueKind::String(_)) if toml => Err(quoted("a number without quotes")),
                (None, _) => Err(wrong("a whole number of 0 or more")),
                // Beyond 64 bits it is beyond every range.
                (Some(number), _) => i64::try_from(number)
                    .map(ValueKind::I64)
                    .map_err(|_| format!("{key} = {told}: {}", self.range())),
            },
            (Form::Between(..), value) => match (signed(&value), &value) {
                (Some(_), ValueKind::String(_)) if toml => Err(quoted("a number without quotes")),
                (Some(number), _) => Ok(ValueKind::I64(number)),
                (None, _) => Err(wrong("a whole number")),
            },
            (Form::Rate, value) => match (rate(&value), &value) {
                (Some(_), ValueKind::String(_)) if toml => Err(quoted("a number without quotes")),
                (Some(number), _) if number.is_finite() => Ok(ValueKind::Float(number)),
                (Some(number), _) if number.is_infinite() => {
                    Err(format!("{key} = {told}: {}", self.range()))
                }
                _ => Err(wrong("a number")),
            },
            (Form::Switch, ValueKind::Boolean(switch)) => Ok(ValueKind::Boolean(switch)),
            (Form::Switch, ValueKind::String(text)) => match Value::from(text).into_bool() {
                Ok(_) if toml => Err(quoted("true or false without quotes")),
                Ok(switch) => Ok(ValueKind::Boolean(switch)),
                Err(_) => Err(wrong("true or false")),
            },
            (Form::Switch, _) => Err(wrong("true or false")),
            (Form::Routes, ValueKind::Array(items)) => {
                let is_table = |item: &Value| matches!(item.kind, ValueKind::Table(_));
                if items.iter().all(is_table) {
                    Ok(ValueKind::Array(items))
                } else {
                    Err(wrong(ROUTES))
                }
            }
            (Form::Routes, _) => Err(wrong(ROUTES)),
            (form, ValueKind::Array(items)) if form.is_list() => self.fit_items(items),
            (form, ValueKind::String(_)) if form.is_list() && toml => {
                Err(quoted("a list of texts in [ ]"))
            }
            (form, ValueKind::String(text)) if form.is_list() => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                self.fit_items(items.map(Value::from).collect())
            }
            (form, _) if form.is_list() => Err(wrong("a list")),
            (_, ValueKind::String(text)) => Ok(ValueKind::String(text)),
            (_, other) => {
                let (kind, name) = (kind(&other), self.name());
                Err(format!("{key} = {told} is {kind}: write text in quotes, {name} = \"…\""))
            }
        }
    }

    /// The last part of its key.
    fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// What a number must be.
    fn range(&self) -> String {
        match self.form {
            Form::Whole(least, most) => format!("must be from {least} to {most}"),
            Form::Between(least, most) => format!("must be from {least} to {most}"),
            _ => "must be 0 (no limit) or from 0.001 to 1000000000".to_owned(),
        }
    }

    /// What came along with `text` and is no part of it, if anything did.
    fn unclean(&self, text: &str, notation: Notation) -> Option<String> {
        let found = match (self.form, notation) {
            // What is in quotes in a file is as it was meant; a password may be anything that can be typed.
            (Form::Secret, Notation::Toml) => validate::unprintable(text),
            (Form::Secret, Notation::Text) => {
                let found = validate::unprintable(text);
                let meant = "; if it belongs to it, write it into settings.toml";
                return found
                    .map(ToOwned::to_owned)
                    .or_else(|| Some(format!("{}{meant}", validate::wrapped(text)?)));
            }
            // Their entries may stand on lines of their own.
            (form, _) if form.is_list() => validate::wrapped(text),
            _ => validate::unprintable(text).or_else(|| validate::wrapped(text)),
        };
        found.map(ToOwned::to_owned)
    }

    /// All entries of a list, or what is wrong with each of those that cannot be entries.
    fn fit_items(&self, items: Vec<Value>) -> Result<ValueKind, String> {
        let unfit = |item: &Value| match &item.kind {
            ValueKind::String(text) => {
                let why = validate::unprintable(text).or_else(|| validate::wrapped(text))?;
                Some(format!("{:?}: {why}", masked(text)))
            }
            other => {
                Some(format!("{} is {}: write text in quotes", show::toml(other), kind(other)))
            }
        };
        if items.iter().all(|item| unfit(item).is_none()) {
            return Ok(ValueKind::Array(items));
        }
        // All that is wrong at once: those of the right kind as well.
        let bad = items
            .iter()
            .filter_map(|item| unfit(item).or_else(|| self.judge_item(&item.to_string()).err()));
        Err(format!("{}: {}", self.key, bad.collect::<Vec<_>>().join("; ")))
    }

    fn judge_item(&self, item: &str) -> Result<(), String> {
        match self.form {
            Form::RedisNodes => redis::judge_node(item),
            Form::Remap => redis::judge_remap(item),
            Form::Networks => validate::network(item).map(|_| ()),
            Form::Proxies => validate::proxies(item),
            Form::Hosts => validate::host(item),
            Form::Paths => rules::judge_path(item),
            _ => validate::origin(item),
        }
    }

    /// What is wrong with a value that [`fits`](Self::fit), if anything.
    pub fn judge(&self, value: &ValueKind) -> Option<String> {
        let key = self.key;
        let problem = match (self.form, value) {
            (Form::Whole(least, most), ValueKind::I64(number)) => {
                let within = u64::try_from(*number).is_ok_and(|n| (least..=most).contains(&n));
                return (!within).then(|| format!("{key} = {number}: {}", self.range()));
            }
            (Form::Between(least, most), ValueKind::I64(number)) => {
                let within = (least..=most).contains(number);
                return (!within).then(|| format!("{key} = {number}: {}", self.range()));
            }
            (Form::Rate, ValueKind::Float(number)) => {
                let within = *number == 0.0 || (0.001..=1e9).contains(number);
                return (!within).then(|| format!("{key} = {number}: {}", self.range()));
            }
            (Form::Routes, ValueKind::Array(items)) => return judge_routes(items),
            (_, ValueKind::Array(items)) => {
                let bad = items.iter().filter_map(|item| self.judge_item(&item.to_string()).err());
                let bad: Vec<_> = bad.collect();
                return (!bad.is_empty()).then(|| format!("{key}: {}", bad.join("; ")));
            }
            (Form::Address, ValueKind::String(text)) => validate::address(text).err(),
            (Form::Path, ValueKind::String(text)) => validate::base_path(text).err(),
            (Form::Folder, ValueKind::String(text)) => validate::folder(text).err(),
            (Form::Link, ValueKind::String(text)) => validate::link(text).err(),
            (Form::Database, ValueKind::String(text)) => validate::database(text).err(),
            (Form::Socket, ValueKind::String(text)) => validate::socket(text).err(),
            (Form::Name, ValueKind::String(text)) => validate::name(text).err(),
            (Form::Directives, ValueKind::String(text)) => logging::problem(text),
            (Form::Pace, ValueKind::String(text)) => Written::parse(text, None).err(),
            (Form::Word(words), ValueKind::String(text)) if !words.contains(&&**text) => {
                let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                Some(format!("write {}", words.join(" or ")))
            }
            _ => None,
        };
        problem.map(|problem| format!("{key} = {:?}: {problem}", masked(&value.to_string())))
    }
}

/// What is wrong with rules for HTTP requests, if anything.
fn judge_routes(items: &[Value]) -> Option<String> {
    let (mut wrong, mut names) = (Vec::new(), Vec::new());
    for (at, item) in items.iter().enumerate() {
        let place = format!("limits.route, the {}", ordinal(at + 1));
        match item.clone().try_deserialize::<Route>() {
            Err(error) => wrong.push(format!("{place}: {error}")),
            Ok(route) => {
                wrong.extend(route.judge().err().map(|why| format!("{place}: {why}")));
                let name = route.name();
                if names.contains(&name) {
                    wrong.push(format!("{place}: {name} has a rule before it"));
                }
                names.push(name);
            }
        }
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

fn ordinal(number: usize) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// A whole number of 0 or more, also as text and with `_` between digits, as variables have it.
fn whole(value: &ValueKind) -> Option<i128> {
    let number = match value {
        ValueKind::I64(number) => i128::from(*number),
        ValueKind::I128(number) => *number,
        ValueKind::String(text) => text.replace('_', "").parse().ok()?,
        _ => return None,
    };
    (number >= 0).then_some(number)
}

/// A whole number, also as text.
fn signed(value: &ValueKind) -> Option<i64> {
    match value {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn rate(value: &ValueKind) -> Option<f64> {
    match value {
        ValueKind::Float(number) => Some(*number),
        ValueKind::I64(number) => Some(*number as f64),
        ValueKind::I128(number) => Some(*number as f64),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// What to call a value that should have been text.
fn kind(value: &ValueKind) -> &'static str {
    match value {
        ValueKind::Boolean(_) => "a switch",
        ValueKind::Array(_) => "a list",
        ValueKind::Nil => "a table",
        _ => "a number",
    }
}

/// The name in `known` most like `name`, if one is close enough to be meant.
///
/// Close is up to three letters off and more alike than not, or the same last part elsewhere
/// (`server.burst` for `limiter.burst`).
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let close = known.clone().min_by_key(|candidate| osa_distance(name, candidate))?;
    let off = osa_distance(name, close);
    if off <= 3 && 2 * off < name.len() {
        return Some(close);
    }
    let last = |name: &str| name.rsplit_once('.').map(|(_, last)| last.to_owned());
    known.into_iter().find(|candidate| last(name).is_some() && last(candidate) == last(name))
}
