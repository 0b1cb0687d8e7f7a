//! What `swarm people` takes.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Common, positive, seconds};

/// Players with identities of their own check boxes, two of them now and then the same, and write to their teams; some
/// leave all the time and come back, at another server if there are several. Connections that end are dialled again for as
/// long as the run lasts, and whatever was not answered is sent again. At the end every box must be credited to exactly
/// one player, leaderboards must agree with that, every member must have heard every message to its team exactly once and
/// in order, and what is kept of each team must be the end of that. The board has to be empty, and limits out of the way.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct PeopleArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// Other servers of the same board.
    #[arg(long, value_name = "WS-URL")]
    pub(crate) also: Vec<String>,

    /// The servers' people.keys_file: identities are sealed here with its first key.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_file: PathBuf,

    /// Players; an even number.
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=15_000))]
    pub(crate) players: u32,

    /// How many of them have an account.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) accounts: u32,

    /// Teams; each is made by somebody with an account.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) teams: u32,

    /// Checks per second, of all together.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 1000.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// Messages per second, of all together.
    #[arg(long, value_name = "PER-SECOND", default_value_t = 50.0, value_parser = positive)]
    pub(crate) messages: f64,

    /// Players who leave and come back, each second.
    #[arg(long, value_name = "PER-SECOND", default_value_t = 10.0, value_parser = positive)]
    pub(crate) churn: f64,

    /// Seconds to play.
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Seconds in which everything has to be answered, and totals have to be up to date, after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub(crate) patience: f64,
}
