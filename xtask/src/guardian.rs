//! Sees to it that the processes of a folder end when we do, however we end.
//!
//! A [`Guardian`] is a small shell that waits for its standard input to end. We hold the other end
//! and nobody else does (Rust closes it in every child before that child's program runs), so it
//! ends when we drop it, leave, panic, or are killed with `kill -9`. The guardian then ends every
//! process whose working folder is inside ours, and removes the folder if that was asked for.
//! Nothing is found by name, and no process id is remembered that could be somebody else's by then.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

/// `$0` is the folder, `$1` how many tenths of a second SIGTERM is given before SIGKILL, `$2` what
/// becomes of the folder. Only `/proc` knows the working folders, and only a shell is there always.
const SCRIPT: &str = r#"
cat >/dev/null
inside() {
    for link in /proc/[0-9]*/cwd; do
        case "$(readlink "$link" 2>/dev/null)/" in
            "$0"/*) pid=${link#/proc/}; echo "${pid%/cwd}" ;;
        esac
    done
}
left=$1
pids=$(inside)
if [ "$left" -gt 0 ] && [ -n "$pids" ]; then kill -TERM $pids 2>/dev/null; fi
while pids=$(inside); [ -n "$pids" ]; do
    if [ "$left" -le 0 ]; then kill -KILL $pids 2>/dev/null; fi
    left=$((left - 1))
    sleep 0.1
done
if [ "$2" = remove ]; then rm -rf -- "$0"; fi
"#;

/// What becomes of the folder when everything in it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// It stays.
    Keep,
    /// It goes, with everything in it.
    Remove,
}

/// Guards one folder. Dropped, it ends what still runs there, and waits until that is done.
#[derive(Debug)]
pub struct Guardian {
    folder: PathBuf,
    shell: Child,
    /// Closed by dropping it, which is the signal.
    alive: Option<ChildStdin>,
}

impl Guardian {
    /// Creates `folder` and guards it from now on. Processes that outlive us are asked to end, and
    /// killed after `grace`.
    pub fn over(folder: &Path, grace: Duration, at_end: Folder) -> Result<Self> {
        Self::start(folder, grace, at_end, Stdio::null())
    }

    /// Likewise, and keeps a copy of `lock` open until all is done.
    pub fn with_lock(folder: &Path, grace: Duration, at_end: Folder, lock: &File) -> Result<Self> {
        let lock = lock.try_clone().context("cannot copy the lock")?;
        // It says nothing there; any descriptor would do that a child is given.
        Self::start(folder, grace, at_end, lock.into())
    }

    fn start(folder: &Path, grace: Duration, at_end: Folder, output: Stdio) -> Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("cannot create {shown}"))?;
        // As the kernel shows working folders: whole, and without links.
        let folder = folder.canonicalize().with_context(|| format!("cannot find {shown}"))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).arg(&folder);
        shell.arg((grace.as_millis() / 100).to_string());
        shell.arg(if at_end == Folder::Remove { "remove" } else { "keep" });
        // Not inside the folder, and not reached by the Ctrl-C that ends us.
        shell.current_dir("/").process_group(0);
        shell.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null());
        let mut shell = shell.spawn().context("cannot run sh")?;
        let alive = shell.stdin.take();
        Ok(Self { folder, shell, alive })
    }

    /// The folder, as the kernel names it. Whoever is to be guarded starts inside.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.alive.take());
        // Nobody is left to tell.
        let _ = self.shell.wait();
    }
}
