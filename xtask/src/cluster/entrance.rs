//! nginx in front of the nodes, by the very configuration that operators are given, with this
//! cluster's addresses in it.

use std::{
    fmt, fs,
    io::ErrorKind,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{POLL, ports::Ports};
use crate::process::{Running, Workspace};

/// What nginx is to do with several nodes, and what that includes.
pub const CONFIGURATION: &str = "docker/nginx.conf";
const INCLUDED: &str = "nginx-proxy.conf";

/// Where the configuration has nginx and nodes listen.
const PORT: &str = "8080";

/// Where Debian puts it, which is not on everybody's path.
const NGINX: &str = "/usr/sbin/nginx";
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// A running nginx. Ended when dropped.
pub struct Entrance {
    process: Running,
    port: u16,
    log: PathBuf,
}

impl Entrance {
    /// Starts it; nothing, if there is no configuration for several nodes.
    pub fn start(workspace: &Workspace, folder: &Path, ports: &Ports) -> Result<Option<Self>> {
        let given = match fs::read_to_string(workspace.root.join(CONFIGURATION)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            given => given.with_context(|| format!("cannot read {CONFIGURATION}"))?,
        };
        let folder = folder.join("nginx");
        fs::create_dir_all(&folder)?;
        let included = workspace.root.join("docker").join(INCLUDED);
        fs::copy(included, folder.join(INCLUDED)).with_context(|| format!("no {INCLUDED}"))?;
        fs::write(folder.join("nginx.conf"), adapt(&given, &folder, ports)?)?;
        let log = folder.join("nginx.log");
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        // Before it reads the configuration it would complain in a file that only root may write.
        command.arg("-e").arg("stderr").args(["-g", "daemon off;"]).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        ensure!(
            Path::new(NGINX).exists(),
            "{NGINX} is missing; on Debian: apt-get install nginx-light"
        );
        let process = Running::start_apart(&mut command)?;
        let mut entrance = Self { process, port: ports.entrance, log };
        entrance.wait_until_it_listens()?;
        Ok(Some(entrance))
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + STARTED_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("nginx does not listen:\n{said}");
            }
            sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        // Its workers end with it, but not if it is killed. If it does not, the guardian is left.
        let _ = self.process.ask_to_end().and_then(|()| self.process.wait(STARTED_WITHIN));
    }
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, log, .. } = self;
        write!(
            f,
            "nginx   http://127.0.0.1:{port}/  log {}\n        players go here",
            log.display()
        )
    }
}

/// The configuration with this cluster's nodes in place of those that it names, which may be any
/// number of them, and with everything that nginx writes in `folder`.
fn adapt(given: &str, folder: &Path, ports: &Ports) -> Result<String> {
    let mut adapted = String::new();
    let mut last = None;
    let (mut nodes, mut listeners) = (0, 0);
    for line in given.lines() {
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        let upstream = words
            .strip_prefix("server ")
            .and_then(|server| server.split_once(&format!(":{PORT} ")))
            .map(|(_, how)| how);
        if let Some(how) = upstream {
            // The same words behind the address: another node of the same kind.
            if last != Some(how) {
                for node in &ports.nodes {
                    adapted += &format!("{indent}server 127.0.0.1:{} {how}\n", node.players);
                }
                nodes += 1;
            }
            last = Some(how);
            continue;
        }
        if let Some(how) = words.strip_prefix("listen ").and_then(|how| how.strip_prefix(PORT)) {
            adapted += &format!("{indent}listen 127.0.0.1:{}{how}\n", ports.entrance);
            listeners += 1;
        } else if words.starts_with("pid ") {
            adapted += &format!("pid {}/pid;\n", folder.display());
        } else {
            adapted += line;
            adapted.push('\n');
        }
        if words == "http {" {
            for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                adapted += &format!("    {name}_temp_path {}/{name};\n", folder.display());
            }
        }
    }
    if nodes == 0 || listeners != 1 {
        return Err(anyhow!("{CONFIGURATION} is not as expected: no node or listener at {PORT}"));
    }
    Ok(adapted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_gets_this_clusters_addresses() {
        let given = "pid /run/nginx.pid;\nhttp {\n    upstream b {\n        server a:8080 x=1;\n        \
                     server b:8080 x=1;\n        server a:8080 backup;\n    }\n    listen 8080 reuseport;\n}\n";
        let ports = Ports::new(80, 7001, 3).unwrap();
        let adapted = adapt(given, Path::new("/f"), &ports).unwrap();
        for line in
            ["pid /f/pid;", "    proxy_temp_path /f/proxy;", "    listen 127.0.0.1:80 reuseport;"]
        {
            assert!(adapted.lines().any(|had| had == line), "{adapted}");
        }
        let servers: Vec<_> = adapted
            .lines()
            .filter_map(|line| line.trim().strip_prefix("server 127.0.0.1:"))
            .collect();
        let wanted = ["81 x=1;", "82 x=1;", "83 x=1;", "81 backup;", "82 backup;", "83 backup;"];
        assert_eq!(servers, wanted);
        assert!(adapt("http {\n    listen 8080;\n}\n", Path::new("/f"), &ports).is_err());
    }
}
