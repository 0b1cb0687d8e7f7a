//! A MariaDB server of our own for tests: on loopback, everything it writes in one folder. Knows no tables.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    process::{Running, read},
    redis::claim_ports,
};

/// Where Debian has it, which is not on everybody's path.
pub const SERVER: &str = "/usr/sbin/mariadbd";

/// Makes the tables that a server itself needs.
const INSTALLER: &str = "mariadb-install-db";

/// Starting takes a second on an idle core.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// An empty database.
pub const DATABASE: &str = "billion";

/// A user for all databases; the server is on loopback and lasts as long as the test.
const USER: &str = "CREATE DATABASE IF NOT EXISTS billion;
CREATE USER IF NOT EXISTS 'billion'@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO 'billion'@'127.0.0.1';
";

/// A server. Dropped, it is killed; its folder is the caller's.
#[derive(Debug)]
pub struct MariaDb {
    folder: PathBuf,
    port: u16,
    process: Mutex<Option<Running>>,
}

impl MariaDb {
    /// Starts a new server in `folder`, on a port that is free.
    ///
    /// # Errors
    /// If it is not installed or does not start; with the end of its log.
    pub fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let server =
            Self { folder: folder.to_owned(), port: claim_ports(&[0])?, process: Mutex::default() };
        let mut install = Command::new(INSTALLER);
        install.args(["--no-defaults", "--skip-name-resolve", "--skip-test-db"]);
        install.arg("--auth-root-authentication-method=normal").arg(server.data());
        install.args(as_root()?).env("TMPDIR", folder).current_dir(folder).stdin(Stdio::null());
        read(&mut install)?;
        fs::write(server.init_file(), USER)?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts it with what it had before, on the same port.
    ///
    /// # Errors
    /// If it runs, or does not start.
    pub fn start_again(&self) -> Result<()> {
        let mut process = self.process();
        ensure!(process.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(SERVER);
        command.arg("--no-defaults").arg(self.data());
        command.args(["--bind-address=127.0.0.1", &format!("--port={}", self.port)]);
        command.arg(path("--socket", &self.folder.join("socket")));
        command.arg(path("--pid-file", &self.folder.join("pid")));
        command.arg(path("--init-file", &self.init_file()));
        // Without settings it takes text for Latin, as no installed server does; 16 MiB are enough for tests.
        command.args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=16M"]);
        command.args(["--skip-name-resolve", "--skip-log-bin"]).args(as_root()?);
        // The guardian of the folder finds it there.
        // Of its own: at its start a server removes what it finds of others.
        command.env("TMPDIR", &self.folder).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let started = process.insert(Running::start_apart(&mut command)?);
        let deadline = Instant::now() + STARTED_WITHIN;
        while !self.has_said_that_it_is_ready(started.0.id())? {
            if let Some(status) = started.0.try_wait()? {
                bail!("mariadbd ended, {status}:\n{}", self.last_lines());
            }
            ensure!(Instant::now() < deadline, "mariadbd does not start:\n{}", self.last_lines());
            sleep(POLL);
        }
        Ok(())
    }

    /// It answers, and its socket is not that of somebody else on the same port.
    fn has_said_that_it_is_ready(&self, pid: u32) -> Result<bool> {
        let said = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        let is_ours = said.trim() == pid.to_string();
        Ok(is_ours && TcpStream::connect(("127.0.0.1", self.port)).is_ok())
    }

    /// The URL of a database of that name, which need not exist; [`DATABASE`] does.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://billion:secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database.
    ///
    /// # Errors
    /// If there is one of that name, or it does not run.
    pub fn create(&self, database: &str) -> Result<()> {
        let made = Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=billion"])
            .arg(format!("--port={}", self.port))
            .args(["--password=secret", "--execute", &format!("CREATE DATABASE {database}")])
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&self) {
        // Dropped, it is killed.
        drop(self.process().take());
        let _ = fs::remove_file(self.folder.join("pid"));
    }

    /// SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> Result<()> {
        let Some(mut process) = self.process().take() else { return Ok(()) };
        process.ask_to_end()?;
        let status = process.wait(ENDED_WITHIN)?;
        ensure!(status.success(), "mariadbd ended, {status}:\n{}", self.last_lines());
        Ok(())
    }

    /// SIGSTOP: it keeps its connections and does nothing any more.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process();
        let process = process.as_ref().context("it does not run")?;
        // Unless it was waited for, its id is nobody else's.
        kill_process(Pid::from_child(&process.0), signal).context("it cannot be signalled")
    }

    fn process(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> String {
        path("--datadir", &self.folder.join("data"))
    }

    fn init_file(&self) -> PathBuf {
        self.folder.join("init.sql")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("mariadb.log")
    }

    fn last_lines(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn path(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}

/// Run by root, it wants to be told so.
fn as_root() -> Result<Option<&'static str>> {
    Ok((read(Command::new("id").arg("-u"))?.trim() == "0").then_some("--user=root"))
}
