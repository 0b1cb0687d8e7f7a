//! `billion limits why ADDRESS`: asks a running server how it treats an address, and why.

use std::{fmt::Write as _, net::IpAddr, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand, ValueHint};
use hyper::Method;
use serde_json::Value;

use super::{
    print,
    remote::{Asked, Remote},
    with_settings,
};
use crate::arguments::SettingsArguments;

/// Longest time a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a running server's limits are asked.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// How an address is treated now: its lists, its connections, and what is left at each limit
    Why {
        /// The address of a player, as in 203.0.113.7 or 2001:db8::7
        #[arg(value_hint = ValueHint::Other)]
        address: IpAddr,
        #[command(flatten)]
        asked: Asked,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Asks. 0: answered; 1: no answer; 2: the settings or an argument are wrong.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    let Question::Why { address, asked, json } = &arguments.question;
    with_settings(settings, |settings| {
        let remote = asked.remote(settings)?;
        let answer = ask(&remote, *address)?;
        if *json {
            return print(format!("{}\n", serde_json::to_string_pretty(&answer)?).as_bytes());
        }
        print(shown(&answer).as_bytes())
    })
}

fn ask(remote: &Remote, address: IpAddr) -> Result<Value> {
    remote.call(Method::GET, &format!("/limits/why?address={address}"), None, PATIENCE)
}

/// For people.
fn shown(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or("?").to_owned();
    let mut out = format!(
        "{} is counted as {}: {}\n",
        text("address"),
        text("counted_as"),
        standing(answer["standing"].as_str().unwrap_or_default())
    );
    let is_counted = matches!(text("standing").as_str(), "usual" | "blocked");
    let most = match answer["connections_max"].as_u64().filter(|_| is_counted) {
        Some(0) | None => "no limit".to_owned(),
        Some(most) => format!("of {most}"),
    };
    let _ = writeln!(out, "connections here: {} ({most})", answer["connections"]);
    if answer["shadow"] == true {
        out.push_str("limits.shadow is on: nothing is refused\n");
    }
    match answer["shared"].as_bool() {
        Some(true) => {
            out.push_str("limits are shared with other nodes; this node knows its part\n")
        }
        Some(false) => {
            out.push_str("Redis is not reached: this node has its share of the limits\n")
        }
        None => {}
    }
    let limits = answer["limits"].as_array().cloned().unwrap_or_default();
    if !limits.is_empty() {
        let _ = writeln!(out, "\n{:<36} {:>14} {:>14} {:>12}", "limit", "left", "of", "per second");
    }
    for limit in limits {
        let number = |key: &str| limit[key].as_f64().unwrap_or_default();
        let wait = number("wait_s");
        let held = if wait > 0.0 { format!("  over, for {wait:.1} s") } else { String::new() };
        let _ = writeln!(
            out,
            "{:<36} {:>14} {:>14} {:>12.2}{held}",
            limit["rule"].as_str().unwrap_or("?"),
            number("left"),
            number("burst"),
            number("per_second"),
        );
    }
    out
}

fn standing(label: &str) -> &str {
    match label {
        "allowed" => "in limits.allow, so without limits",
        "blocked" => "in limits.block, or blocked by an operator (billion admin block), so refused",
        "trusted proxy" => "in server.trusted_proxies, so without limits of its own",
        _ => "like everybody",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_over_stands_out() {
        let shown = shown(&json!({
            "address": "192.0.2.1", "counted_as": "192.0.2.1", "standing": "usual",
            "connections": 3, "connections_max": 200, "shadow": false, "shared": null,
            "limits": [
                {"rule": "address checks", "per_second": 100.0, "burst": 400, "left": 399, "wait_s": 0.0},
                {"rule": "address connects", "per_second": 20.0, "burst": 200, "left": 0, "wait_s": 0.25},
            ],
        }));
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "192.0.2.1 is counted as 192.0.2.1: like everybody");
        assert_eq!(lines[1], "connections here: 3 (of 200)");
        assert!(lines[4].starts_with("address checks ") && lines[4].ends_with("100.00"), "{shown}");
        assert!(
            lines[5].ends_with("over, for 0.2 s") || lines[5].ends_with("over, for 0.3 s"),
            "{shown}"
        );
    }
}
