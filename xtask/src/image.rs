//! The image: built from `docker/Dockerfile`, then tried by the end-to-end tests that need it. Not
//! part of the other tests, because Docker cannot run everywhere.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo_test,
    process::{self, Workspace},
    tally::Tally,
};

/// What the image is called; docker/compose.yml names it too.
const IMAGE: &str = concat!("billion-checkboxes:", env!("CARGO_PKG_VERSION"));

/// Docker is there and its daemon answers.
pub fn docker() -> Result<()> {
    let version =
        process::read(&mut docker_command(&["version", "--format", "{{.Server.Version}}"]))
            .context("Docker is needed: install it (Debian: docker.io) and start its daemon")?;
    println!("Docker {}", version.trim());
    Ok(())
}

/// Builds the image and says how large it is.
pub fn build(workspace: &Workspace) -> Result<()> {
    let mut git = Command::new("git");
    let commit =
        process::read(git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(&workspace.root));
    let commit = format!("BILLION_COMMIT={}", commit.unwrap_or_default().trim());
    let mut build = docker_command(&["build", "--file", "docker/Dockerfile", "--tag", IMAGE]);
    build.args(["--build-arg", &commit, "."]);
    process::run(build.current_dir(&workspace.root))?;
    let size = process::read(&mut docker_command(&["image", "inspect", "-f", "{{.Size}}", IMAGE]))?;
    let bytes: u64 = size.trim().parse().context("a size is a number")?;
    ensure!(bytes > 0, "an image has a size");
    println!("image {IMAGE}: {:.1} MB", bytes as f64 / 1e6);
    Ok(())
}

/// Runs the tests that run the image.
pub fn test(workspace: &Workspace) -> Result<(Tally, Result<()>)> {
    cargo_test::image(workspace, IMAGE)
}

fn docker_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null());
    command
}
