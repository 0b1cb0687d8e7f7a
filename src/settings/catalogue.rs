//! What every setting may be: its unit and its range, one entry a key, in the order of
//! `settings.toml`. Judges single values; what two settings mean to each other is in `validate`.
//!
//! A test keeps this list, `settings.toml`, the struct and `docs/OPERATING.md` in step.

use actors::board::SHARDS_MAX;
use config::{Value, ValueKind};

use super::{
    redis,
    show::{masked, toml},
    validate,
};

/// No timeout needs to be longer.
const DAY_S: u64 = 86_400;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A whole number from the first to the second.
    Whole(u64, u64),
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
    /// A list of `scheme://host[:port]`.
    Origins,
    /// A list of addresses and networks as in `10.0.0.0/8`.
    Networks,
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
}

/// One setting.
#[derive(Debug)]
pub struct Entry {
    /// `section.key`.
    pub key: &'static str,
    /// What the number counts, `–` if it is none.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the documentation"))]
    pub unit: &'static str,
    /// What it may be.
    pub form: Form,
}

const MANY: u64 = u32::MAX as u64;

/// Every setting there is.
pub const CATALOGUE: &[Entry] = &[
    entry("server.address", "host:port", Form::Address),
    entry("server.workers", "threads", Form::Whole(0, 1024)),
    entry("server.allowed_origins", "–", Form::Origins),
    entry("server.allow_missing_origin", "–", Form::Switch),
    entry("server.max_connections", "connections", Form::Whole(1, 10_000_000)),
    entry("server.max_connections_per_address", "connections", Form::Whole(0, 10_000_000)),
    entry("server.trusted_proxies", "–", Form::Networks),
    entry("server.shutdown_timeout_s", "s", Form::Whole(2, DAY_S)),
    entry("admin.address", "host:port", Form::Address),
    entry("page.path", "–", Form::Text),
    entry("page.reload", "–", Form::Switch),
    entry("page.me_url", "–", Form::Link),
    entry("page.coffee_url", "–", Form::Link),
    entry("page.websocket_url", "–", Form::Socket),
    entry("board.name", "–", Form::Name),
    entry("board.boxes", "boxes", Form::Whole(1, MANY)),
    entry("shards.count", "shards", Form::Whole(1, SHARDS_MAX as u64)),
    entry("shards.threads", "threads", Form::Whole(1, 1024)),
    entry("shards.mailbox", "messages", Form::Whole(1, MANY)),
    entry("shards.queue_checks", "checks", Form::Whole(1, MANY)),
    entry("shards.commit_checks", "checks", Form::Whole(1, MANY)),
    entry("shards.gather_ms", "ms", Form::Whole(0, 1000)),
    entry("shards.wait_timeout_ms", "ms", Form::Whole(1, DAY_S * 1000)),
    entry("session.mailbox", "messages", Form::Whole(17, MANY)),
    entry("session.outbox_bytes", "bytes", Form::Whole(1, MANY)),
    entry("session.send_buffer_bytes", "bytes", Form::Whole(4096, 1 << 30)),
    entry("session.read_buffer_bytes", "bytes", Form::Whole(64, 1 << 24)),
    entry("session.ranges_outstanding", "ranges", Form::Whole(1, 16)),
    entry("session.checks_outstanding", "checks", Form::Whole(1, MANY)),
    entry("session.message_bytes", "bytes", Form::Whole(8, 1 << 20)),
    entry("session.fragments", "fragments", Form::Whole(1, MANY)),
    entry("session.ping_interval_s", "s", Form::Whole(1, DAY_S)),
    entry("session.idle_timeout_s", "s", Form::Whole(1, DAY_S)),
    entry("session.drain_timeout_s", "s", Form::Whole(1, DAY_S)),
    entry("session.close_timeout_s", "s", Form::Whole(1, DAY_S)),
    entry("limiter.limit", "checks/s", Form::Rate),
    entry("limiter.burst", "checks", Form::Whole(1, MANY)),
    entry("limiter.range_limit", "ranges/s", Form::Rate),
    entry("limiter.range_burst", "ranges", Form::Whole(1, MANY)),
    entry("broadcaster.interval_ms", "ms", Form::Whole(0, 60_000)),
    entry("broadcaster.mailbox", "messages", Form::Whole(1, MANY)),
    entry("broadcaster.batch_updates", "updates", Form::Whole(1, MANY)),
    entry("hub.mailbox", "messages", Form::Whole(1, MANY)),
    entry("redis.addresses", "–", Form::RedisNodes),
    entry("redis.addresses_remap", "–", Form::Remap),
    entry("redis.username", "–", Form::Text),
    entry("redis.password", "–", Form::Secret),
    entry("redis.ca_file", "–", Form::Text),
    entry("redis.connections", "connections", Form::Whole(1, 64)),
    entry("redis.batch_checks", "checks", Form::Whole(1, 256)),
    entry("redis.wait_replicas", "replicas", Form::Whole(0, 5)),
    entry("redis.connect_timeout_ms", "ms", Form::Whole(10, 60_000)),
    entry("redis.response_timeout_ms", "ms", Form::Whole(10, 60_000)),
    entry("redis.commit_timeout_ms", "ms", Form::Whole(100, 600_000)),
    entry("redis.start_timeout_s", "s", Form::Whole(1, DAY_S)),
    entry("store.path", "–", Form::Folder),
    entry("store.log_mib", "MiB", Form::Whole(1, 1 << 20)),
];

const fn entry(key: &'static str, unit: &'static str, form: Form) -> Entry {
    Entry { key, unit, form }
}

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.key == key)
}

impl Entry {
    /// Gives `value` the kind this setting has, or says why it cannot.
    pub fn fit(&self, value: ValueKind) -> Result<ValueKind, String> {
        let key = self.key;
        let told = match &value {
            _ if self.form == Form::Secret => "***".to_owned(),
            ValueKind::String(text) => format!("{:?}", masked(text)),
            other => toml(other),
        };
        let wrong = |wanted: &str| format!("{key} = {told} is not {wanted}");
        let value = Value::new(None, value);
        match self.form {
            Form::Whole(..) => {
                whole(&value.kind).ok_or_else(|| wrong("a whole number of 0 or more"))
            }
            Form::Rate => match value.into_float() {
                Ok(number) if number.is_finite() => Ok(ValueKind::Float(number)),
                _ => Err(wrong("a number")),
            },
            Form::Switch => {
                value.into_bool().map(ValueKind::Boolean).map_err(|_| wrong("true or false"))
            }
            Form::Origins | Form::Networks | Form::RedisNodes | Form::Remap => match value.kind {
                ValueKind::Array(items) => {
                    let strings =
                        items.iter().all(|item| matches!(item.kind, ValueKind::String(_)));
                    let wanted = || format!("{key}: every entry must be text in quotes");
                    strings.then_some(ValueKind::Array(items)).ok_or_else(wanted)
                }
                ValueKind::String(text) => {
                    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                    Ok(ValueKind::Array(items.map(Value::from).collect()))
                }
                _ => Err(wrong("a list")),
            },
            _ => match value.kind {
                ValueKind::String(text) => Ok(ValueKind::String(text)),
                other => {
                    let name = key.rsplit_once('.').map_or(key, |(_, name)| name);
                    let found = match other {
                        ValueKind::Boolean(_) => "a switch",
                        ValueKind::Array(_) => "a list",
                        _ => "a number",
                    };
                    Err(format!("{key} = {told} is {found}: write text in quotes, {name} = \"…\""))
                }
            },
        }
    }

    /// What is wrong with a value that [`fits`](Self::fit), if anything.
    pub fn judge(&self, value: &ValueKind) -> Option<String> {
        let key = self.key;
        let problem = match (self.form, value) {
            (Form::Whole(least, most), ValueKind::I64(number)) => {
                let within = u64::try_from(*number).is_ok_and(|n| (least..=most).contains(&n));
                let wanted = format!("{key} = {number}: must be from {least} to {most}");
                return (!within).then_some(wanted);
            }
            (Form::Rate, ValueKind::Float(number)) => {
                let within = *number == 0.0 || (0.001..=1e9).contains(number);
                let wanted = "must be 0 (no limit) or from 0.001 to 1000000000";
                return (!within).then(|| format!("{key} = {number}: {wanted}"));
            }
            (form, ValueKind::Array(items)) => {
                let judge: fn(&str) -> Result<(), String> = match form {
                    Form::RedisNodes => redis::judge_node,
                    Form::Remap => redis::judge_remap,
                    Form::Networks => |text| validate::network(text).map(|_| ()),
                    _ => validate::origin,
                };
                let items = items.iter().map(ToString::to_string);
                let bad: Vec<_> = items.filter_map(|item| judge(&item).err()).collect();
                return (!bad.is_empty()).then(|| format!("{key}: {}", bad.join("; ")));
            }
            (Form::Address, ValueKind::String(text)) => validate::resolve(text).err(),
            (Form::Folder, ValueKind::String(text)) => validate::folder(text).err(),
            (Form::Link, ValueKind::String(text)) => validate::link(text).err(),
            (Form::Socket, ValueKind::String(text)) => validate::socket(text).err(),
            (Form::Name, ValueKind::String(text)) => validate::name(text).err(),
            _ => None,
        };
        problem.map(|problem| format!("{key} = {:?}: {problem}", masked(&value.to_string())))
    }
}

/// A whole number, also as text and with `_` between digits, as variables have it.
fn whole(value: &ValueKind) -> Option<ValueKind> {
    let number = match value {
        ValueKind::I64(number) => *number,
        ValueKind::String(text) => text.trim().replace('_', "").parse().ok()?,
        _ => return None,
    };
    (number >= 0).then_some(ValueKind::I64(number))
}

/// The name in `known` most like `name`, if one is close enough to be meant.
///
/// Close is up to three letters off and more alike than not, or the same last part elsewhere
/// (`server.burst` for `limiter.burst`).
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let close = known.clone().min_by_key(|candidate| distance(name, candidate))?;
    let off = distance(name, close);
    if off <= 3 && 2 * off < name.len() {
        return Some(close);
    }
    let last = |name: &str| name.rsplit_once('.').map(|(_, last)| last.to_owned());
    known.into_iter().find(|candidate| last(name).is_some() && last(candidate) == last(name))
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
