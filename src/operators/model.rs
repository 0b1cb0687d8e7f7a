//! The decisions of operators as they are kept and told: plain data.

use actors::bus::Kept;
use log::error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The key of [`Decisions::read_only`].
pub const READ_ONLY: &str = "read-only";

/// Why the board takes no checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnly {
    /// For other operators.
    pub reason: String,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
    /// Who decided it.
    pub by: String,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Set while the board takes no checks.
    pub read_only: Option<ReadOnly>,
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
        Self { read_only }
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
    fn decisions_are_read_as_they_were_written_and_damage_keeps_the_board_read_only() {
        let read_only = ReadOnly { reason: "upgrade".into(), since_ms: 7, by: "alice".into() };
        let kept =
            |value: String| Kept::from([(READ_ONLY.into(), value), ("later".into(), "?".into())]);
        assert_eq!(Decisions::read(&kept(written(&read_only))).read_only, Some(read_only));
        assert!(Decisions::read(&kept("{".into())).read_only.is_some());
        assert_eq!(Decisions::read(&Kept::new()), Decisions::default());
    }
}
