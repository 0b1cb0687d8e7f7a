//! What is checked of the page without a browser: its types, as its comments state them, and the
//! modules that need no document, by tests of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    process::{self, Workspace},
    tally::Tally,
};

/// Types first: a module that does not fit together need not be run.
pub fn check(workspace: &Workspace) -> Result<(Tally, Result<()>)> {
    let project = workspace.root.join("tests/page/jsconfig.json");
    process::run(Command::new("tsc").arg("--project").arg(project))?;

    let tests = tests_in(&workspace.root.join("tests/page"))?;
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=tap"]).args(tests).current_dir(&workspace.root);
    println!("$ {}", process::shown(&node));
    let output = node.output().context("cannot run node")?;
    let report = String::from_utf8_lossy(&output.stdout);
    let tally = count(&report);
    if output.status.success() {
        for line in report.lines().filter(|line| line.starts_with("ok ")) {
            println!("{line}");
        }
    } else {
        println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    }
    let judged = judge(&tally, output.status.success());
    Ok((tally, judged))
}

/// By name, because what node makes of a folder differs from version to version.
fn tests_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let reading = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no tests in {}", folder.display());
    Ok(found)
}

/// Reads a TAP report: `not ok 7 - a name`, and the last lines, `# pass 12` and `# fail 1`.
fn count(report: &str) -> Tally {
    let number = |what: &str| {
        let lines = report.lines().rev();
        lines.filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).next().unwrap_or(0)
    };
    let failures =
        report.lines().filter_map(|line| line.strip_prefix("not ok ")?.split_once(" - "));
    let names = failures.map(|(_, name)| format!("page: {name}"));
    Tally::of(number("# pass "), number("# fail "), names)
}

fn judge(tally: &Tally, succeeded: bool) -> Result<()> {
    ensure!(succeeded && tally.failed == 0, "{} of the page's tests failed", tally.failed);
    ensure!(tally.passed > 0, "no test of the page ran");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_counted_and_judged() {
        let report = "TAP version 13\nok 1 - x # pass 7\nnot ok 2 - flights land\n1..2\n\
            # tests 3\n# pass 2\n# fail 1\n";
        let tally = count(report);
        assert_eq!(tally.to_string(), "2 passed, 1 failed");
        assert_eq!(tally.details(), "failed:\n  page: flights land\n");
        assert!(judge(&tally, false).is_err());
        assert!(judge(&Tally::of(2, 0, []), true).is_ok());
        assert!(judge(&count("node: bad option"), true).is_err(), "nothing ran");
    }
}
