//! `billion admin block [NETWORK]`: who is refused, on all nodes of the board.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use clap::{Args, ValueHint};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::seconds;
use crate::{
    commands::{print, remote::Asked},
    settings::Settings,
    wall::now_ms,
};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Block an address or a network on all nodes of the board, or list what is blocked
///
/// Its connections are ended, and its requests refused. It stays so over restarts.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An address or network, as in 203.0.113.7 or 2001:db8:0:1::/64; without one, all blocks are listed
    #[arg(value_hint = ValueHint::Other)]
    network: Option<String>,
    /// End its block
    #[arg(long, requires = "network", conflicts_with_all = ["reason", "for"])]
    end: bool,
    /// Why, for other operators
    #[arg(long, value_name = "TEXT", requires = "network", default_value = "", value_hint = ValueHint::Other)]
    reason: String,
    /// How long, as in 90s, 30m, 12h or 7d [default: until it is ended]
    #[arg(long = "for", id = "for", value_name = "TIME", requires = "network", value_parser = seconds)]
    for_s: Option<u64>,
    #[command(flatten)]
    asked: Asked,
}

/// Asks the server.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let Arguments { network, end, reason, for_s, asked } = arguments;
    let remote = asked.remote(settings)?;
    match network {
        Some(network) if *end => {
            let network = utf8_percent_encode(network, NON_ALPHANUMERIC);
            remote.call(Method::DELETE, &format!("/blocks?network={network}"), None, PATIENCE)?;
            print(b"the block has ended\n")
        }
        Some(network) => {
            let body = json!({ "network": network, "reason": reason, "for_s": for_s });
            let block = remote.call(Method::POST, "/blocks", Some(&body), PATIENCE)?;
            print(format!("blocked {}\n", block["network"].as_str().unwrap_or("?")).as_bytes())
        }
        None => {
            let answer = remote.call(Method::GET, "/blocks", None, PATIENCE)?;
            print(listed(answer["blocks"].as_array().map_or(&[], Vec::as_slice)).as_bytes())
        }
    }
}

/// For people.
fn listed(blocks: &[Value]) -> String {
    if blocks.is_empty() {
        return "nobody is blocked\n".to_owned();
    }
    let mut out = format!("{:<44} {:>12} {:<16} reason\n", "network", "ends in", "by");
    for block in blocks {
        let text = |key: &str| block[key].as_str().unwrap_or_default();
        let left = block["until_ms"].as_u64().map(|until| until.saturating_sub(now_ms()) / 1000);
        let left = left.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s"));
        let _ = writeln!(
            out,
            "{:<44} {left:>12} {:<16} {}",
            text("network"),
            text("by"),
            text("reason")
        );
    }
    out
}
