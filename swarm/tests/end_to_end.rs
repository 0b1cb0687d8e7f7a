//! The program as scripts call it: its exit status and its words.
//!
//! Cargo builds a package's program for that package's integration tests only. The server's end-to-end tests run
//! `swarm` too, so this target has the name of theirs: `cargo test --workspace --test end_to_end` builds both programs.

use std::process::{Command, Output};

fn swarm(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_swarm"))
        .args(arguments)
        .output()
        .expect("swarm can be run");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

#[test]
fn wrong_usage_exits_with_2_and_reports_nothing() {
    let wrong: [&[&str]; 3] =
        [&["fanout", "--rte", "5"], &["stampede"], &["connect", "--url", "http://127.0.0.1:1"]];
    for arguments in wrong {
        let (output, errors) = swarm(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty() && !errors.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_exits_with_1_and_the_seed_that_replays_the_run() {
    let (output, errors) =
        swarm(&["checks", "--url", "ws://127.0.0.1:1", "--seed", "7", "--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("swarm --seed 7: "), "{errors}");
}
