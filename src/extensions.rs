//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1): which offer of permessage-deflate (RFC 7692 §7.1) is taken.
//!
//! Ours keeps no context on either side and has a window of 32 KiB, so an offer that wants a smaller window of the
//! server is declined, like every parameter that the RFC does not know.

/// What is answered to an offer that is taken.
const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The same to one that names the window of the server: it has to be named in the answer as well (RFC 7692 §7.1.2.1).
const ACCEPTED_WITH_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
                                    client_no_context_takeover; server_max_window_bits=15";

/// What to answer to the first of the offers in `lines`, as they came, that can be taken; none if none can.
pub fn accepted<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    lines.flat_map(|line| split(line, ',')).find_map(answer)
}

/// The answer to one offer: its name, and its parameters, each of which may come once.
fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = split(offer, ';');
    let name = parts.next()?.trim();
    if !name.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut known = Vec::new();
    let is_acceptable = parts.all(|part| {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (part.trim(), None),
        };
        let name = name.to_ascii_lowercase();
        let is_new = !known.contains(&name);
        let is_fine = match (&*name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
            // Ours can be unpacked with the largest window only.
            ("server_max_window_bits", Some(bits)) => bits == "15",
            ("client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => is_window(bits),
            _ => false,
        };
        known.push(name);
        is_new && is_fine
    });
    let names_window = known.iter().any(|name| name == "server_max_window_bits");
    is_acceptable.then_some(if names_window { ACCEPTED_WITH_WINDOW } else { ACCEPTED })
}

/// 8 to 15, without leading zeros.
fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// The parts of a list; a separator in quotes separates nothing.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_that_can_be_kept_are_taken_and_no_others() {
        for taken in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "PerMessage-Deflate;server_no_context_takeover ; client_max_window_bits = 12",
            "permessage-deflate; server_max_window_bits=\"15\"",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "x-webkit-deflate-frame, permessage-deflate; client_no_context_takeover",
            "other; a=\"permessage-deflate, x\", permessage-deflate",
        ] {
            let told = accepted([taken].into_iter()).unwrap_or_else(|| panic!("{taken}"));
            let names_window = taken.contains("server_max_window_bits=\"15\"");
            assert_eq!(told.ends_with("; server_max_window_bits=15"), names_window, "{taken}");
        }
        for declined in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "other; a=\"x, permessage-deflate\"",
        ] {
            assert_eq!(accepted([declined].into_iter()), None, "{declined}");
        }
        assert!(accepted(["x", "permessage-deflate"].into_iter()).is_some(), "lines");
    }
}
