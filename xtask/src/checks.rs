//! What is checked without running anything: format, lints, and who may depend on whom.

use anyhow::{Result, bail};

use crate::process::{self, TEST_FEATURES, Workspace};

/// What the game in `actors` must not know: how boards are stored, how pages are served, where
/// settings come from. That keeps it testable without any of them.
const UNKNOWN_TO_ACTORS: [&str; 8] =
    ["redis", "deadpool-redis", "redb", "actix-web", "actix-http", "actix-files", "config", "tera"];

/// Everything is formatted as rustfmt would.
pub fn format(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

/// Clippy has nothing to say. Of the features only those that our code asks for: `heap-profile` is one of
/// jemalloc's, which would be configured and built once more for it.
pub fn lints(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    process::run(command.args(TEST_FEATURES).args(["--", "-D", "warnings"]))
}

/// `actors` depends on nothing it must not know, however indirectly.
pub fn layers(workspace: &Workspace) -> Result<()> {
    let tree = ["tree", "--locked", "--package", "actors", "--edges", "normal"];
    let listed = process::read(workspace.cargo(&tree).args([
        "--all-features",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let known: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let offenders = offenders(&known);
    for offender in &offenders {
        println!("actors must not know {offender}, but depends on it:");
        process::run(workspace.cargo(&tree).args(["--all-features", "--invert", offender]))?;
    }
    if !offenders.is_empty() {
        bail!("actors depends on {}; see its Cargo.toml", offenders.join(", "));
    }
    println!("actors knows {} crates, none of {}", known.len(), UNKNOWN_TO_ACTORS.join(", "));
    Ok(())
}

fn offenders(known: &[&str]) -> Vec<&'static str> {
    UNKNOWN_TO_ACTORS.into_iter().filter(|name| known.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_offend() {
        assert_eq!(offenders(&["actors", "actix", "actix-rt", "redb-derive"]), [""; 0]);
        assert_eq!(offenders(&["actors", "redb", "tera", "log"]), ["redb", "tera"]);
    }
}
