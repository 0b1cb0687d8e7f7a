//! Rates as operators write them.

use std::time::Duration;

use actors::limits::rate::Rate;

/// What a rate must look like.
const WANTED: &str = "write \"off\", or a number and S, M, H or D for a second, a minute, an hour or a day, as in \
                      \"10-S\" or \"200-M burst 50\"";

/// A rate, and how it is told to those whom it holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How tokens grow.
    pub rate: Rate,
    /// So many in each [`window`](Self::window), as `RateLimit-Policy` has it.
    pub quota: u32,
    /// Of that.
    pub window: Duration,
}

impl Written {
    /// No limit.
    pub const OFF: Self =
        Self { rate: Rate::UNLIMITED, quota: u32::MAX, window: Duration::from_secs(1) };

    /// Reads `"10-S"`, `"200-M burst 50"` or `"off"`; `burst`, where it stands apart.
    ///
    /// By the second a rate is a *pace*: so many tokens grow in each second, and `burst` of them are saved up (a
    /// second's worth, if none is given). By the minute, hour or day it is a *quota*: no minute sees more than that,
    /// `burst` of them at once (a tenth, if none is given); so what grows back in a minute is the rest.
    ///
    /// # Errors
    /// If it is none: why, and what to write.
    pub fn parse(text: &str, burst: Option<u32>) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why}: {WANTED}");
        let (pace, inner) = match text.split_once(" burst ") {
            Some((pace, inner)) => {
                let inner = whole(inner.trim()).ok_or_else(|| wrong("has no burst from 1 on"))?;
                (pace.trim(), Some(inner))
            }
            None => (text.trim(), None),
        };
        if pace.eq_ignore_ascii_case("off") {
            return match inner.or(burst) {
                Some(_) => Err("has a burst and no rate".to_owned()),
                None => Ok(Self::OFF),
            };
        }
        let Some((count, unit)) = pace.rsplit_once('-') else { return Err(wrong("is no rate")) };
        let period_s = match unit {
            "S" | "s" => 1,
            "M" | "m" => 60,
            "H" | "h" => 3600,
            "D" | "d" => 86_400,
            _ => return Err(wrong("has no unit that is known")),
        };
        let count = match whole(count) {
            Some(0) => return Err("would refuse everybody: write \"off\" for no limit".to_owned()),
            Some(count) if count <= COUNT_MAX => count,
            _ => {
                return Err(wrong(&format!("has no number from 1 to {COUNT_MAX} before its unit")));
            }
        };
        let burst = match (burst, inner) {
            (Some(_), Some(_)) => {
                return Err("has a burst, and there is another one beside it".to_owned());
            }
            (burst, inner) => burst.or(inner),
        };
        if burst.is_some_and(|burst| burst == 0 || burst > COUNT_MAX) {
            return Err(wrong(&format!("has no burst from 1 to {COUNT_MAX}")));
        }
        let period = Duration::from_secs(period_s);
        if period_s == 1 {
            let burst = burst.unwrap_or(count);
            let rate = Rate::every(period, count.into(), burst);
            let window = Duration::from_nanos(rate.burst_ns());
            return Ok(Self { rate, quota: burst, window: window.max(period) });
        }
        let burst = burst.unwrap_or((count / 10).max(1));
        let grows_back = match count.checked_sub(burst) {
            // One, and the next one a period later.
            Some(0) if count == 1 => 1,
            None | Some(0) => {
                return Err(format!(
                    "is a quota of {count}, of which a burst of {burst} leaves nothing to grow back: \
                     write a burst below {count}"
                ));
            }
            Some(rest) => rest,
        };
        let rate = Rate::every(period, grows_back.into(), burst);
        Ok(Self { rate, quota: count, window: period })
    }
}

/// Most that may be written: more is no limit.
const COUNT_MAX: u32 = 1_000_000_000;

/// A number, with `_` between digits or without.
fn whole(text: &str) -> Option<u32> {
    let is_clean =
        text.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
    if is_clean { text.replace('_', "").parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Written {
        Written::parse(text, None).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn a_rate_by_the_second_is_a_pace_and_a_burst() {
        assert_eq!(read("10-S").rate, Rate::new(10.0, 10));
        let read = read("100-S burst 400");
        assert_eq!(read.rate, Rate::new(100.0, 400));
        assert_eq!((read.quota, read.window), (400, Duration::from_secs(4)));
        assert_eq!(Written::parse("100-S", Some(400)), Ok(read));
        assert_eq!(Written::parse("1_000-s burst 2_000", None).map(|read| read.quota), Ok(2000));
    }

    /// A plain bucket of that rate and burst lets 399 pass in its first minute.
    #[test]
    fn no_minute_sees_more_than_its_quota() {
        for (text, quota, period_s) in [
            ("200-M burst 50", 200, 60),
            ("200-M burst 199", 200, 60),
            ("200-M", 200, 60),
            ("1000-H", 1000, 3600),
            ("5000-D", 5000, 86_400),
            ("1-H", 1, 3600),
        ] {
            let written = read(text);
            assert_eq!((written.quota, written.window.as_secs()), (quota, period_s), "{text}");
            let (bucket, step_ns) = (actors::limits::bucket::TokenBucket::default(), 97_000_000);
            let mut passed = std::collections::VecDeque::new();
            let mut most = 0;
            for now_ns in (1..3 * period_s * 1_000_000_000)
                .step_by(step_ns.max(period_s as usize * 1_000_000))
            {
                while bucket.take(written.rate, 1, now_ns).is_ok() {
                    passed.push_back(now_ns);
                }
                while passed.front().is_some_and(|at| now_ns - at >= period_s * 1_000_000_000) {
                    passed.pop_front();
                }
                most = most.max(passed.len());
            }
            assert!(most <= quota as usize, "{text}: {most}");
            assert!(most * 10 >= quota as usize * 9, "{text}: {most}");
        }
    }

    #[test]
    fn what_is_no_rate_is_told_with_the_way_out() {
        for (text, told) in [
            ("0-S", "write \"off\""),
            ("0-M burst 3", "write \"off\""),
            ("10", "is no rate"),
            ("10-", "no unit"),
            ("10-W", "no unit"),
            ("-S", "no number"),
            ("ten-S", "no number"),
            ("-5-S", "no number"),
            ("1.5-S", "no number"),
            ("10000000000-S", "no number"),
            ("+10-S", "no number"),
            ("_1_0_-S", "no number"),
            ("1__0-S", "no number"),
            ("off burst 5", "no rate"),
            ("10-S burst 1_", "no burst"),
            ("10-S burst", "no unit"),
            ("10-S burst 0", "no burst"),
            ("10-S burst x", "no burst"),
            ("200-M burst 200", "below 200"),
            ("200-M burst 300", "below 200"),
            ("", "is no rate"),
        ] {
            let why = Written::parse(text, None).expect_err(text);
            assert!(why.contains(told), "{text}: {why}");
        }
        assert!(Written::parse("10-S burst 3", Some(4)).is_err());
        assert!(Written::parse("off", Some(4)).is_err());
        assert_eq!(read("off"), Written::OFF);
        assert!(read("OFF").rate.is_unlimited());
    }
}
