//! `billion admin notice [TEXT]`: what operators say to players.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueHint};
use hyper::Method;
use serde_json::{Value, json};

use super::seconds;
use crate::{
    commands::{print, remote::Asked},
    operators::model::Severity,
    settings::Settings,
    wall::now_ms,
};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show a notice on the pages of all players, or take it back; without a text, print the one there is
///
/// Who comes later sees it as well, until it ends. Pages of another board and plain clients do not.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Plain text, at most 1,024 bytes
    #[arg(value_hint = ValueHint::Other)]
    text: Option<String>,
    /// How urgent it is
    #[arg(long, requires = "text", default_value = "info")]
    severity: Severity,
    /// How long, as in 90s, 30m, 12h or 7d [default: until it is taken back]
    #[arg(long = "for", id = "for", value_name = "TIME", requires = "text", value_parser = seconds)]
    for_s: Option<u64>,
    /// Send it to this connection alone, by its id as in `billion admin connections`
    #[arg(long, value_name = "ID", requires = "text", conflicts_with = "for", value_hint = ValueHint::Other)]
    to: Option<String>,
    /// Take the notice back
    #[arg(long, conflicts_with = "text")]
    end: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Asks the server.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let Arguments { text, severity, for_s, to, end, asked } = arguments;
    let remote = asked.remote(settings)?;
    match (text, to) {
        (Some(text), Some(to)) => {
            let body = json!({ "connection": to, "text": text, "severity": severity });
            let answer = remote.call(Method::POST, "/ws/message", Some(&body), PATIENCE)?;
            let said: &[u8] = match answer["asked"].as_bool() {
                Some(true) => b"the node of the connection was asked to send it\n",
                _ => b"sent\n",
            };
            print(said)
        }
        (Some(text), None) => {
            let body = json!({ "text": text, "severity": severity, "for_s": for_s });
            remote.call(Method::POST, "/ws/broadcast", Some(&body), PATIENCE)?;
            print(b"all pages show the notice\n")
        }
        (None, _) if *end => {
            remote.call(Method::DELETE, "/ws/broadcast", None, PATIENCE)?;
            print(b"no page shows a notice\n")
        }
        (None, _) => {
            let answer = remote.call(Method::GET, "/ws/broadcast", None, PATIENCE)?;
            print(written(&answer["notice"]).as_bytes())
        }
    }
}

/// For people.
fn written(notice: &Value) -> String {
    let Some(text) = notice["text"].as_str() else {
        return "there is no notice\n".to_owned();
    };
    let word = |key: &str| notice[key].as_str().unwrap_or("?");
    let left = notice["until_ms"].as_u64().map(|until| until.saturating_sub(now_ms()) / 1000);
    let left = left.map_or_else(String::new, |seconds| format!(", for {seconds} s more"));
    format!("{}, by {}{left}: {text}\n", word("severity"), word("by"))
}
