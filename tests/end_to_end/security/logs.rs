//! The log of a server whose clients send what a terminal or a reader of logs might obey.

use super::{listeners, say_all};
use crate::harness::{
    client::KEY,
    eventually,
    server::{Server, Setup},
};

/// Escape codes, line ends and separators, and what would pass for a line of the log behind them.
const ODD: [&str; 7] = [
    "\u{1b}[31mred",
    "\u{9b}31mred",
    "\r\n2026-01-01T00:00:00.000Z INFO  forged",
    "\n2026-01-01T00:00:00.000Z INFO  forged",
    "\u{2028}forged\u{202e}",
    "\0\u{7f}\u{8}\u{7}",
    "\u{1b}]0;title\u{7}",
];

/// As it stands in a URL.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Asks for odd things in every place that a request has.
fn ask(server: &Server, odd: &str) {
    for to in listeners(server) {
        for text in [odd.to_owned(), percent(odd), odd.replace(['\r', '\n', '\0', '\u{1b}'], "")] {
            for path in [
                format!("/{text}"),
                format!("/o{text}"),
                format!("/static/{text}"),
                format!("/ws?v={text}"),
                format!("/ws?board={text}"),
                format!("/overview?{text}"),
                format!("/readyz?store={text}"),
                format!("/export?{text}"),
                format!("/export?board={text}"),
                format!("/import?rate={text}"),
                format!("/limits/why?address={text}"),
            ] {
                say_all(
                    to,
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                );
            }
            for line in [
                format!("Origin: {text}"),
                format!("Origin: https://{text}.example"),
                format!("X-Forwarded-For: {text}"),
                format!("Forwarded: for={text}"),
                format!("Sec-WebSocket-Protocol: {text}"),
                format!("User-Agent: {text}"),
                format!("{text}: 1"),
            ] {
                let asked = format!(
                    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{line}\r\n\r\n"
                );
                say_all(to, asked);
            }
            say_all(
                to,
                format!("GET /store HTTP/1.1\r\nHost: {text}\r\nConnection: close\r\n\r\n"),
            );
            say_all(to, format!("{text} / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            say_all(to, format!("GET / {text}\r\nHost: localhost\r\n\r\n"));
        }
    }
}

/// Whether a character does something instead of being shown.
fn is_odd(c: char) -> bool {
    c.is_control() && c != '\n' || "\u{2028}\u{202e}".contains(c)
}

/// All that a server that speaks `format` logs of strangers.
fn log_of_strangers(format: &str) -> String {
    // All that can be logged; and every other request refused, which logs its path.
    let setup = Setup::new(1000, 1).with_variable("RUST_LOG", "trace").with("LOG__FORMAT", format);
    let rule = "[[limits.route]]\npath = \"/o*\"\nrate = \"1-D\"\nby = \"route\"\n";
    let server = setup.with_file("settings.toml", rule).start();
    ODD.iter().for_each(|odd| ask(&server, odd));
    // Whatever was logged before stands before it.
    say_all(server.address, "GET /o-the-end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    eventually("the last line", || server.log().contains("/o-the-end: 429").then_some(()));
    assert_eq!(server.metric("billion_log_lines_dropped_total"), 0.0);
    server.log()
}

#[test]
fn nothing_that_a_stranger_sends_stands_raw_in_a_log_of_json() {
    let log = log_of_strangers("json");
    assert!(log.contains("may not connect"), "what was sent was logged");
    for line in log.lines() {
        assert!(!line.contains(is_odd), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(line).expect("an object");
        let time = read["time"].as_str().expect("text");
        assert!(!time.starts_with("2026-01-01"), "{line}");
    }
}

#[test]
fn nothing_that_a_stranger_sends_stands_raw_in_the_log() {
    let log = log_of_strangers("text");
    for told in ["may not connect", "/overview: 429", "Host Some("] {
        assert!(log.contains(told), "{told:?} was logged");
    }
    for line in log.lines() {
        assert!(!line.contains(is_odd), "{line:?}");
        // Each begins with its time, the year of which is this one or later, or belongs to the one before.
        let own = line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00.000Z");
        assert!(own || line.starts_with("    "), "{line:?}");
    }
}
