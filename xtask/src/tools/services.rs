//! Keeps packages from starting the services they bring while they are installed: nginx would take port 80.
//! Debian asks `/usr/sbin/policy-rc.d` before it starts one. Owns that file while there was none before.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use anyhow::{Context, Result, ensure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// 101 forbids. The comment lets a later run recognize the file, should this one be killed.
const FORBID: &str =
    "#!/bin/sh\n# Written by `cargo xtask` while it installs packages; safe to remove.\nexit 101\n";

/// Runs `install`; an end that is asked for meanwhile comes after it, so that the policy is not left behind.
pub fn kept_from_starting(install: impl FnOnce() -> Result<()>) -> Result<()> {
    let (asked, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_default(signal, over.clone())?;
        flag::register(signal, asked.clone())?;
    }
    let installed = with_policy(Path::new(POLICY), install);
    over.store(true, SeqCst);
    ensure!(!asked.load(SeqCst), "interrupted");
    installed
}

/// A policy that is there already is somebody's decision, and stays.
fn with_policy(policy: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let ours = match OpenOptions::new().write(true).create_new(true).mode(0o755).open(policy) {
        Ok(mut file) => {
            file.write_all(FORBID.as_bytes())?;
            true
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_left_over = fs::read_to_string(policy).is_ok_and(|text| text == FORBID);
            if !is_left_over {
                println!("{} decides which services are started", policy.display());
            }
            is_left_over
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", policy.display()));
        }
    };
    let installed = install();
    if ours {
        fs::remove_file(policy).with_context(|| format!("remove {}", policy.display()))?;
    }
    installed
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use anyhow::bail;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        folder
    }

    #[test]
    fn services_are_forbidden_while_packages_are_installed_and_allowed_again() {
        let folder = folder("forbidden");
        let policy = folder.join("policy-rc.d");
        let forbids = || {
            let mode = fs::metadata(&policy).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "it can be run");
            let status = Command::new("sh").arg(&policy).args(["nginx", "start"]).status();
            assert_eq!(status.expect("it runs").code(), Some(101));
        };
        with_policy(&policy, || {
            forbids();
            Ok(())
        })
        .expect("installed");
        assert!(!policy.exists());
        let failed = with_policy(&policy, || {
            forbids();
            bail!("no such package")
        });
        assert_eq!(failed.expect_err("it failed").to_string(), "no such package");
        assert!(!policy.exists());
        fs::write(&policy, FORBID).expect("as a killed run leaves it");
        with_policy(&policy, || Ok(())).expect("installed");
        assert!(!policy.exists());
        fs::remove_dir_all(folder).expect("it was made above");
    }

    #[test]
    fn a_policy_that_was_there_stays() {
        let folder = folder("stays");
        let policy = folder.join("policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 0\n").expect("a file can be written");
        with_policy(&policy, || Ok(())).expect("installed");
        assert_eq!(fs::read_to_string(&policy).expect("it stays"), "#!/bin/sh\nexit 0\n");
        fs::remove_dir_all(folder).expect("it was made above");
    }
}
