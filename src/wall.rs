//! The wall clock, for what people read and what outlives a process. It may jump: rates and deadlines go by
//! [`Clock`](actors::clock::Clock).

use std::time::{SystemTime, UNIX_EPOCH};

use actors::store::credits::Day;

/// Milliseconds since 1970 (UTC).
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The day of now, for credits.
pub fn today() -> Day {
    Day::of_ms(now_ms())
}
