//! `swarm`, the load generator: plays against any server of the protocol, measures it and keeps exact books.
//!
//! In reading order: `args` says what to do; `scene` is the course of every run, and `connect`, `fanout`, `checks`,
//! `ranges`, `relay`, `storm`, `soak`, `group` and `people` are what can be run. `crew` puts players on threads, each in a `seat`; `client`
//! is one player's connection, `wire` its bytes.
//! `books`, `watch` and `board` decide what is right (`shuffle` orders the boxes, `faults` names what is wrong, `limiter` asks
//! whether the server holds the load back);
//! `latency`, `usage`, `scrape`, `vitals` and `observer` measure; `report` tells. It shares no code with the server, on purpose.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;

use args::{Command, Common, Swarm};
use crew::Pace;
use faults::Faults;
use limiter::Limited;
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
mod group;
mod latency;
mod limiter;
mod observer;
mod people;
mod ranges;
mod relay;
mod report;
mod scene;
mod scrape;
mod seat;
mod shuffle;
mod soak;
mod storm;
mod target;
mod usage;
mod vitals;
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
    let (target, pace) = match prepare(&common, command.connections(), command.ports()) {
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
            ExitCode::from(if error.is::<Limited>() { WRONG_USAGE } else { UNBALANCED })
        }
    }
}

fn prepare(common: &Common, connections: u32, ports: u32) -> Result<(Target, Pace)> {
    let pace = common.pace(connections)?;
    let origin = common.origin.as_deref();
    let target = Target::resolve(&common.url, origin, common.sources, ports as usize)?;
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
        Command::Storm(args) => {
            let scene = Scene::set("storm", parameters(&args)?, common, pace, target).await?;
            storm::run(args, scene).await
        }
        Command::Soak(args) => {
            let scene = Scene::set("soak", parameters(&args)?, common, pace, target).await?;
            soak::run(args, scene).await
        }
        Command::Group(args) => {
            let scene = Scene::set("group", parameters(&args)?, common, pace, target).await?;
            group::run(args, scene).await
        }
        Command::People(args) => {
            let scene = Scene::set("people", parameters(&args)?, common, pace, target).await?;
            people::run(args, scene).await
        }
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
            Self::Storm(args) => &mut args.common,
            Self::Soak(args) => &mut args.common,
            Self::Group(args) => &mut args.common,
            Self::People(args) => &mut args.common,
        }
    }

    fn connections(&self) -> u32 {
        match self {
            Self::Connect(args) => args.connections,
            Self::Fanout(args) => args.listeners + args.checkers,
            Self::Checks(args) => args.connections,
            Self::Ranges(args) => args.connections,
            Self::Relay(args) => args.listeners + args.checkers,
            Self::Storm(args) => args.listeners + args.checkers,
            Self::Soak(args) => args.listeners + args.checkers + args.passers,
            Self::Group(args) => args.members,
            Self::People(args) => args.players,
        }
    }

    /// Ports taken in the course of a minute: one whose connection we ended is not free again before.
    fn ports(&self) -> u32 {
        match self {
            Self::Storm(args) => args.listeners * (args.cuts + 1) + args.checkers,
            Self::Soak(args) => self.connections() + (60.0 * args.churn) as u32,
            _ => self.connections(),
        }
    }
}
