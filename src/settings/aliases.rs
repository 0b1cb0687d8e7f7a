//! The older server's variables and the setting that each of them means here. They are one layer:
//! no two of them mean the same setting, so that they need no order among themselves.

use config::{Value, ValueKind};
use strsim::osa_distance;

use crate::logging;

use super::{
    catalogue::{Form, find, nearest},
    layers::{Findings, Given},
    show::masked,
    validate::{unprintable, wrapped},
    variables::{Variable, variable},
};

/// What names may begin with that are not ours and yet meant for us.
const PREFIXES: [&str; 2] = ["WEBSOCKET_", "REDIS_"];

/// What all programs with this kind of log read.
pub const LOG: &str = "RUST_LOG";

/// What a variable means here.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// This setting, as it is.
    Setting(&'static str),
    /// This setting, which counts bytes; less than its least is raised to that.
    Bytes(&'static str),
    /// This setting, in seconds; plain numbers are seconds, too.
    Seconds(&'static str),
    /// This setting, in seconds; plain numbers are milliseconds.
    Milliseconds(&'static str),
    /// This setting, which has words: the first for `true`, the second for `false`.
    Switch(&'static str, [&'static str; 2]),
    /// This setting, without words that mean nothing: others read the variable, too, and what it has for them keeps
    /// nobody from starting.
    Directives(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

impl Meaning {
    /// The setting that it sets, if any.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Setting(key)
            | Self::Bytes(key)
            | Self::Seconds(key)
            | Self::Milliseconds(key)
            | Self::Switch(key, _)
            | Self::Directives(key) => Some(key),
            Self::Nothing(_) => None,
        }
    }
}

/// Every name that is understood. Empty values count as not set.
pub const ALIASES: &[(&str, Meaning)] = &[
    ("SERVER_ADDRESS", Meaning::Setting("server.address")),
    ("REDIS_ADDRESSES", Meaning::Setting("redis.addresses")),
    ("REDIS_ADDRESSES_REMAP", Meaning::Setting("redis.addresses_remap")),
    ("ME_URL", Meaning::Setting("page.me_url")),
    ("BUY_ME_A_COFFEE_URL", Meaning::Setting("page.coffee_url")),
    ("WEBSOCKET_URL", Meaning::Setting("page.websocket_url")),
    ("LIMITER_LIMIT", Meaning::Setting("limiter.limit")),
    ("LIMITER_BURST", Meaning::Setting("limiter.burst")),
    ("ALLOWED_ORIGINS", Meaning::Setting("server.allowed_origins")),
    ("WEBSOCKET_MAX_CONNECTIONS", Meaning::Setting("server.max_connections")),
    ("WEBSOCKET_HEARTBEAT_INTERVAL", Meaning::Seconds("session.ping_interval_s")),
    ("WEBSOCKET_CONNECTION_TIMEOUT", Meaning::Seconds("session.idle_timeout_s")),
    ("WEBSOCKET_MESSAGE_QUEUE_SIZE", Meaning::Setting("session.mailbox")),
    ("WEBSOCKET_SHARD_COUNT", Meaning::Setting("shards.count")),
    ("WEBSOCKET_SEND_TIMEOUT_MS", Meaning::Milliseconds("session.drain_timeout_s")),
    ("WEBSOCKET_READ_BUFFER_SIZE", Meaning::Bytes("session.read_buffer_bytes")),
    ("WEBSOCKET_WRITE_BUFFER_SIZE", Meaning::Bytes("session.send_buffer_bytes")),
    ("WEBSOCKET_MAX_MESSAGE_SIZE", Meaning::Bytes("session.message_bytes")),
    ("WEBSOCKET_ENABLE_COMPRESSION", Meaning::Switch("session.compression", ["ranges", "off"])),
    (LOG, Meaning::Directives("log.level")),
    ("WEBSOCKET_COMPRESSION_LEVEL", Meaning::Setting("session.compression_level")),
    (
        "WEBSOCKET_BROADCAST_WORKERS",
        Meaning::Nothing(
            "one broadcaster numbers all updates, and the hubs of server.workers threads hand them \
             out",
        ),
    ),
    (
        "WEBSOCKET_CLOSE_ON_BACKPRESSURE",
        Meaning::Nothing(
            "what becomes of a client that does not keep up is part of the protocol: plain \
             connections are closed, v=2 ones resynced",
        ),
    ),
    (
        "WEBSOCKET_PING_WORKERS",
        Meaning::Nothing("the hub of each of server.workers threads pings its own sessions"),
    ),
    (
        "WEBSOCKET_ENABLE_GLOBAL_PING",
        Meaning::Nothing(
            "the hub of each of server.workers threads always pings its own sessions, every \
             session.ping_interval_s",
        ),
    ),
    (
        "WEBSOCKET_DROP_ON_FULL",
        Meaning::Nothing(
            "for a client that does not keep up updates are always dropped, and the protocol says \
             what then: plain connections are closed, v=2 ones resynced",
        ),
    ),
    (
        "WEBSOCKET_MESSAGE_BUFFER_SIZE",
        Meaning::Nothing(
            "updates wait as batches: broadcaster.mailbox bounds those of shards, session.mailbox and \
             session.outbox_bytes those for one client",
        ),
    ),
];

/// What the older names among `variables` set.
pub fn read(variables: &[Variable], findings: &mut Findings) -> Vec<Given> {
    let mut given = Vec::new();
    for variable in variables.iter().filter(|variable| !variable.value.is_empty()) {
        let Variable { place, name, .. } = variable;
        match ALIASES.iter().find(|(known, _)| known == name) {
            Some((_, meaning)) => given.extend(interpret(variable, *meaning, findings)),
            None => {
                let told = guess(name);
                findings.notices.extend(told.map(|told| format!("{place}: {told}")));
            }
        }
    }
    given
}

/// What to say of a name that is none of these and yet may be meant for us.
fn guess(name: &str) -> Option<String> {
    let unknown = "not known here and ignored";
    let meant = |meant: &str| format!("{unknown} (did you mean {meant}?)");
    if let Some(prefix) = PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        // REDIS_PASSWORD: others have that, the older server had not.
        let ours = name.to_lowercase().replacen('_', ".", 1);
        if find(&ours).is_some() {
            return Some(meant(&variable(&ours)));
        }
        let rest = &name[prefix.len()..];
        let known = ALIASES.iter().filter_map(|(name, _)| name.strip_prefix(prefix));
        let close = nearest(rest, known).map(|rest| meant(&format!("{prefix}{rest}")));
        return Some(close.unwrap_or_else(|| unknown.to_owned()));
    }
    // Anybody's variables are here, so they have to be more alike the shorter they are: ME_URL only in
    // other letters, SERVER_ADDRESS with three letters off.
    let upper = name.to_uppercase();
    let off = |known: &&str| osa_distance(&upper, known);
    let others = ALIASES.iter().map(|(known, _)| *known);
    let others = others.filter(|known| !PREFIXES.iter().any(|prefix| known.starts_with(prefix)));
    let close = others.min_by_key(off)?;
    (off(&close) <= (close.len().saturating_sub(4) / 3).min(3)).then(|| meant(close))
}

fn interpret(variable: &Variable, meaning: Meaning, findings: &mut Findings) -> Option<Given> {
    let Variable { place, value, .. } = variable;
    if let Some(key) = meaning.key()
        && let Some(why) = unprintable(value).or_else(|| wrapped(value))
        && !matches!(meaning, Meaning::Setting(_) | Meaning::Directives(_))
    {
        let told = masked(value);
        findings.problems.push(format!("{place}: {key} = {told:?}: {why}"));
        findings.doubtful.push(key.to_owned());
        return None;
    }
    let (key, value) = match meaning {
        Meaning::Setting(key) => (key, ValueKind::String(value.clone())),
        Meaning::Bytes(key) => (key, raised(variable, key, findings)),
        Meaning::Seconds(key) | Meaning::Milliseconds(key) => {
            let milliseconds = matches!(meaning, Meaning::Milliseconds(_));
            let unit = if milliseconds { "milliseconds" } else { "seconds" };
            let Some(seconds) = seconds(value, if milliseconds { "ms" } else { "s" }) else {
                findings.problems.push(format!(
                    "{place}: {key}: {:?} is no time: write a number of {unit} or a duration as in \
                     54s, 1m30s or 500ms",
                    masked(value)
                ));
                findings.doubtful.push(key.to_owned());
                return None;
            };
            (key, ValueKind::I64(seconds))
        }
        Meaning::Switch(key, [on, off]) => {
            let Ok(is_on) = Value::from(value.clone()).into_bool() else {
                let told = masked(value);
                findings.problems.push(format!("{place}: {key}: {told:?} is not true or false"));
                findings.doubtful.push(key.to_owned());
                return None;
            };
            (key, ValueKind::String(if is_on { on } else { off }.to_owned()))
        }
        Meaning::Directives(key) => {
            if let Some(problem) = logging::problem(value) {
                findings.notices.push(format!("{place}: {problem}"));
            }
            (key, ValueKind::String(logging::known(value)?))
        }
        Meaning::Nothing(reason) => {
            findings.notices.push(format!("{place}: ignored: {reason}"));
            return None;
        }
    };
    Some(Given { origin: place.clone(), key: key.to_owned(), value })
}

/// A size, and if it is less than the least: that.
///
/// The older server's buffers were a kilobyte or so, in its own memory. Refusing those would keep a
/// working environment from starting for no gain.
fn raised(variable: &Variable, key: &str, findings: &mut Findings) -> ValueKind {
    let entry = find(key).expect("aliases mean settings that exist");
    match (variable.value.trim().parse::<u64>(), entry.form) {
        (Ok(wanted), Form::Whole(least, _)) if wanted < least => {
            let place = &variable.place;
            findings
                .notices
                .push(format!("{place}: {key} = {wanted}: raised to the least, {least}"));
            ValueKind::I64(least as i64)
        }
        _ => ValueKind::String(variable.value.clone()),
    }
}

/// A plain number of `unit`s or a duration as Go writes it, in whole seconds, rounded up: a timeout
/// may last longer than asked for, and never becomes none.
pub fn seconds(text: &str, unit: &str) -> Option<i64> {
    const NANOSECONDS: u128 = 1_000_000_000;
    let mut rest = text.trim();
    let plain = rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let word = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (word, after) = after.split_at(word);
        let scale: u128 = match if plain { unit } else { word } {
            "ns" => 1,
            "us" | "µs" | "μs" => 1000,
            "ms" => 1_000_000,
            "s" => NANOSECONDS,
            "m" => 60 * NANOSECONDS,
            "h" => 3600 * NANOSECONDS,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + part.len() == 0 || whole.len() > 18 || part.len() > 18 {
            return None;
        }
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
        total += digits(whole)? * scale;
        total += (digits(part)? * scale).div_ceil(10_u128.pow(part.len() as u32));
        rest = after;
    }
    if text.trim().is_empty() {
        return None;
    }
    i64::try_from(total.div_ceil(NANOSECONDS)).ok()
}
