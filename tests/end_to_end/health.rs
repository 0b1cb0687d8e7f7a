//! `billion health`, as supervisors and containers run it.

use std::process::{Command, Output};

use crate::harness::{eventually, server::Setup};

/// Runs `billion health` with these words, and with `admin` as the setting if there is one.
fn health(words: &[&str], admin: Option<&str>) -> Output {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_billion"));
    command.arg("health").args(words).current_dir(empty.path());
    if let Some(admin) = admin {
        command.env("BILLION__ADMIN__ADDRESS", admin);
    }
    command.output().expect("the server's program can be run")
}

#[test]
fn health_tells_ready_from_draining_from_gone() {
    let mut server = Setup::new(1000, 1)
        .with("SERVER__SHUTDOWN_TIMEOUT_S", 60)
        .with("SESSION__CLOSE_TIMEOUT_S", 60)
        .start();
    let admin = server.admin.to_string();
    let every_interface = format!(":{}", server.admin.port());
    for ready in [
        health(&["--address", &admin], None),
        health(&["--store"], Some(&admin)),
        health(&[], Some(&every_interface)),
    ] {
        assert_eq!(ready.status.code(), Some(0), "{ready:?}");
        assert!(String::from_utf8_lossy(&ready.stdout).contains("\"ready\":true"), "{ready:?}");
    }

    // A client that never closes its side keeps the orderly way out waiting.
    let _lingering = server.client();
    server.signal("-TERM");
    let unready = eventually("draining", || {
        let asked = health(&[], Some(&admin));
        (asked.status.code() == Some(1)).then_some(asked)
    });
    let said = String::from_utf8_lossy(&unready.stderr);
    assert!(said.contains("not ready (503)") && said.contains("\"draining\":true"), "{said}");

    server.kill();
    let gone = health(&[], Some(&admin));
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&admin), "{gone:?}");
    assert_eq!(health(&[], Some("nowhere")).status.code(), Some(2), "a mistake in the settings");
}
