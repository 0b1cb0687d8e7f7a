//! What `swarm group` takes.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Common, positive, seconds, seconds_or_none};

/// All connections join the group. First nothing is sent, then one message after the other, then many at once. Every
/// message must come to every member exactly once, and at one place for all. Several swarms may be in a group: one of them
/// sends, and the others, with --senders 0, listen until they have heard as many messages.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) common: Common,

    /// The group, as in team:0123456789abcdef.
    #[arg(long, value_name = "GROUP")]
    pub(crate) to: String,

    /// File of identities that may join it, each a line for a Cookie header; connections take turns on them.
    #[arg(long, value_name = "FILE")]
    pub(crate) cookies: Option<PathBuf>,

    /// Lines of that file that others take.
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    pub(crate) first: u32,

    /// Connections that join.
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) members: u32,

    /// How many of them send messages, in turn.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) senders: u32,

    /// Messages that are sent one after the other.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) messages: u32,

    /// How many of those a second.
    #[arg(long, short = 'r', value_name = "PER-SECOND", default_value_t = 1.0, value_parser = positive)]
    pub(crate) rate: f64,

    /// Messages that are sent at once afterwards.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) burst: u32,

    /// Bytes of text in each, beside what every envelope has: with 32 it comes as some 250 bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 32, value_parser = clap::value_parser!(u16).range(0..=800))]
    pub(crate) text: u16,

    /// Seconds before the first, to see what the server does without messages.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds_or_none)]
    pub(crate) quiet: f64,

    /// Seconds to listen at most, with --senders 0.
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = seconds)]
    pub(crate) patience: f64,
}
