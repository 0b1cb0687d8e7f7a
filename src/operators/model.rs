//! The decisions of operators as they are kept and told: plain data.

use actors::bus::Kept;
use ipnet::IpNet;
use log::error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

/// The key of [`Decisions::read_only`].
pub const READ_ONLY: &str = "read-only";

/// The key of [`Decisions::notice`].
pub const NOTICE: &str = "notice";

/// The keys of blocks begin with it.
const BLOCK: &str = "block:";

/// Why the board takes no checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadOnly {
    /// For other operators.
    pub reason: String,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
    /// Who decided it.
    pub by: String,
}

/// An address or a network whose requests and connections are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Block {
    /// Of one address: all of its bits.
    #[schema(value_type = String, examples("203.0.113.0/24"))]
    pub network: IpNet,
    /// For other operators.
    pub reason: String,
    /// When it ends, in milliseconds since 1970 (UTC); `None`: when an operator ends it.
    pub until_ms: Option<u64>,
    /// Since when.
    pub since_ms: u64,
    /// Who decided it.
    pub by: String,
}

impl Block {
    /// The key of the block of a network.
    pub fn key(network: IpNet) -> String {
        format!("{BLOCK}{network}")
    }

    /// Whether it has ended by itself.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }
}

/// How urgent a notice is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Something will change.
    Warning,
    /// Something does not work.
    Critical,
}

/// What all pages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    /// Tells it from every other one.
    #[schema(examples("01KB6XGZ7V3T9QZ4R1M5H2C8DE"))]
    pub id: String,
    /// Plain text.
    #[schema(examples("Back at 9 UTC"))]
    pub text: String,
    /// How urgent it is.
    pub severity: Severity,
    /// When it ends, in milliseconds since 1970 (UTC); `None`: when an operator takes it back.
    pub until_ms: Option<u64>,
    /// Since when.
    pub since_ms: u64,
    /// Who put it up: for operators, pages are not told.
    pub by: String,
}

impl Notice {
    /// Whether it has ended by itself.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Set while the board takes no checks.
    pub read_only: Option<ReadOnly>,
    /// What all pages show, until it ends.
    pub notice: Option<Notice>,
    /// In the order of their networks; those that have ended by themselves, too.
    pub blocks: Vec<Block>,
}

impl Decisions {
    /// From the kept entries. Those of a later version are left alone. One that cannot be read counts as there, where
    /// that is the safe side, and the log names it.
    pub fn read(kept: &Kept) -> Self {
        let read_only = kept.get(READ_ONLY).map(|value| {
            read(READ_ONLY, value).unwrap_or_else(|| ReadOnly {
                reason: "its entry cannot be read".to_owned(),
                since_ms: 0,
                by: "?".to_owned(),
            })
        });
        let blocks = kept.iter().filter(|(key, _)| key.starts_with(BLOCK));
        let blocks = blocks.filter_map(|(key, value)| read(key, value)).collect();
        let notice = kept.get(NOTICE).and_then(|value| read(NOTICE, value));
        Self { read_only, notice, blocks }
    }
}

/// As it is kept.
pub fn written(decision: &impl Serialize) -> String {
    serde_json::to_string(decision).expect("strings and numbers have a form in JSON")
}

fn read<T: DeserializeOwned>(key: &str, value: &str) -> Option<T> {
    let read = serde_json::from_str(value);
    read.map_err(|why| error!("the kept entry {key:?} cannot be read: {why}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_kept_by_their_networks_and_one_that_is_damaged_keeps_no_other_from_counting() {
        let block = |network: &str, until_ms| Block {
            network: network.parse().expect("a network"),
            reason: String::new(),
            until_ms,
            since_ms: 1,
            by: "alice".into(),
        };
        let all = [block("192.0.2.1/32", None), block("2001:db8::/64", Some(7))];
        let mut kept: Kept =
            all.iter().map(|block| (Block::key(block.network), written(block))).collect();
        kept.insert("block:damaged".into(), "{".into());
        assert_eq!(Decisions::read(&kept).blocks, all);
        assert_eq!([6, 7].map(|now_ms| all[1].is_over(now_ms)), [false, true]);
        assert!(!all[0].is_over(u64::MAX));
    }

    #[test]
    fn decisions_are_read_as_they_were_written_and_damage_keeps_the_board_read_only() {
        let read_only = ReadOnly { reason: "upgrade".into(), since_ms: 7, by: "alice".into() };
        let kept =
            |value: String| Kept::from([(READ_ONLY.into(), value), ("later".into(), "?".into())]);
        assert_eq!(Decisions::read(&kept(written(&read_only))).read_only, Some(read_only));
        assert!(Decisions::read(&kept("{".into())).read_only.is_some());
        assert_eq!(Decisions::read(&Kept::new()), Decisions::default());
    }
}
