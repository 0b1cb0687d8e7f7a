//! Log lines on stderr: which of them `RUST_LOG` lets through, and the last words, which it cannot silence.

use std::{
    fmt::{self, Display},
    io::Write as _,
    sync::OnceLock,
};

use env_logger::{Builder, Logger};
use log::{Level, LevelFilter, Log as _, Record};

/// What is logged unless something else is asked for.
const DEFAULT: &str = "info";

/// Others whose lines are of no use to operators, unless `RUST_LOG` names them: actix_http logs an error for
/// each malformed request, which lets anybody fill the log; redis one for each attempt to reach a node that is
/// away, of which the store tells in one line.
const QUIET: &str = "actix_server=warn,actix_http=off,redis=off";

/// Crates of ours: each may stand alone in `RUST_LOG`, for all that it logs.
const OURS: [&str; 2] = ["billion", "actors"];

/// Writes warnings and errors, whatever `RUST_LOG` says.
static LAST_WORDS: OnceLock<Logger> = OnceLock::new();

/// Starts logging to stderr. `RUST_LOG` selects, `info` is the default.
pub fn start() {
    let written = std::env::var_os("RUST_LOG").unwrap_or_default();
    let (filter, note) = selected(&written.to_string_lossy());
    builder(&filter).init();
    if let Some(note) = note {
        insist(Level::Warn, note);
    }
}

/// Says why the process ends, or what it should not have come to.
pub fn fatal(why: impl Display) {
    insist(Level::Error, why);
}

fn insist(level: Level, what: impl Display) {
    let logger = LAST_WORDS.get_or_init(|| builder("warn").build());
    logger.log(&Record::builder().level(level).args(format_args!("{what}")).build());
}

fn builder(filter: &str) -> Builder {
    let mut builder = Builder::new();
    builder.parse_filters(filter).format(|out, record| {
        let time = out.timestamp_millis();
        writeln!(out, "{time} {:<5} {}", record.level(), Printable(record.args()))
    });
    builder
}

/// A message as it may stand in a log. Some repeat what a stranger sent, and libraries log what they like: nothing of that
/// may reach an operator's terminal as a command, nor pass for a line of its own.
struct Printable<'a>(&'a fmt::Arguments<'a>);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), *self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, odd)) = rest.char_indices().find(|(_, c)| is_odd(*c)) {
            self.0.write_str(&rest[..at])?;
            match odd {
                // A message of several lines: what follows is seen to belong to it.
                '\n' => self.0.write_str("\n    ")?,
                odd => write!(self.0, "{}", odd.escape_default())?,
            }
            rest = &rest[at + odd.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a character does something instead of being shown: control characters, separators of lines, and those that
/// change the direction of writing.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// What `written`, the value of `RUST_LOG`, selects, as env_logger wants it; and what is wrong with it.
///
/// env_logger takes a word that is no level for the name of a module, and silences everything else: of
/// `RUST_LOG=warning` not even errors would be left.
fn selected(written: &str) -> (String, Option<String>) {
    let (directives, pattern) = match written.split_once('/') {
        Some((directives, pattern)) if !pattern.contains('/') => {
            (directives, format!("/{pattern}"))
        }
        Some((directives, _)) => (directives, String::new()),
        None => (written, String::new()),
    };
    let directives = directives.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let (known, unknown): (Vec<_>, Vec<_>) = directives.partition(|directive| is_known(directive));
    let known = if known.is_empty() { DEFAULT.to_owned() } else { known.join(",") };
    let note = unknown.first().map(|first| {
        format!(
            "RUST_LOG: {first:?} is no level: write error, warn, info, debug, trace or off, or \
             module=level (taken as {known})"
        )
    });
    (format!("{QUIET},{known}{pattern}"), note)
}

fn is_known(directive: &str) -> bool {
    let is_level = |text: &str| text.trim().parse::<LevelFilter>().is_ok();
    match directive.split_once('=') {
        Some((module, level)) => !module.trim().is_empty() && is_level(level),
        None => {
            let module = directive.split("::").next().unwrap_or_default();
            is_level(directive) || OURS.contains(&module)
        }
    }
}

#[cfg(test)]
mod tests {
    use log::Metadata;

    use super::*;

    /// Whether a line of `target` is logged with this `RUST_LOG`.
    fn logs(written: &str, target: &str, level: Level) -> bool {
        let logger = builder(&selected(written).0).build();
        logger.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_word_that_is_no_level_is_told_and_silences_nothing() {
        for written in ["warning", "garbage", "inf", "=", "a=b", "warning,actix=", "5", "billions"]
        {
            let (_, note) = selected(written);
            assert!(note.is_some_and(|note| note.ends_with("(taken as info)")), "{written}");
            assert!(logs(written, "billion", Level::Info), "{written}");
            assert!(!logs(written, "billion", Level::Debug), "{written}");
        }
        let (_, note) = selected("debug,warning");
        assert!(note.is_some_and(|note| note.starts_with("RUST_LOG: \"warning\" is no level")));
        assert!(logs("debug,warning", "billion", Level::Debug));
    }

    #[test]
    fn what_is_logged_neither_commands_a_terminal_nor_passes_for_another_line() {
        let shown = |text: &str| Printable(&format_args!("{text}, {}", 7)).to_string();
        assert_eq!(shown("as it is: \"ä\u{1F600}\"\t"), "as it is: \"ä\u{1F600}\"\t, 7");
        for (text, as_shown) in [
            ("\u{1b}[31m", "\\u{1b}[31m, 7"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}, 7"),
            ("a\r\nINFO", "a\\r\n    INFO, 7"),
            ("\u{202e}txt\u{2028}", "\\u{202e}txt\\u{2028}, 7"),
        ] {
            assert_eq!(shown(text), as_shown);
        }
    }

    #[test]
    fn levels_and_modules_select() {
        for written in ["", " ", ",", "info", "INFO", "actors=info,info", "info/", "info/a/b"] {
            assert_eq!(selected(written).1, None, "{written}");
            assert!(logs(written, "billion::startup", Level::Info), "{written}");
            assert!(!logs(written, "billion::startup", Level::Debug), "{written}");
            assert!(!logs(written, "actix_http::h1", Level::Error), "{written}");
        }
        assert!(logs("debug", "actors::hub", Level::Debug));
        assert!(!logs("off", "billion", Level::Error));
        assert!(logs("billion::ws", "billion::ws", Level::Trace));
        assert!(!logs("billion::ws=debug", "actors", Level::Error));
        assert!(logs("info,actix_http=debug", "actix_http::h1", Level::Debug));
    }
}
