//! `billion admin connections`: who is connected to a node, and ending one.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use clap::{Args, ValueHint};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    commands::{print, remote::Asked},
    settings::Settings,
};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// List the connections of a node, or end one
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only those of an address or network, as in 203.0.113.7 or 2001:db8:0:1::/64
    #[arg(long, value_name = "NETWORK", value_hint = ValueHint::Other)]
    address: Option<String>,
    /// End the connection of this id, on whichever node it is
    #[arg(long, value_name = "ID", conflicts_with = "address", value_hint = ValueHint::Other)]
    end: Option<String>,
    /// How it is to end: 1001, 1012 or 1013 have its page connect again [default: 1008]
    #[arg(long, value_name = "CODE", requires = "end")]
    code: Option<u16>,
    /// What its client is told
    #[arg(long, value_name = "TEXT", requires = "end", value_hint = ValueHint::Other)]
    reason: Option<String>,
    /// As JSON, one connection a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Asks the server.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let remote = arguments.asked.remote(settings)?;
    let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if let Some(id) = &arguments.end {
        let code = arguments.code.map(|code| format!("code={code}"));
        let reason = arguments.reason.as_ref().map(|reason| format!("reason={}", quoted(reason)));
        let query: Vec<_> = code.into_iter().chain(reason).collect();
        let path = format!("/connections/{}?{}", quoted(id), query.join("&"));
        let answer = remote.call(Method::DELETE, &path, None, PATIENCE)?;
        let ended: &[u8] = if answer["ended"].is_string() {
            b"the connection was told to end\n"
        } else {
            b"the other nodes were told to end it\n"
        };
        return print(ended);
    }
    if !arguments.json {
        print(
            format!(
                "{:<20} {:<40} {:>8} {:>8} {:>10}  tiles\n",
                "id", "address", "age s", "silent s", "outbox"
            )
            .as_bytes(),
        )?;
    }
    let address = arguments
        .address
        .as_ref()
        .map_or_else(String::new, |address| format!("&address={}", quoted(address)));
    let mut after = String::new();
    loop {
        let page = remote.call(
            Method::GET,
            &format!("/connections?limit=1000{address}{after}"),
            None,
            PATIENCE,
        )?;
        for connection in page["connections"].as_array().into_iter().flatten() {
            let line = if arguments.json { format!("{connection}\n") } else { line(connection) };
            print(line.as_bytes())?;
        }
        let Some(next) = page["next"].as_str() else { return Ok(()) };
        after = format!("&after={next}");
    }
}

/// For people.
fn line(connection: &Value) -> String {
    let text = |key: &str| connection[key].as_str().unwrap_or("?");
    let number = |key: &str| connection[key].as_u64().unwrap_or(0);
    let tiles: Vec<_> =
        connection["tiles"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    let mut out = format!(
        "{:<20} {:<40} {:>8} {:>8} {:>10}  {}",
        text("id"),
        text("address"),
        number("age_s"),
        number("silent_s"),
        number("outbox_bytes"),
        tiles.join(" ")
    );
    if connection["lagging"] == true {
        let _ = write!(out, "  lagging");
    }
    out.push('\n');
    out
}
