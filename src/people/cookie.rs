//! The identity cookie among all that a browser sends: ours found, whatever stands beside it, and ours written.

use std::time::Duration;

use super::identity::LIFETIME;

/// The name where the page came by https: browsers take it from this host alone, over TLS, for all paths (RFC 6265bis §4.1.3.2).
pub const SECURE_NAME: &str = "__Host-billion_me";

/// The name elsewhere.
pub const PLAIN_NAME: &str = "billion_me";

/// Most bytes of a value that is looked at: ours have 66.
const VALUE_BYTES_MAX: usize = 200;

/// Cookies of one name that are looked at: a page of another path or subdomain may have set some of the same.
const SAME_NAME_MAX: usize = 4;

/// The values of our cookie in `headers`, the values of `Cookie` headers: those of its secure name first, which nobody else
/// can set, and of that one alone if the request `is_secure`. Bytes that are no cookie, or not ours, are passed over.
pub fn values<'h>(
    headers: impl Iterator<Item = &'h [u8]> + Clone,
    is_secure: bool,
) -> impl Iterator<Item = &'h str> {
    let plain = (!is_secure).then(|| named(headers.clone(), PLAIN_NAME));
    named(headers, SECURE_NAME).chain(plain.into_iter().flatten())
}

fn named<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
    name: &'static str,
) -> impl Iterator<Item = &'h str> {
    let pairs = headers.flat_map(|header| header.split(|byte| *byte == b';'));
    pairs
        .filter_map(|pair| str::from_utf8(pair.trim_ascii()).ok()?.split_once('='))
        .filter(move |(found, value)| *found == name && value.len() <= VALUE_BYTES_MAX)
        .map(|(_, value)| value)
        .take(SAME_NAME_MAX)
}

/// A `Set-Cookie` that has the browser keep `value`.
pub fn set(value: &str, is_secure: bool) -> String {
    written(value, LIFETIME, is_secure)
}

/// A `Set-Cookie` that has the browser forget it.
pub fn remove(is_secure: bool) -> String {
    written("", Duration::ZERO, is_secure)
}

fn written(value: &str, lifetime: Duration, is_secure: bool) -> String {
    let (name, secure) = if is_secure { (SECURE_NAME, "; Secure") } else { (PLAIN_NAME, "") };
    let lifetime = lifetime.as_secs();
    format!("{name}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[&[u8]], is_secure: bool) -> Vec<String> {
        values(headers.iter().copied(), is_secure).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn ours_is_found_beside_whatever_others_have_set() {
        assert_eq!(found(&[b"a=b; billion_me=x1; c"], false), ["x1"]);
        assert_eq!(found(&[b"billion_me=x1"], true), [""; 0], "anybody could have set it");
        assert_eq!(found(&[b"__Host-billion_me=x2;billion_me=x1"], true), ["x2"]);
        assert_eq!(found(&[b"billion_me=x1; __Host-billion_me=x2"], false), ["x2", "x1"]);
        assert_eq!(found(&[b"a", b"\xff\xfe=1; billion_me=x=y; ;=;"], false), ["x=y"]);
        assert_eq!(found(&[b"Billion_me=x; xbillion_me=y; billion_me =z"], false), [""; 0]);
        let long = [b"billion_me=", &[b'x'; 5000][..], b"; billion_me=x1"].concat();
        assert_eq!(found(&[&long], false), ["x1"]);
        assert_eq!(
            found(&[b"billion_me=1; billion_me=2"], false),
            ["1", "2"],
            "either may be ours"
        );
        assert_eq!(found(&[], false), [""; 0]);
    }

    #[test]
    fn it_is_short_and_kept_from_scripts_and_other_hosts() {
        let cookie = set(&"x".repeat(66), true);
        assert!(cookie.len() < 200, "{cookie}");
        assert!(cookie.starts_with("__Host-billion_me=xx"), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax; Secure"));
        assert!(remove(false).starts_with("billion_me=; Path=/; Max-Age=0;"));
    }
}
