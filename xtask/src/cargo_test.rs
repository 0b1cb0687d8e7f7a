//! Builds and runs cargo's tests, and keeps account of them while their output streams through.

use std::{
    io::{BufRead, BufReader, Write, stdout},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, TEST_FEATURES, Workspace, shown},
    tally::Tally,
};

/// Everything, long forms included, but for what needs Docker and what measures: those have commands of
/// their own (`cargo xtask image`, `cargo xtask bench page`).
const LONG: [&str; 5] = ["--include-ignored", "--skip", "image::", "--skip", TIMED];

/// Module that holds tests which judge how long something takes. Such a test is right on a machine that
/// does nothing else and wrong beside others, so that none runs by default.
const TIMED: &str = "timed::";

/// Which tests to run.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// In their long forms, and those that only have one.
    pub long: bool,
    /// Only those whose names contain one of these, if there are any.
    pub filter: &'a [String],
}

/// Builds the tests of the workspace, so that the next step's time is that of running them.
pub fn build(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["test", "--workspace", "--locked", "--no-run"]))
}

/// Runs the selected tests of the workspace.
pub fn run(workspace: &Workspace, selection: Selection) -> Result<(Tally, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    command.args(selection.filter);
    stream(long(command, selection.long))
}

/// Builds the tests with deliberate faults compiled into the server, and replaces that server.
pub fn build_faults(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-run"]);
    process::run(command.args(TEST_FEATURES).args(["--test", "end_to_end"]))
}

/// Runs the tests with deliberate faults: they prove that the other tests can fail. Comes after those,
/// because it replaces the server they run.
pub fn faults(workspace: &Workspace, is_long: bool) -> Result<(Tally, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked"]);
    command.args(TEST_FEATURES).args(["--test", "end_to_end", "--", "guards::"]);
    stream(long(command, is_long))
}

/// Runs the tests that need `image` and a Docker daemon; their figures are shown.
pub fn image(workspace: &Workspace, image: &str) -> Result<(Tally, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--locked", "--test", "end_to_end"]);
    command.args(["image::", "--", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("BILLION_TEST_IMAGE", image);
    stream(command)
}

/// Builds with optimizations and runs, one after the other, the tests that judge how long the page takes;
/// their figures are shown.
pub fn timed(workspace: &Workspace) -> Result<(Tally, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--release", "--locked", "--test", "end_to_end"]);
    command.args([TIMED, "--", "--ignored", "--nocapture", "--test-threads=1"]);
    stream(command)
}

fn long(mut command: Command, long: bool) -> Command {
    if long {
        command.args(LONG).env("BILLION_TEST_LONG", "1");
    }
    command
}

fn stream(mut command: Command) -> Result<(Tally, Result<()>)> {
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // One more than there are cores: the test of aging takes one for minutes, to do nothing but wait.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env("RUST_TEST_THREADS", (cores + 1).to_string());
    }
    println!("$ {}", shown(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
    let mut tally = Tally::default();
    // By bytes: a test may print what is not UTF-8, and it is passed on as it is.
    for line in output.split(b'\n') {
        let line = line.context("cannot read what cargo test says")?;
        let mut out = stdout().lock();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        tally.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    tally.end();
    let judged = judge(&tally, status.success());
    Ok((tally, judged))
}

fn judge(tally: &Tally, succeeded: bool) -> Result<()> {
    match (succeeded, tally.passed, tally.failed) {
        (true, 0, 0) => bail!("no test ran"),
        (true, ..) => Ok(()),
        (false, _, 0) => bail!("not everything could be built and run"),
        (false, _, failed) => bail!("{failed} failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_test_is_a_failure() {
        let some = Tally::of(1, 0, []);
        assert!(judge(&some, true).is_ok());
        assert!(judge(&some, false).is_err(), "one binary did not compile");
        assert!(judge(&Tally::default(), true).is_err());
    }

    #[test]
    fn the_long_form_adds_what_is_ignored_but_for_docker_and_benchmarks() {
        let shown = |is_long| {
            let mut command = Command::new("cargo");
            command.args(["test", "--", "storage"]);
            shown(&long(command, is_long))
        };
        assert_eq!(shown(false), "cargo test -- storage");
        assert_eq!(
            shown(true),
            "cargo test -- storage --include-ignored --skip image:: --skip timed::"
        );
    }
}
