//! A record as a line of the log: as text, or as JSON. Nothing in it can command a terminal or pass for another line.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    io,
};

use log::{
    Record,
    kv::{self, Key, Value, VisitSource},
};
use serde::Serialize;

/// The key of a number that the message has in words: JSON alone repeats it.
pub const REPEATS: &str = "repeats";

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Time, level, message, `key=value`.
    Text,
    /// An object.
    Json,
}

impl Format {
    /// The one of that name; text if there is none.
    pub fn named(name: &str) -> Self {
        if name == "json" { Self::Json } else { Self::Text }
    }
}

/// Writes `record` as a line.
pub fn write(
    out: &mut impl io::Write,
    format: Format,
    time: impl Display,
    record: &Record<'_>,
) -> io::Result<()> {
    let mut pairs = Pairs::default();
    // It fails only if collecting does, which does not.
    let _ = record.key_values().visit(&mut pairs);
    let (level, message) = (record.level(), record.args());
    match format {
        Format::Text => {
            write!(out, "{time} {level:<5} {}", Printable(message))?;
            for (key, value) in pairs.0.iter().filter(|(key, _)| *key != REPEATS) {
                let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                write!(out, " {key}={}", Printable(&format_args!("{value}")))?;
            }
            writeln!(out)
        }
        Format::Json => {
            let line = Line {
                time: time.to_string(),
                level: level.as_str(),
                target: record.target(),
                message: message.to_string(),
                pairs: pairs.0,
            };
            let json = serde_json::to_string(&line)?;
            writeln!(out, "{}", Plain(&json))
        }
    }
}

/// A line of JSON. What a record has beside its message must have other names than these.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    target: &'a str,
    message: String,
    #[serde(flatten)]
    pairs: BTreeMap<String, serde_json::Value>,
}

/// What a record has beside its message.
#[derive(Default)]
struct Pairs(BTreeMap<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match value.to_u64() {
            Some(number) => number.into(),
            None => value.to_string().into(),
        };
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

/// A message as it may stand in a text log. Some repeat what a stranger sent, and libraries log what they like: nothing
/// of that may reach an operator's terminal as a command, nor pass for a line of its own.
struct Printable<'a>(&'a fmt::Arguments<'a>);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), *self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        replaced(text, self.0, |odd, f| match odd {
            // A message of several lines: what follows is seen to belong to it.
            '\n' => f.write_str("\n    "),
            odd => write!(f, "{}", odd.escape_default()),
        })
    }
}

/// JSON in which odd characters, which can only be in its strings, are escaped.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of them have numbers of 16 bits, as JSON's escapes do.
        replaced(self.0, f, |odd, f| write!(f, "\\u{:04x}", u32::from(odd)))
    }
}

/// Writes `text`, and in place of each odd character what `instead` writes.
fn replaced(
    text: &str,
    f: &mut fmt::Formatter<'_>,
    instead: impl Fn(char, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut rest = text;
    while let Some((at, odd)) = rest.char_indices().find(|(_, c)| is_odd(*c)) {
        f.write_str(&rest[..at])?;
        instead(odd, f)?;
        rest = &rest[at + odd.len_utf8()..];
    }
    f.write_str(rest)
}

/// Whether a character does something instead of being shown: control characters, separators of lines, and those that
/// change the direction of writing.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    /// What strangers send, and how text shows it.
    const ODD: [(&str, &str); 5] = [
        ("as it is: \"ä\u{1F600}\"\t\\", "as it is: \"ä\u{1F600}\"\t\\, 7"),
        ("\u{1b}[31m", "\\u{1b}[31m, 7"),
        ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}, 7"),
        ("a\r\nINFO", "a\\r\n    INFO, 7"),
        ("\u{202e}txt\u{2028}", "\\u{202e}txt\\u{2028}, 7"),
    ];

    fn line(format: Format, text: &str, pairs: &dyn kv::Source) -> String {
        let mut out = Vec::new();
        let mut record = Record::builder();
        record.level(Level::Warn).target("billion::ws").key_values(pairs);
        let mut write = |record: &Record<'_>| {
            write(&mut out, format, "2026-01-02T03:04:05.678Z", record).expect("memory takes it");
        };
        write(&record.args(format_args!("{text}, {}", 7)).build());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_logged_neither_commands_a_terminal_nor_passes_for_another_line() {
        for (text, shown) in ODD {
            let expected = format!("2026-01-02T03:04:05.678Z WARN  {shown}\n");
            assert_eq!(line(Format::Text, text, &None::<(&str, &str)>), expected);
        }
    }

    #[test]
    fn a_line_of_json_is_plain_and_reads_back_as_it_was_meant() {
        for (text, _) in ODD {
            let line = line(Format::Json, text, &[("connection", text)]);
            let inner = line.strip_suffix('\n').expect("a line");
            assert!(!inner.contains(is_odd), "{inner:?}");
            let read: BTreeMap<String, String> = serde_json::from_str(inner).expect("JSON");
            let expected = [
                ("time", "2026-01-02T03:04:05.678Z"),
                ("level", "WARN"),
                ("target", "billion::ws"),
                ("message", &format!("{text}, 7")),
                ("connection", text),
            ];
            let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(read, expected.into());
        }
    }

    #[test]
    fn what_a_record_has_beside_its_message_stands_behind_it() {
        let pairs = [("connection", Value::from("1a-7\n")), (REPEATS, Value::from(12_u64))];
        let text = line(Format::Text, "let in", &pairs);
        assert_eq!(text, "2026-01-02T03:04:05.678Z WARN  let in, 7 connection=1a-7\n    \n");
        let json = line(Format::Json, "let in", &pairs);
        assert!(json.ends_with(",\"connection\":\"1a-7\\n\",\"repeats\":12}\n"), "{json}");
    }
}
