//! Autobahn's WebSocket cases, run by a suite from PyPI against `/echo`: the server built with the
//! feature `echo` puts the game's own framing behind that path.

use std::{
    collections::BTreeMap,
    env::vars_os,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{self, Running, TEST_FEATURES, Workspace},
    python::{self, Package},
};

/// Runs Autobahn's own cases on Python versions of today.
const SUITE: Package = Package { name: "kosoku", version: "0.1.0", alone: false };

/// Cases 1 to 7, 9 and 10, and of 12 and 13, which are about compression and take minutes, the third of each of
/// their 5 and 7 groups of 18.
const CASES: usize = 301 + 12;
const EXCLUDED: [&str; 4] = ["12.*.[124-9]", "12.*.1[0-8]", "13.*.[124-9]", "13.*.1[0-8]"];

/// The same with the others of each group.
const CASES_LONG: usize = 301 + 12 * 18;

/// Groups that ask for a smaller window than the server has, which it declines: nothing is compressed then.
const DECLINED: [&str; 2] = ["13.3.", "13.5."];

/// The cases take 12 s; one that hangs is given up by the suite itself.
const SUITE_LIMIT: Duration = Duration::from_secs(900);
const START_LIMIT: Duration = Duration::from_secs(30);

/// Builds, runs and judges.
///
/// # Errors
/// If a case fails, or not all of them ran.
pub fn run(workspace: &Workspace, is_long: bool) -> Result<()> {
    let folder = workspace.target.join("conformance");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let suite = python::install(SUITE, &folder.join("venv"))?;
    let program = build(workspace, &folder)?;
    let server = Server::start(&program, &folder)?;

    let reports = folder.join("reports");
    remove(&reports)?;
    let mut command = Command::new(suite.join("python3"));
    command.args(["-c", include_str!("autobahn.py"), "-m", "fuzzingclient"]);
    let (excluded, wanted): (&[&str], _) =
        if is_long { (&[], CASES_LONG) } else { (&EXCLUDED, CASES) };
    for cases in excluded {
        command.args(["-x", cases]);
    }
    command.arg("-o").arg(&reports).arg(format!("ws://{}/echo", server.address));
    println!("$ {}", process::shown(&command));
    // Its exit status is not what is asked: the index tells more.
    Running::start(command.stdin(Stdio::null()))?.wait(SUITE_LIMIT).context("the suite")?;

    let index = reports.join("index.json");
    let read = ["-c", include_str!("verdicts.py")];
    let verdicts = process::read(Command::new(suite.join("python3")).args(read).arg(&index))?;
    judge(&verdicts, &reports, wanted)
}

/// The server with `/echo`, copied to where the next build does not replace it.
fn build(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    // By way of a test that needs the server: built on its own, it would get its dependencies
    // without the features that the tests add to them, which is all of them once more.
    let plain = ["build", "--workspace", "--locked", "--test", "end_to_end"];
    process::run(workspace.cargo(&plain).args(TEST_FEATURES))?;
    let program = folder.join("billion");
    fs::copy(workspace.built.join("billion"), &program).context("cannot copy the server")?;
    // Puts the plain server back, so that nobody plays on one with an echo.
    process::run(&mut workspace.cargo(&plain))?;
    Ok(program)
}

/// The server under test.
struct Server {
    _process: Running,
    address: String,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        remove(&data)?;
        let mut command = Command::new(program);
        for (name, _) in vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("BILLION_")) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(folder)
            .env("BILLION__SERVER__ADDRESS", "127.0.0.1:0")
            .env("BILLION__SERVER__ALLOW_MISSING_ORIGIN", "true")
            .env("BILLION__ADMIN__ADDRESS", "127.0.0.1:0")
            .env("BILLION__STORE__PATH", &data)
            .env("BILLION__BOARD__BOXES", "1000")
            // The suite connects for each case, as fast as it can.
            .env("BILLION__LIMITS__ADDRESS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Running::start(&mut command)?;
        let lines = process.0.stderr.take().context("stderr is piped")?;
        let address = announced(&read_lines(lines))?;
        Ok(Self { _process: process, address })
    }
}

/// What the server says, line by line. Read to its end, so that it never waits to be read.
fn read_lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    // A listening server has said a handful of lines; later ones only go to the screen.
    let (said, lines) = sync_channel(64);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            eprintln!("billion: {line}");
            let _ = said.try_send(line);
        }
    });
    lines
}

fn announced(lines: &Receiver<String>) -> Result<String> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else { bail!("the server does not listen") };
        if let Some((_, address)) = line.split_once("listening on http://") {
            return Ok(address.trim().to_owned());
        }
    }
}

/// Every case must have run, and with a verdict that the protocol allows.
fn judge(verdicts: &str, reports: &Path, wanted: usize) -> Result<()> {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut failed = Vec::new();
    let mut ran = 0;
    for line in verdicts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        // A verdict may be two words long ("WRONG CODE"), the names at both ends are one.
        let [case, verdict, closing @ .., report] = &words[..] else { bail!("a verdict: {line}") };
        let closing = closing.join(" ");
        ran += 1;
        *counts.entry(verdict).or_default() += 1;
        let allowed = |verdict: &str| matches!(verdict, "OK" | "NON-STRICT" | "INFORMATIONAL");
        let is_declined = DECLINED.iter().any(|group| case.starts_with(group));
        let passed = allowed(verdict) || (is_declined && *verdict == "UNIMPLEMENTED");
        if !(passed && allowed(&closing)) {
            println!(
                "case {case}: {verdict}, closing {closing}: {}",
                reports.join(report).display()
            );
            failed.push(*case);
        }
    }
    let counts: Vec<_> =
        counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    println!("{ran} cases: {}", counts.join(", "));
    ensure!(failed.is_empty(), "{} of {ran} cases failed: {}", failed.len(), failed.join(" "));
    ensure!(ran == wanted, "{ran} cases ran, not {wanted}");
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_fail_or_do_not_run_are_named() {
        let reports = Path::new("reports");
        let good: Vec<_> = (1..=CASES).map(|case| format!("1.{case} OK OK r.html")).collect();
        assert!(judge(&good.join("\n"), reports, CASES).is_ok());
        let missing = judge(&good[1..].join("\n"), reports, CASES).unwrap_err();
        assert_eq!(missing.to_string(), "312 cases ran, not 313");
        let mut bad = good;
        bad[6] = "1.7 FAILED OK r.html".into();
        bad[7] = "1.8 OK WRONG CODE r.html".into();
        bad[8] = "1.9 NON-STRICT INFORMATIONAL r.html".into();
        let failed = judge(&bad.join("\n"), reports, CASES).unwrap_err();
        assert_eq!(failed.to_string(), "2 of 313 cases failed: 1.7 1.8");
    }
}
