//! Runs cargo's tests and counts them while their output streams through.

use std::{
    fmt,
    io::{BufRead, BufReader, Write, stdout},
    ops::AddAssign,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::process::{TEST_FEATURES, Workspace, shown};

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How many went well.
    pub passed: u64,
    /// How many did not.
    pub failed: u64,
}

impl Counted {
    /// Adds the counts of one line, if it is libtest's last one:
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let (before, _) = result.split_once(what)?;
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        self.passed += count(" passed;").unwrap_or_default();
        self.failed += count(" failed;").unwrap_or_default();
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs the tests of the workspace whose names contain one of `filter`, or all of them.
pub fn all(workspace: &Workspace, long: bool, filter: &[String]) -> Result<(Counted, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    if !filter.is_empty() {
        command.arg("--").args(filter);
    }
    run(command, long)
}

/// Runs the tests with deliberate faults compiled into the server: they prove that the other tests
/// can fail. Comes after those, because it replaces the server they run.
pub fn faults(workspace: &Workspace, long: bool) -> Result<(Counted, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked"]);
    command.args(TEST_FEATURES).args(["--test", "end_to_end", "--", "guards::"]);
    run(command, long)
}

/// Runs the tests that need `image` and a Docker daemon; their figures are shown.
pub fn image(workspace: &Workspace, image: &str) -> Result<(Counted, Result<()>)> {
    let mut command = workspace.cargo(&["test", "--locked", "--test", "end_to_end"]);
    command.args(["image::", "--", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("BILLION_TEST_IMAGE", image);
    run(command, false)
}

fn run(mut command: Command, long: bool) -> Result<(Counted, Result<()>)> {
    if long {
        command.env("BILLION_TEST_LONG", "1");
    }
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // One more than there are cores: the test of aging takes one for minutes, to do nothing but wait.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env("RUST_TEST_THREADS", (cores + 1).to_string());
    }
    println!("$ {}{}", if long { "BILLION_TEST_LONG=1 " } else { "" }, shown(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
    let mut counted = Counted::default();
    // By bytes: a test may print what is not UTF-8, and it is passed on as it is.
    for line in output.split(b'\n') {
        let line = line.context("cannot read what cargo test says")?;
        let mut out = stdout().lock();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        counted.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    Ok((counted, judge(counted, status.success())))
}

fn judge(counted: Counted, succeeded: bool) -> Result<()> {
    match (succeeded, counted) {
        (true, Counted { passed: 0, failed: 0 }) => bail!("no test ran"),
        (true, _) => Ok(()),
        (false, Counted { failed: 0, .. }) => bail!("not everything could be built and run"),
        (false, Counted { failed, .. }) => bail!("{failed} failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_up_over_binaries() {
        let mut counted = Counted::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out",
            "test tests::one ... ok",
            "test result: FAILED. 11 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out",
            "a test that prints: test result: ok. 99 passed; 0 failed",
        ] {
            counted.add(line);
        }
        assert_eq!(counted, Counted { passed: 14, failed: 2 });
        assert_eq!(counted.to_string(), "14 passed, 2 failed");
    }

    #[test]
    fn a_run_without_a_test_is_a_failure() {
        let some = Counted { passed: 1, failed: 0 };
        assert!(judge(some, true).is_ok());
        assert!(judge(some, false).is_err(), "one binary did not compile");
        assert!(judge(Counted::default(), true).is_err());
    }
}
