//! Running other programs: where from, with which environment, and never for longer than allowed.

use std::{
    env::{current_exe, var_os, vars_os},
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(20);

/// What proves tests and framing, and is in no server that anybody plays on. Always together, so that it
/// is built once.
pub const TEST_FEATURES: [&str; 2] = ["--features", "faults,echo"];

/// The repository and the folder it is built into.
#[derive(Debug)]
pub struct Workspace {
    /// The root of the repository.
    pub root: PathBuf,
    /// Where cargo puts what it builds in the dev profile, this program among it.
    pub built: PathBuf,
    /// The whole target folder.
    pub target: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// Asks the running program where it is: cargo put it into the target folder.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask is in a workspace")?.to_owned();
        let program = current_exe().context("this program has no path")?;
        let built = program.parent().context("this program is in a folder")?.to_owned();
        let target = built.parent().context("the profile is in the target folder")?.to_owned();
        let cargo = var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Self { root, built, target, cargo })
    }

    /// A cargo command as if typed at the root of the repository.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(&self.root);
        // `cargo run` describes this package to us; for what we build that would be wrong.
        for (name, _) in vars_os() {
            let known = name.to_str().unwrap_or_default();
            if known.starts_with("CARGO_PKG_") || known.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        command
    }
}

/// Runs a command to its end, showing it first; anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    ensure!(status.success(), "`{}`: {status}", shown(command));
    Ok(())
}

/// Runs a command to its end and returns what it wrote to its standard output.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", shown(command)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}`: {}\n{said}", shown(command), output.status);
    String::from_utf8(output.stdout).context("it wrote something that is not UTF-8")
}

/// A command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// CPU seconds that these processes have used since each was started.
///
/// # Errors
///
/// If one of them has ended.
pub fn cpu_seconds(pids: impl IntoIterator<Item = u32>) -> Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let process = procfs::process::Process::new(pid.cast_signed());
        let stat = process.and_then(|process| process.stat());
        let stat = stat.with_context(|| format!("process {pid} has ended"))?;
        ticks += stat.utime + stat.stime;
    }
    Ok(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// A child process that does not outlive us.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot run {}", shown(command)))?;
        Ok(Self(child))
    }

    /// Starts a command whose end is ours to time: the Ctrl-C that reaches us does not reach it.
    pub fn start_apart(command: &mut Command) -> Result<Self> {
        Self::start(command.process_group(0))
    }

    /// SIGTERM.
    pub fn ask_to_end(&self) -> Result<()> {
        // Unless it was waited for, its id is nobody else's.
        kill_process(Pid::from_child(&self.0), Signal::TERM).context("it cannot be signalled")
    }

    /// Waits for its end, which must come within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it did not end within {limit:?}");
            }
            sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
