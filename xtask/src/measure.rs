//! `cargo xtask bench …`: builds what is measured, gives it a place to run, and prints what came out.

use std::{fs, num::NonZeroUsize, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use xtask::{
    bench::{Programs, cluster, crowd, door, fanout, group, leases},
    guardian::{Folder, Guardian},
    redis::RedisCluster,
};

use crate::{process, process::Workspace};

/// A board in a Redis Cluster, against the older server's way to keep one.
pub fn cluster(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let scale = if quick { cluster::Scale::QUICK } else { cluster::Scale::FULL };
    with_redis(workspace, |programs, redis, folder| {
        Ok(cluster::run(programs, redis, folder, &scale)?.to_string())
    })
}

/// A hundred thousand players over six nodes.
pub fn crowd(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let scale = if quick { crowd::Scale::QUICK } else { crowd::Scale::FULL };
    with_redis(workspace, |programs, redis, folder| {
        Ok(crowd::run(programs, redis, folder, &scale)?.to_string())
    })
}

/// Limits that nodes share.
pub fn leases(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let scale = if quick { leases::Scale::QUICK } else { leases::Scale::FULL };
    with_redis(workspace, |programs, redis, folder| {
        Ok(leases::run(programs, redis, folder, &scale)?.to_string())
    })
}

/// Players beside an attack.
pub fn door(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let (programs, guardian) = prepare(workspace)?;
    let scale = if quick { door::Scale::QUICK } else { door::Scale::FULL };
    println!("\n{}", door::run(&programs, guardian.folder(), &scale)?);
    Ok(ExitCode::SUCCESS)
}

/// Builds, starts a Redis Cluster, and prints what `measure` says.
fn with_redis(
    workspace: &Workspace,
    measure: impl FnOnce(&Programs, &RedisCluster, &Path) -> Result<String>,
) -> Result<ExitCode> {
    let (programs, guardian) = prepare(workspace)?;
    let redis = RedisCluster::start_anywhere(&guardian.folder().join("redis"))?;
    let figures = measure(&programs, &redis, guardian.folder())?;
    println!("\n{figures}");
    Ok(ExitCode::SUCCESS)
}

/// Updates to many listeners, against plain tokio and against a naive actor design.
pub fn fanout(
    workspace: &Workspace,
    quick: bool,
    rounds: Option<NonZeroUsize>,
    only: Option<fanout::Server>,
) -> Result<ExitCode> {
    let (programs, guardian) = prepare(workspace)?;
    let mut scale = if quick { fanout::Scale::QUICK } else { fanout::Scale::FULL };
    scale.rounds = rounds.map_or(scale.rounds, NonZeroUsize::get);
    scale.only = only;
    let figures = fanout::run(&programs, guardian.folder(), &scale)?;
    println!("\n{figures}");
    Ok(ExitCode::SUCCESS)
}

/// Messages to large groups, against plain tokio.
pub fn group(workspace: &Workspace, quick: bool, rounds: Option<NonZeroUsize>) -> Result<ExitCode> {
    let (programs, guardian) = prepare(workspace)?;
    let mut scale = if quick { group::Scale::QUICK } else { group::Scale::FULL };
    scale.rounds = rounds.map_or(scale.rounds, NonZeroUsize::get);
    let figures = group::run(&programs, guardian.folder(), &scale)?;
    println!("\n{figures}");
    Ok(ExitCode::SUCCESS)
}

/// Messages to a large group on several nodes.
pub fn group_nodes(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let scale = if quick { group::nodes::Scale::QUICK } else { group::nodes::Scale::FULL };
    with_redis(workspace, |programs, redis, folder| {
        Ok(group::nodes::run(programs, redis, folder, &scale)?.to_string())
    })
}

/// Programs, built; and a folder that is gone in the end, with every process that works in it.
fn prepare(workspace: &Workspace) -> Result<(Programs, Guardian)> {
    process::run(&mut workspace.cargo(&["build", "--release", "--locked", "--bins"]))?;
    let built = |name| workspace.target.join("release").join(name);
    let programs = Programs {
        billion: built("billion"),
        swarm: built("swarm"),
        plain: built("baseline_plain"),
        naive: built("baseline_naive"),
    };
    let folder = workspace.target.join("bench").join(std::process::id().to_string());
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove)?;
    Ok((programs, guardian))
}

/// The micro-benchmarks of `actors`, all or those whose names match `filter`.
pub fn micro(workspace: &Workspace, filter: Option<String>) -> Result<ExitCode> {
    let mut command = workspace.cargo(&["bench", "--package", "actors", "--locked"]);
    if let Some(filter) = filter {
        command.arg("--").arg(filter);
    }
    process::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
