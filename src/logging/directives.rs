//! What `log.level` and `RUST_LOG` select. Knows the words, and which crates are quiet unless they are named.

use env_filter::Builder;
use log::LevelFilter;

/// What is logged unless something else is asked for.
const DEFAULT: &str = "info";

/// Others whose lines are of no use to operators, unless they are named: actix_http logs an error for each
/// malformed request, which lets anybody fill the log; redis one for each attempt to reach a node that is away, of
/// which the store tells in one line.
const QUIET: &str = "actix_server=warn,actix_http=off,redis=off";

/// Crates of ours: each may stand alone, for all that it logs.
const OURS: [&str; 2] = ["billion", "actors"];

/// All of `written` as env_logger wants it, without what it would misunderstand.
///
/// env_logger takes a word that is no level for the name of a module, and silences everything else: of `warning`
/// not even errors would be left.
pub fn selected(written: &str) -> String {
    let (known, pattern) = mended(written);
    format!("{QUIET},{}{pattern}", if known.is_empty() { DEFAULT } else { &known })
}

/// Those of `written` that mean something; none if that is nothing.
pub fn known(written: &str) -> Option<String> {
    let (known, pattern) = mended(written);
    let known = if known.is_empty() && !pattern.is_empty() { DEFAULT.to_owned() } else { known };
    Some(known + &pattern).filter(|known| !known.is_empty())
}

/// What is wrong with `written`, if anything.
pub fn problem(written: &str) -> Option<String> {
    let (directives, pattern) = halves(written);
    match parts(directives).find(|directive| !is_known(directive)) {
        Some(unknown) => Some(format!(
            "{unknown:?} is no level: write error, warn, info, debug, trace or off, or module=level"
        )),
        None => fault(&pattern).map(|fault| format!("{pattern:?}: {fault}")),
    }
}

fn mended(written: &str) -> (String, String) {
    let (directives, pattern) = halves(written);
    let known: Vec<_> = parts(directives).filter(|directive| is_known(directive)).collect();
    // env_logger would write what is wrong to stderr itself, and wait for that.
    let pattern = if fault(&pattern).is_none() { pattern } else { String::new() };
    (known.join(","), pattern)
}

/// The directives, and the pattern that messages have to match, with its slash. Two slashes mean nothing.
fn halves(written: &str) -> (&str, String) {
    match written.split_once('/') {
        Some((directives, pattern)) if !pattern.contains('/') => {
            (directives, format!("/{pattern}"))
        }
        Some((directives, _)) => (directives, String::new()),
        None => (written, String::new()),
    }
}

fn fault(pattern: &str) -> Option<String> {
    Builder::new().try_parse(pattern).err().map(|error| error.to_string())
}

fn parts(directives: &str) -> impl Iterator<Item = &str> {
    directives.split(',').map(str::trim).filter(|directive| !directive.is_empty())
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
    use log::{Level, Metadata};

    use super::*;

    /// Whether a line of `target` is logged when this was written.
    fn logs(written: &str, target: &str, level: Level) -> bool {
        let filter = Builder::new().parse(&selected(written)).build();
        filter.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_word_that_is_no_level_is_a_problem_and_silences_nothing() {
        for written in ["warning", "garbage", "inf", "=", "a=b", "warning,actix=", "5", "billions"]
        {
            assert!(problem(written).is_some(), "{written}");
            assert_eq!(known(written), None, "{written}");
            assert!(logs(written, "billion", Level::Info), "{written}");
            assert!(!logs(written, "billion", Level::Debug), "{written}");
        }
        let told = problem("debug,warning").expect("one is wrong");
        assert!(told.starts_with("\"warning\" is no level"), "{told}");
        assert_eq!(known("debug,warning").as_deref(), Some("debug"));
        assert_eq!(known("warning/x").as_deref(), Some("info/x"));
        assert!(logs("debug,warning", "billion", Level::Debug));
        assert!(problem("info/[").is_some_and(|told| told.starts_with("\"/[\": ")));
        assert_eq!(known("info/[").as_deref(), Some("info"));
        assert_eq!((problem("info/[a-z]"), known("/x").as_deref()), (None, Some("info/x")));
    }

    #[test]
    fn levels_and_modules_select() {
        for written in ["", " ", ",", "info", "INFO", "actors=info,info", "info/", "info/a/b"] {
            assert_eq!(problem(written), None, "{written}");
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
