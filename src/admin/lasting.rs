//! How long a decision lasts that ends by itself.

use serde::Deserialize;

/// Ten years: whatever lasts longer has no end, and no time in milliseconds comes near 2^53.
pub const LONGEST_S: u64 = 315_360_000;

/// Seconds from 1 to [`LONGEST_S`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Lasting(u64);

impl TryFrom<u64> for Lasting {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, String> {
        let is_legal = (1..=LONGEST_S).contains(&seconds);
        is_legal
            .then_some(Self(seconds))
            .ok_or_else(|| format!("for_s is 1 to {LONGEST_S} seconds"))
    }
}

impl Lasting {
    /// When it ends that begins now, in milliseconds since 1970.
    pub fn until_ms(self, now_ms: u64) -> u64 {
        now_ms + self.0 * 1000
    }
}
