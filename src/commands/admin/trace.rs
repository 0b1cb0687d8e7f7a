//! `billion admin trace CONNECTION`: what happens to one connection, as it happens.

use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueHint};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::seconds;
use crate::{
    commands::{print, remote::Asked},
    settings::Settings,
};

/// Follow one connection: what its client sends, what it is sent, and what is decided in between
///
/// Ends with the connection, after 10 minutes, or with Ctrl-C. The audit has a line of who followed whom.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Its id, as in `billion admin connections`
    #[arg(value_hint = ValueHint::Other)]
    connection: String,
    /// How long, as in 90s or 5m, at most 10m
    #[arg(long = "for", id = "for", value_name = "TIME", value_parser = seconds)]
    for_s: Option<u64>,
    /// One JSON object a line, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Prints what comes until it ends.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let remote = arguments.asked.remote(settings)?;
    let connection = utf8_percent_encode(&arguments.connection, NON_ALPHANUMERIC);
    let time = arguments.for_s.map_or_else(String::new, |seconds| format!("?for_s={seconds}"));
    let stream = remote.get(&format!("/trace/{connection}{time}"))?;
    let mut name = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.with_context(|| format!("the stream of {}", remote.name()))?;
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data)
            .with_context(|| format!("{} did not answer as a server does", remote.name()))?;
        match std::mem::take(&mut name).as_str() {
            "begin" => {}
            "end" => {
                log::info!("{}", event["reason"].as_str().unwrap_or("it has ended"));
                return Ok(());
            }
            _ if arguments.json => print(format!("{event}\n").as_bytes())?,
            _ => print(written(&event).as_bytes())?,
        }
    }
    bail!("the stream of {} was cut off", remote.name())
}

/// For people: when, what, and whatever else there is.
fn written(event: &Value) -> String {
    let day_ms = event["at_ms"].as_u64().unwrap_or(0) % 86_400_000;
    let (seconds, ms) = (day_ms / 1000, day_ms % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let what = event["what"].as_str().unwrap_or("?").replace('_', " ");
    let kind = event["kind"].as_str().unwrap_or_default();
    let mut line = format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}  {what:<9} {kind}");
    for (key, value) in event.as_object().into_iter().flatten() {
        if !["at_ms", "what", "kind"].contains(&key.as_str()) {
            line += &format!(" {key}={value}");
        }
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let at_ms = 1_764_525_600_123_u64;
        for (event, line) in [
            (
                json!({ "at_ms": at_ms, "what": "received", "kind": "check", "id": 7 }),
                "18:00:00.123  received  check id=7\n",
            ),
            (json!({ "at_ms": at_ms, "what": "went_on" }), "18:00:00.123  went on\n"),
            (
                json!({ "at_ms": at_ms, "what": "sent", "kind": "text", "text": "a\nb" }),
                "18:00:00.123  sent      text text=\"a\\nb\"\n",
            ),
        ] {
            assert_eq!(written(&event), line);
        }
    }
}
