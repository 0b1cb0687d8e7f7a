//! `swarm`, the load generator: plays against any server of the protocol, measures it and keeps exact books.
//!
//! In reading order: `args` says what to do; `scene` is the course of every run, and `connect`, `fanout`, `checks`,
//! `ranges` and `relay` are what can be run. `crew` puts players on threads, `client` is one player's connection, `wire` its bytes.
//! `books`, `watch` and `board` decide what is right (`shuffle` orders the boxes, `faults` names what is wrong);
//! `latency`, `procfs`, `scrape` and `observer` measure; `report` tells. It shares no code with the server, on purpose.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;

use args::{Command, Common, Swarm};
use crew::Pace;
use faults::Faults;
use scene::Scene;
use target::Target;

mod args;
mod board;
mod books;
mod checks;
mod client;
mod connect;
mod crew;
mod fanout;
mod faults;
mod latency;
mod observer;
mod procfs;
mod ranges;
mod relay;
mod report;
mod scene;
mod scrape;
mod shuffle;
mod target;
mod watch;
mod wire;

const UNBALANCED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut command = Swarm::parse().command;
    let common = command.common();
    // Chosen here, so that parameters in the report always replay the run.
    let seed = *common.seed.get_or_insert_with(rand::random);
    let common = common.clone();
    let (target, pace) = match prepare(&common, command.connections()) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("swarm: {error:#}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match run(command, &common, target, pace) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNBALANCED),
        Err(error) => {
            eprintln!("swarm --seed {seed}: {error:#}");
            ExitCode::from(UNBALANCED)
        }
    }
}

fn prepare(common: &Common, connections: u32) -> Result<(Target, Pace)> {
    let pace = common.pace(connections)?;
    let target =
        Target::resolve(&common.url, common.origin.as_deref(), common.sources, pace.connections)?;
    Ok((target, pace))
}

/// Runs the command; says whether the books balance.
fn run(command: Command, common: &Common, target: Target, pace: Pace) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (scene, faults) = runtime.block_on(play(command, common.clone(), target, pace))?;
    scene.observer.hide();
    scene.report.publish(&faults, common.json.as_deref())?;
    Ok(faults.is_empty())
}

async fn play(
    command: Command,
    common: Common,
    target: Target,
    pace: Pace,
) -> Result<(Scene, Faults)> {
    match command {
        Command::Connect(args) => {
            let scene = Scene::set("connect", parameters(&args)?, common, pace, target).await?;
            connect::run(args, scene).await
        }
        Command::Fanout(args) => {
            let scene = Scene::set("fanout", parameters(&args)?, common, pace, target).await?;
            fanout::run(args, scene).await
        }
        Command::Checks(args) => {
            let scene = Scene::set("checks", parameters(&args)?, common, pace, target).await?;
            checks::run(args, scene).await
        }
        Command::Ranges(args) => {
            let scene = Scene::set("ranges", parameters(&args)?, common, pace, target).await?;
            ranges::run(args, scene).await
        }
        Command::Relay(args) => relay::run(args, common, pace, target).await,
    }
}

pub(crate) fn parameters(args: &impl Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(args)?)
}

impl Command {
    fn common(&mut self) -> &mut Common {
        match self {
            Self::Connect(args) => &mut args.common,
            Self::Fanout(args) => &mut args.common,
            Self::Checks(args) => &mut args.common,
            Self::Ranges(args) => &mut args.common,
            Self::Relay(args) => &mut args.common,
        }
    }

    fn connections(&self) -> u32 {
        match self {
            Self::Connect(args) => args.connections,
            Self::Fanout(args) => args.listeners + args.checkers,
            Self::Checks(args) => args.connections,
            Self::Ranges(args) => args.connections,
            Self::Relay(args) => args.listeners + args.checkers,
        }
    }
}
