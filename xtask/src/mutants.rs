//! `cargo xtask mutants`: changes the code in small ways, one at a time, and looks whether a test notices
//! (cargo-mutants). Hours for everything, so file by file.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{self, Workspace};

/// Its version, from crates.io.
const VERSION: &str = "27.1.0";

/// Files whose tests are meant to notice nearly every change, where in the package those tests are, and whether one
/// change that is not noticed is one too many.
const FILES: [(&str, &[&str], bool); 14] = [
    ("actors/src/limits/rate.rs", &["limits::"], true),
    ("actors/src/limits/bucket.rs", &["limits::"], true),
    ("actors/src/limits/keyed.rs", &["limits::"], true),
    ("actors/src/limits/lease.rs", &["limits::"], true),
    ("actors/src/limits.rs", &["limits::"], true),
    ("actors/src/protocol.rs", &["protocol::"], false),
    ("actors/src/session/frame.rs", &["session::frame::"], false),
    ("actors/src/shard/gate.rs", &["shard::"], false),
    ("actors/src/shard/ledger.rs", &["shard::"], false),
    ("src/origin.rs", &["origin::", "admission::"], true),
    ("src/admission.rs", &["admission::"], true),
    ("src/client_address.rs", &["client_address::"], true),
    ("src/limits/rules.rs", &["limits::"], true),
    ("src/limits/visitor.rs", &["limits::"], true),
];

/// Of all mutants of a file, at least so many in a hundred have to be caught.
const CAUGHT_PERCENT: usize = 90;

/// A test that takes longer hangs because of the change.
const TIMEOUT_S: u32 = 30;

/// Tries the files whose names contain `filter`, or all.
///
/// # Errors
/// If a change is not noticed that should be.
pub fn run(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let files: Vec<_> =
        FILES.iter().filter(|(file, ..)| filter.is_none_or(|part| file.contains(part))).collect();
    ensure!(
        !files.is_empty(),
        "no file of this name is tried: {}",
        FILES.map(|(file, ..)| file).join(", ")
    );
    let folder = workspace.target.join("mutants");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let program = install(workspace, &folder)?;
    let mut wrong = Vec::new();
    for (file, tests, is_strict) in files {
        let figures = try_file(workspace, &program, &folder, file, tests)?;
        println!("{file}: {figures:?}");
        wrong.extend(figures.judge(*is_strict).err().map(|why| format!("{file}: {why}")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn install(workspace: &Workspace, folder: &Path) -> Result<std::path::PathBuf> {
    let root = folder.join("tool");
    let program = root.join("bin/cargo-mutants");
    if !program.exists() {
        let mut install = Command::new("cargo");
        install.args(["install", "cargo-mutants", "--locked", "--version", VERSION, "--root"]);
        process::run(install.arg(&root).current_dir(&workspace.root))?;
    }
    Ok(program)
}

/// What became of the mutants of one file.
#[derive(Debug, Default)]
struct Figures {
    caught: usize,
    missed: Vec<String>,
    /// Did not come to an end, which a test run notices.
    timed_out: usize,
    /// Do not compile, and are none.
    unviable: usize,
}

impl Figures {
    fn judge(&self, is_strict: bool) -> Result<()> {
        let noticed = self.caught + self.timed_out;
        let all = noticed + self.missed.len();
        let missed = self.missed.join("; ");
        ensure!(!is_strict || self.missed.is_empty(), "not noticed: {missed}");
        ensure!(noticed * 100 >= all * CAUGHT_PERCENT, "{noticed} of {all} noticed: {missed}");
        Ok(())
    }
}

fn try_file(
    workspace: &Workspace,
    program: &Path,
    folder: &Path,
    file: &str,
    tests: &[&str],
) -> Result<Figures> {
    let out = folder.join(file.replace('/', "-"));
    let mut mutants = Command::new(program);
    let package = if file.starts_with("actors/") { "actors" } else { "billion-checkboxes" };
    mutants.args(["mutants", "--no-shuffle", "--colors", "never", "-f", file, "-p", package]);
    mutants.args(["--profile", "mutants", "--timeout", &TIMEOUT_S.to_string(), "-o"]).arg(&out);
    // The unit tests of the module: each mutant is compiled anew, and all the others take minutes.
    mutants.args(["--cargo-arg=--lib", "--cargo-test-arg=--"]);
    tests.iter().for_each(|tests| _ = mutants.args(["--cargo-test-arg", tests]));
    // Each run has a copy of the sources, and all of them what does not change.
    mutants.env("CARGO_TARGET_DIR", folder.join("build")).current_dir(&workspace.root);
    println!("$ {}", process::shown(&mutants));
    // It fails if any is missed, which is judged below.
    let status = mutants.status().context("cannot start cargo-mutants")?;
    let told = fs::read(out.join("mutants.out/outcomes.json"));
    let told = told.with_context(|| format!("cargo-mutants ended with {status}"))?;
    figures(&serde_json::from_slice(&told)?)
}

fn figures(told: &Value) -> Result<Figures> {
    let mut figures = Figures::default();
    let Some(outcomes) = told["outcomes"].as_array() else { bail!("no outcomes") };
    for outcome in outcomes {
        let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
        match outcome["summary"].as_str() {
            Some("CaughtMutant") => figures.caught += 1,
            Some("MissedMutant") => figures.missed.push(name.to_owned()),
            Some("Timeout") => figures.timed_out += 1,
            Some("Unviable") => figures.unviable += 1,
            other => bail!("{name}: {other:?}"),
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_noticed_is_named_and_counted() {
        let of = |name: &str, summary: &str| json!({"scenario": {"Mutant": {"name": name}}, "summary": summary});
        let mut outcomes = vec![json!({"scenario": "Baseline", "summary": "Success"})];
        outcomes.extend((0..17).map(|_| of("a", "CaughtMutant")));
        outcomes.extend([
            of("b", "Timeout"),
            of("c", "Unviable"),
            of("replace x with y", "MissedMutant"),
        ]);
        let figures = figures(&json!({"outcomes": outcomes})).expect("outcomes");
        assert!(figures.judge(false).is_ok(), "18 of 19");
        let strict = figures.judge(true).expect_err("one is missed").to_string();
        assert_eq!(strict, "not noticed: replace x with y");
        let figures = Figures { missed: vec!["d".into(); 3], caught: 20, ..figures };
        assert!(figures.judge(false).expect_err("21 of 24").to_string().starts_with("21 of 24"));
    }
}
