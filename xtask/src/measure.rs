//! `cargo xtask bench …`: builds what is measured, gives it a place to run, and prints what came out.

use std::{fs, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use xtask::{
    bench::{Programs, cluster},
    guardian::{Folder, Guardian},
    redis::RedisCluster,
};

use crate::{process, process::Workspace};

/// A board in a Redis Cluster, against the older server's way to keep one.
pub fn cluster(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
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
    let scale = if quick { cluster::Scale::QUICK } else { cluster::Scale::FULL };
    let figures = cluster::run(&programs, &redis, guardian.folder(), &scale)?;
    println!("\n{figures}");
    Ok(ExitCode::SUCCESS)
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
