//! What an answer tells of limits: the fields of the IETF (draft-ietf-httpapi-ratelimit-headers), those of older
//! clients, and why a request was refused (RFC 9457).

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use serde_json::json;

use super::written::Written;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Registered with IANA for quotas.
const PROBLEM: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// One limit that a request has met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Of the rule.
    pub name: String,
    /// How much it allows.
    pub written: Written,
    /// How much is left.
    pub left: u64,
    /// Until all of it is there again, or, for who is refused, until there is anything.
    pub reset: Duration,
}

/// Puts what was met into the head of an answer.
pub fn tell(met: &[Met], headers: &mut HeaderMap) {
    // Whoever reads one number wants that of the limit it will run into.
    let Some(tightest) = met.iter().min_by(|one, other| share(one).total_cmp(&share(other))) else {
        return;
    };
    let of_each = |told: fn(&Met) -> String| met.iter().map(told).collect::<Vec<_>>().join(", ");
    let policy = of_each(|Met { name, written, .. }| {
        format!("\"{}\";q={};w={}", quotable(name), written.quota, seconds_up(written.window))
    });
    let limit = of_each(|Met { name, left, reset, .. }| {
        format!("\"{}\";r={left};t={}", quotable(name), seconds_up(*reset))
    });
    let text = |text: &str| HeaderValue::from_str(text).expect("printable ASCII");
    headers.insert(POLICY, text(&policy));
    headers.insert(LIMIT, text(&limit));
    headers.insert(X_LIMIT, tightest.written.quota.into());
    headers.insert(X_REMAINING, tightest.left.into());
    headers.insert(X_RESET, seconds_up(tightest.reset).into());
}

/// What is left of it, of 1.
fn share(met: &Met) -> f64 {
    met.left as f64 / f64::from(met.written.quota)
}

/// As it may stand in a string of structured fields (RFC 9651 §3.3.3).
fn quotable(name: &str) -> String {
    name.replace(|c: char| !(' '..='~').contains(&c) || c == '"' || c == '\\', "?")
}

/// Whole seconds, rounded up: nobody comes too early for having been told so.
pub fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Refuses for `wait`, because of the rule `name`; `text` is for people.
pub fn refused(status: StatusCode, name: &str, text: &str, wait: Duration) -> HttpResponse {
    let seconds = seconds_up(wait).max(1);
    let detail = match text {
        "" => format!("the limit of {name} is reached: come again in {seconds} s"),
        text => text.to_owned(),
    };
    let body = json!({
        "type": PROBLEM,
        "title": "Too many requests",
        "status": status.as_u16(),
        "detail": detail,
        "violated-policies": [name],
    });
    HttpResponse::build(status)
        .insert_header((header::RETRY_AFTER, seconds))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/problem+json")
        .body(format!("{body}\n"))
}

/// Refuses for good.
pub fn blocked() -> HttpResponse {
    let body = json!({
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "this address is blocked here",
    });
    HttpResponse::Forbidden()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/problem+json")
        .body(format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(name: &str, rate: &str, left: u64, reset_ms: u64) -> Met {
        let written = Written::parse(rate, None).expect("a rate");
        Met { name: name.into(), written, left, reset: Duration::from_millis(reset_ms) }
    }

    #[test]
    fn every_limit_is_told_and_the_tightest_to_older_clients() {
        let mut headers = HeaderMap::new();
        let all =
            [met("address", "50-S burst 500", 499, 20), met("GET /x \"é\"", "100-M", 50, 30_000)];
        tell(&all, &mut headers);
        let told = |name: &str| headers.get(name).expect(name).to_str().expect("text").to_owned();
        assert_eq!(told("ratelimit-policy"), "\"address\";q=500;w=10, \"GET /x ???\";q=100;w=60");
        assert_eq!(told("ratelimit"), "\"address\";r=499;t=1, \"GET /x ???\";r=50;t=30");
        assert_eq!(told("x-ratelimit-limit"), "100");
        assert_eq!(told("x-ratelimit-remaining"), "50");
        assert_eq!(told("x-ratelimit-reset"), "30");
        let mut nothing = HeaderMap::new();
        tell(&[], &mut nothing);
        assert!(nothing.is_empty());
    }
}
