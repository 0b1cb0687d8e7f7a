//! `billion admin read-only on | off | show`: whether the board takes checks, on all of its nodes.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum, ValueHint};
use hyper::Method;
use serde_json::json;

use crate::{
    commands::{print, remote::Asked},
    settings::Settings,
};

/// Longest time for an answer: a check that is under way may have to wait for its store.
const PATIENCE: Duration = Duration::from_secs(30);

const PATH: &str = "/board/read-only";

/// Make the board read-only, or let it take checks again, on all of its nodes
///
/// Players go on looking; their checks are refused. It stays so over restarts.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do
    #[arg(default_value = "show")]
    task: Task,
    /// Why, for other operators
    #[arg(long, value_name = "TEXT", default_value = "", value_hint = ValueHint::Other)]
    reason: String,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Task {
    /// Say how it is
    Show,
    /// Refuse checks
    On,
    /// Take checks again
    Off,
}

/// Asks the server.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let remote = arguments.asked.remote(settings)?;
    let body = json!({ "reason": arguments.reason });
    let answer = match arguments.task {
        Task::Show => remote.call(Method::GET, PATH, None, PATIENCE)?,
        Task::On => remote.call(Method::POST, PATH, Some(&body), PATIENCE)?,
        Task::Off => remote.call(Method::DELETE, PATH, None, PATIENCE)?,
    };
    let told = match answer["read_only"].as_bool() {
        Some(true) => {
            let decision = &answer["decision"];
            let text = |key: &str| decision[key].as_str().unwrap_or_default().to_owned();
            let reason = if text("reason").is_empty() {
                String::new()
            } else {
                format!(": {}", text("reason"))
            };
            format!("the board is read-only, by {}{reason}\n", text("by"))
        }
        _ => "the board takes checks\n".to_owned(),
    };
    print(told.as_bytes())
}
