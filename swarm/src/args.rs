//! The command line. Everything that decides a run is here and goes into the report, so that a run can be repeated.

mod group;
mod people;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

pub(crate) use group::GroupArgs;
pub(crate) use people::PeopleArgs;

use crate::crew::{Goodbye, Pace};
use crate::usage;

/// Descriptors this process needs besides its players' sockets: runtimes, readers of the board, terminal.
const DESCRIPTORS_SPARE: usize = 64;

/// Handshakes under way at once, per thread: a server's accept backlog is usually 128 or more.
const OPENING_MAX: usize = 64;

/// Sends a swarm of players to a Billion Checkboxes server, measures it, and checks the books.
///
/// Every player is a WebSocket client written for this program alone. Whatever is measured, the books are kept: every
/// plain listener must hear every newly checked box exactly once, with totals that rise by one and that all listeners
/// agree on; every acknowledged check must be set on the board afterwards.
///
/// Exit status: 0 if the books balance, 1 if they do not (each class of discrepancy is explained), 2 for wrong usage, of which
/// a server that limits the checks of a connection is a case.
/// Ctrl-C ends the load early; what is under way still arrives, is verified and reported.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Swarm {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open many connections and hold them: handshake times, failures, memory per connection.
    Connect(ConnectArgs),
    /// Check boxes at a steady rate before many listeners: latency from check to every screen.
    Fanout(FanoutArgs),
    /// Check boxes as fast as they are acknowledged: durable checks per second.
    Checks(ChecksArgs),
    /// Ask for ranges as fast as they are answered: answers and bytes per second.
    Ranges(RangesArgs),
    /// Check boxes on one server at a steady rate: latency until another server of the same board tells of them.
    Relay(RelayArgs),
    /// Cut off all connections at once and let all come back at once: how long that takes, what it costs.
    Storm(StormArgs),
    /// Play evenly for long while people come and go: whether what the server uses stays the same.
    Soak(SoakArgs),
    /// Send messages to a group with many members: latency until each has come to each of them.
    Group(GroupArgs),
    /// Players with identities who check boxes and write to their teams: whether credits, leaderboards and messages are exact.
    People(PeopleArgs),
}

/// What every command takes.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Common {
    /// Server to play on; the path is /ws unless given.
    #[arg(long, value_name = "WS-URL", default_value = "ws://127.0.0.1:8080")]
    pub(crate) url: String,

    /// Origin header [default: http:// and the host of --url]
    #[arg(long)]
    pub(crate) origin: Option<String>,

    /// Boxes on the server's board.
    #[arg(long, default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000_000))]
    pub(crate) boxes: u32,

    /// Decides which boxes are checked and watched, and in which order [default: random; it is printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Process id of the server, to measure its CPU and memory through /proc.
    #[arg(long)]
    pub(crate) pid: Option<u32>,

    /// Where the server's metrics are, to count its writes to sockets over the measured time.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<String>,

    /// Write all figures and parameters as JSON to this file; "-" is stdout, and moves the table to stderr.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Threads that play. Two keep up with 10 million updates a second and leave the rest of the machine alone.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,

    /// Connections opened per second.
    #[arg(long, value_name = "PER-SECOND", default_value_t = 2000.0, value_parser = positive)]
    pub(crate) connect_rate: f64,

    /// Seconds that opening one connection may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) connect_timeout: f64,

    /// Source addresses 127.0.0.1, 127.0.0.2, … that connections to a loopback server take turns on
    /// [default: one for each 10,000 connections, since one address has about 28,000 ports]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) sources: Option<u8>,

    /// Connections ended by the server do not fail the run; they are still counted.
    #[arg(long)]
    pub(crate) allow_close: bool,

    /// Nobody else plays on the board, so totals must be exactly ours: the final total is the initial one plus the
    /// checks acknowledged, and no other box may appear [default: true for commands that check boxes if
    /// the board was empty]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) exclusive: Option<bool>,

    /// Seconds to wait, after the load, for what is still under way.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) settle: f64,

    /// What to read from the board after the run: every tile in which a check was acknowledged, the whole board
    /// (and compare its number of checked boxes with the total), or nothing.
    #[arg(long, value_enum, default_value_t = Verify::Acknowledged)]
    pub(crate) verify: Verify,

    /// Seconds that reading the board may take, before and after the run. Raise it if ranges are rate limited.
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    pub(crate) read_timeout: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verify {
    Acknowledged,
    All,
    Nothing,
}

/// Opens connections, holds them, reports.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Connections to open.
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,

    /// Seconds to hold them once all are open.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Connect to /ws?v=2.
    #[arg(long)]
    pub(crate) v2: bool,
}

/// Checkers are plain connections and listeners too. The server's limit on checks per second and connection (10 by
/// default) must allow --rate divided by --checkers, or checks wait in the sockets.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Connections that only listen.
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) listeners: u32,

    /// Connections that check boxes.
    #[arg(long, short = 'c', default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) checkers: u32,

    /// Checks per second, of all checkers together: distinct random boxes that were unchecked.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 1000.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Seconds of the same load before; booked but not measured.
    #[arg(long, default_value_t = 2.0, value_parser = seconds_or_none)]
    pub(crate) warmup: f64,

    /// Listeners connect to /ws?v=2 and watch random tiles instead of hearing everything.
    #[arg(long)]
    pub(crate) v2: bool,

    /// Tiles that each listener watches with --v2.
    #[arg(long, value_name = "TILES", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) watch: u8,
}

/// Each connection keeps --window checks unacknowledged. With /ws?v=2, the default, it hears only of its own checks, so
/// this measures how fast checks become durable; with --plain every connection hears every check as well. The server's
/// limit on checks per connection must be out of the way.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct ChecksArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Connections that check boxes.
    #[arg(long, short = 'n', default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: u32,

    /// Checks that each connection keeps unacknowledged.
    #[arg(long, short = 'w', default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) window: u32,

    /// At most this many checks in one write; 1 is like many separate players.
    #[arg(long, value_name = "CHECKS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pipeline: u32,

    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Seconds of the same load before; booked but not measured.
    #[arg(long, default_value_t = 1.0, value_parser = seconds_or_none)]
    pub(crate) warmup: f64,

    /// Stop checking after this many (each costs about 25 bytes of memory here).
    #[arg(long, value_name = "CHECKS", default_value_t = 50_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_checks: u32,

    /// Connect to plain /ws.
    #[arg(long)]
    pub(crate) plain: bool,
}

/// Each answer's first id, length, order and padding are checked.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct RangesArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Connections that ask.
    #[arg(long, short = 'n', default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: u32,

    /// Requests that each connection keeps unanswered; a server reads no further than 16.
    #[arg(long, short = 'o', default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) outstanding: u32,

    /// Boxes per request, from the start of random tiles.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) per_range: u32,

    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Seconds of the same load before; not measured.
    #[arg(long, default_value_t = 1.0, value_parser = seconds_or_none)]
    pub(crate) warmup: f64,

    /// Connect to /ws?v=2, where asking for a range also subscribes to it.
    #[arg(long)]
    pub(crate) v2: bool,
}

/// Checkers connect to /ws?v=2 of --url and hear of their own checks only; listeners connect to plain /ws of --to and
/// hear every check. Both servers must serve the same board, at rest when the run begins. Every acknowledged check must
/// come to every listener exactly once. Boxes and totals are read from --to.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct RelayArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// The other server.
    #[arg(long, value_name = "WS-URL")]
    pub(crate) to: String,

    /// Connections to --to that listen.
    #[arg(long, short = 'n', default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) listeners: u32,

    /// Connections to --url that check boxes.
    #[arg(long, short = 'c', default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) checkers: u32,

    /// Checks per second, of all checkers together: distinct random boxes that were unchecked.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 1000.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Seconds of the same load before; booked but not measured.
    #[arg(long, default_value_t = 2.0, value_parser = seconds_or_none)]
    pub(crate) warmup: f64,
}

/// Some connections stay and check boxes all the time. The others only listen; they are opened, held, and cut off
/// --cuts times, all in one moment; each time all of them dial again at once, and whoever does not get through
/// tries again after a second. All have to hear every check that is made while they are there, and at the end
/// everybody who is there has to hear everything.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct StormArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Connections that are cut off and come back.
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) listeners: u32,

    /// Connections that stay and check boxes.
    #[arg(long, short = 'c', default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) checkers: u32,

    /// Checks per second, of all checkers together.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 10.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// How often all are cut off; 0: they only come and stay.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) cuts: u32,

    /// How they are cut off.
    #[arg(long, value_enum, default_value_t = Goodbye::Reset)]
    pub(crate) by: Goodbye,

    /// Handshakes under way at once when all come back.
    #[arg(long, value_name = "HANDSHAKES", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) at_once: u32,

    /// Seconds to hold all of them before each cut, and at the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) hold: f64,

    /// Seconds in which all have to be back; later ones are a fault.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub(crate) patience: f64,

    /// Listeners connect to /ws?v=2 and watch a random tile each instead of hearing everything.
    #[arg(long)]
    pub(crate) v2: bool,
}

/// Half of those who stay hear everything, half watch tiles (/ws?v=2); their books are exact. Half of those who come
/// and go are of either kind, too; of four, three take their leave with a Close and one breaks off. Boxes are checked
/// among the first --boxes of the board: with few of them, memory does not grow because the board fills.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// The server's listener for operators, whose /metrics says what it uses.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    pub(crate) admin: String,

    /// Connections that stay and listen.
    #[arg(long, short = 'n', default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) listeners: u32,

    /// Connections that stay and check boxes.
    #[arg(long, short = 'c', default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) checkers: u32,

    /// Connections that come and go.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) passers: u32,

    /// How many of those leave, and how many others join, each second.
    #[arg(long, value_name = "PER-SECOND", default_value_t = 50.0, value_parser = positive)]
    pub(crate) churn: f64,

    /// Checks per second, of all checkers together.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 20.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// Minutes to measure, at most an hour.
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, value_parser = minutes)]
    pub(crate) minutes: f64,

    /// Seconds of the same load before, in which the server may grow.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds_or_none)]
    pub(crate) warmup: f64,

    /// Most that memory and descriptors may have grown from the first to the last quarter (medians), beside 4 MiB and
    /// 10 descriptors.
    #[arg(long, value_name = "PER-CENT", default_value_t = 5.0, value_parser = positive)]
    pub(crate) growth: f64,
}

impl Common {
    /// How to open `connections`, or why this process cannot.
    pub(crate) fn pace(&self, connections: u32) -> Result<Pace> {
        let connections = connections as usize;
        if let Some(files) = usage::open_files_max()
            && connections + DESCRIPTORS_SPARE > files
        {
            bail!(
                "{connections} connections need {} open files, this process may have {files}: raise `ulimit -n` or run \
                 several swarms",
                connections + DESCRIPTORS_SPARE
            );
        }
        Ok(Pace {
            threads: usize::from(self.threads),
            connections,
            connect_rate: self.connect_rate,
            connect_timeout: Duration::from_secs_f64(self.connect_timeout),
            at_once: OPENING_MAX,
            insists: false,
            goodbye: Goodbye::Close,
        })
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 10_000_000.0 => Ok(number),
        _ => Err("a number above 0, at most 10 million".into()),
    }
}

/// Up to half an hour, so that warm-up and load together stay within the hour that the run's clock can count.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1800.0 => Ok(number),
        _ => Err("a number of seconds above 0, at most 1800".into()),
    }
}

/// Up to an hour: with the warm-up within the 71 minutes that the run's clock can count.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 60.0 => Ok(number),
        _ => Err("a number of minutes above 0, at most 60".into()),
    }
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    if text.parse::<f64>() == Ok(0.0) { Ok(0.0) } else { seconds(text) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Swarm::command().debug_assert();
        for command in ["storm", "soak"] {
            Swarm::try_parse_from(["swarm", command]).unwrap();
        }
        Swarm::try_parse_from(["swarm", "soak", "--minutes", "61"]).unwrap_err();
        for command in ["connect", "fanout", "checks", "ranges"] {
            Swarm::try_parse_from(["swarm", command]).unwrap();
            Swarm::try_parse_from(["swarm", command, "--boxes", "0"]).unwrap_err();
            Swarm::try_parse_from(["swarm", command, "--seconds", "1801"]).unwrap_err();
            Swarm::try_parse_from(["swarm", command, "--seconds", "NaN"]).unwrap_err();
        }
        Swarm::try_parse_from(["swarm", "relay", "--to", "ws://127.0.0.1:1"]).unwrap();
        Swarm::try_parse_from(["swarm", "relay"]).unwrap_err();
        Swarm::try_parse_from(["swarm", "group", "--to", "tile:0"]).unwrap();
        Swarm::try_parse_from(["swarm", "group"]).unwrap_err();
        let parsed = Swarm::try_parse_from(["swarm", "fanout", "--exclusive", "-n", "5"]).unwrap();
        let Command::Fanout(args) = parsed.command else { panic!("not fanout") };
        assert_eq!((args.common.exclusive, args.listeners), (Some(true), 5));
    }

    #[test]
    fn more_connections_than_files_is_refused_before_the_run() {
        let Command::Connect(args) = Swarm::try_parse_from(["swarm", "connect"]).unwrap().command
        else {
            panic!()
        };
        assert!(args.common.pace(10).is_ok());
        if usage::open_files_max().is_some_and(|files| files < 4_000_000_000) {
            assert!(args.common.pace(4_000_000_000).is_err());
        }
    }
}
