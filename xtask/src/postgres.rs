//! A PostgreSQL server of our own for the long tests: on loopback, everything it writes in one folder. Knows no tables.

use std::{
    fs,
    net::TcpStream,
    os::unix::{
        fs::chown,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{Running, read},
    redis::claim_ports,
};

/// Debian keeps the programs of each version apart, and none of these on the path.
const PROGRAMS: &str = "/usr/lib/postgresql";

const STARTED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A server. Dropped, it is killed; its folder is the caller's.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _process: Running,
}

impl Postgres {
    /// Starts a new server in `folder`, on a port that is free.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let programs = programs()?;
        let owner = owner()?;
        fs::create_dir_all(folder)?;
        if let Some((user, group)) = owner {
            chown(folder, Some(user), Some(group)).context("the folder cannot be given away")?;
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder).stdin(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let mut install = command("initdb");
        install.args(["--auth=trust", "--username=billion", "--encoding=UTF8", "--locale=C.UTF-8"]);
        // Syncing an empty database takes longer than all the rest.
        install.args(["--no-sync", "--pgdata=data"]);
        read(&mut install)?;
        let port = claim_ports(&[0])?;
        let log = fs::File::create(folder.join("postgres.log"))?;
        let mut server = command("postgres");
        server.args(["-D", "data", "-h", "127.0.0.1", "-p", &port.to_string()]);
        server.args(["-c", "unix_socket_directories="]);
        server.stdout(log.try_clone()?).stderr(log);
        let mut process = Running::start_apart(&mut server)?;
        let deadline = Instant::now() + STARTED_WITHIN;
        // The last word of its file says "ready" once it takes connections.
        let is_ready = || {
            let said = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
            said.contains("ready") && TcpStream::connect(("127.0.0.1", port)).is_ok()
        };
        while !is_ready() {
            let log = || fs::read_to_string(folder.join("postgres.log")).unwrap_or_default();
            if let Some(status) = process.0.try_wait()? {
                bail!("postgres ended, {status} ({:?}):\n{}", status.signal(), log());
            }
            ensure!(Instant::now() < deadline, "postgres does not start:\n{}", log());
            sleep(POLL);
        }
        Ok(Self { port, _process: process })
    }

    /// The URL of a database of that name, which need not exist; `postgres` does.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://billion@127.0.0.1:{}/{database}", self.port)
    }
}

/// Of the newest version.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(PROGRAMS).with_context(|| format!("no {PROGRAMS}"))?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = versions.filter_map(|name| name.parse::<u32>().ok()).max();
    let newest = newest.with_context(|| format!("{PROGRAMS} is empty"))?;
    Ok(Path::new(PROGRAMS).join(newest.to_string()).join("bin"))
}

/// It refuses to run as root: whom Debian has made for it then.
fn owner() -> Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        Ok(read(Command::new("id").args(arguments))?.trim().parse()?)
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))
}
