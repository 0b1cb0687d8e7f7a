//! `billion admin stats`: what the nodes of a board do.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use clap::Args;
use hyper::Method;
use serde_json::Value;

use crate::{
    commands::{print, remote::Asked},
    settings::Settings,
};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show what the nodes of a board do right now
#[derive(Debug, Args)]
pub struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Asks the server.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let remote = arguments.asked.remote(settings)?;
    let answer = remote.call(Method::GET, "/ws/stats", None, PATIENCE)?;
    if arguments.json {
        return print(format!("{}\n", serde_json::to_string_pretty(&answer)?).as_bytes());
    }
    print(shown(&answer).as_bytes())
}

/// For people.
fn shown(answer: &Value) -> String {
    let mut out = format!(
        "{:<10} {:>9} {:>12} {:>10} {:>12} {:>8}  {:<14} version\n",
        "node", "up s", "connections", "checks/s", "updates/s", "lagging", "checked"
    );
    for node in answer["nodes"].as_array().into_iter().flatten() {
        let text = |key: &str| node[key].as_str().unwrap_or("?");
        let number = |key: &str| node[key].as_f64().unwrap_or_default();
        let checked = node["boards"][0]["checked"].as_i64().unwrap_or_default();
        let _ = writeln!(
            out,
            "{:<10} {:>9} {:>12} {:>10.1} {:>12.1} {:>8}  {checked:<14} {}",
            text("id"),
            number("uptime_s"),
            number("connections"),
            number("checks_per_s"),
            number("updates_per_s"),
            number("lagging"),
            text("version"),
        );
    }
    out
}
