//! `cargo xtask bench …`: builds what is measured, gives it a place to run, and prints what came out.

use std::{fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use xtask::{
    bench::{Programs, cluster, crowd},
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

/// Builds, starts a Redis Cluster, and prints what `measure` says.
fn with_redis(
    workspace: &Workspace,
    measure: impl FnOnce(&Programs, &RedisCluster, &Path) -> Result<String>,
) -> Result<ExitCode> {
    process::run(&mut workspace.cargo(&["build", "--release", "--locked", "--bins"]))?;
    let programs = Programs {
        billion: workspace.target.join("release/billion"),
        swarm: workspace.target.join("release/swarm"),
        page: workspace.root.clone(),
    };
    let folder = workspace.target.join("bench").join(std::process::id().to_string());
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove)?;
    let redis = RedisCluster::start_anywhere(&guardian.folder().join("redis"))?;
    let figures = measure(&programs, &redis, guardian.folder())?;
    println!("\n{figures}");
    Ok(ExitCode::SUCCESS)
}
