//! Days since 1970 (UTC) as people write them: `2026-11-30` (RFC 3339).

use jiff::{ToSpan as _, Unit, civil::Date};

const FIRST: Date = Date::constant(1970, 1, 1);

/// A day as text.
pub fn written(day: i32) -> String {
    FIRST.saturating_add(day.days()).to_string()
}

/// The day that `text` names; `None` if it is no date from 1970 to 9999.
pub fn read(text: &str) -> Option<i32> {
    let date: Date = text.parse().ok()?;
    let days = FIRST.until((Unit::Day, date)).ok()?.get_days();
    // The parser takes other spellings, too.
    (days >= 0 && written(days) == text).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (day, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_787, "2026-11-30"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(written(day), text);
            assert_eq!(read(text), Some(day), "{text}");
        }
        assert!((0..200_000).step_by(97).all(|day| read(&written(day)) == Some(day)));
        for wrong in
            ["", "2026-11-31", "2100-02-29", "2026-13-01", "1969-12-31", "20261130", "2026-11-30Z"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
