//! `billion admin …`: what operators do with a running server, or for one.

mod block;
mod connections;
mod read_only;
mod stats;
mod token;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::with_settings;
use crate::arguments::SettingsArguments;

/// Watch and steer running servers.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Token(token::Arguments),
    ReadOnly(read_only::Arguments),
    Block(block::Arguments),
    Connections(connections::Arguments),
    Stats(stats::Arguments),
}

/// 0: done; 1: failed; 2: the settings or an argument are wrong.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    with_settings(settings, |settings| match &arguments.task {
        Task::Token(token) => token::run(token, settings),
        Task::ReadOnly(read_only) => read_only::run(read_only, settings),
        Task::Block(block) => block::run(block, settings),
        Task::Connections(connections) => connections::run(connections, settings),
        Task::Stats(stats) => stats::run(stats, settings),
    })
}
