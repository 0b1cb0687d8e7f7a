//! `billion admin …`: what operators do with a running server, or for one.

mod block;
mod connections;
mod notice;
mod read_only;
mod stats;
mod token;
mod trace;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::with_settings;
use crate::arguments::SettingsArguments;

/// Watch and steer running servers.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Token(token::Arguments),
    ReadOnly(read_only::Arguments),
    Block(block::Arguments),
    Connections(connections::Arguments),
    Notice(notice::Arguments),
    Stats(stats::Arguments),
    Trace(trace::Arguments),
}

/// 0: done; 1: failed; 2: the settings or an argument are wrong.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    with_settings(settings, |settings| match &arguments.task {
        Task::Token(token) => token::run(token, settings),
        Task::ReadOnly(read_only) => read_only::run(read_only, settings),
        Task::Block(block) => block::run(block, settings),
        Task::Connections(connections) => connections::run(connections, settings),
        Task::Notice(notice) => notice::run(notice, settings),
        Task::Stats(stats) => stats::run(stats, settings),
        Task::Trace(trace) => trace::run(trace, settings),
    })
}

/// Seconds of a time as in `90s`, `30m`, `12h` or `7d`.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and a unit, as in 90s, 30m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let unit_s = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_s).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, wanted) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in ["", "5", "h", "0s", "-1s", "1.5h", "5w", "5ü", "99999999999999999999d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
