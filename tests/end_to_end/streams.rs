//! What commands say where nobody can listen: a full disk or a closed pipe behind standard output or standard error.

use std::process::Stdio;

use crate::{
    backup::{admin, done},
    harness::server::Setup,
};

/// As a file on a disk without room.
fn full_disk() -> Stdio {
    let file = std::fs::OpenOptions::new().write(true).open("/dev/full");
    file.expect("Linux has it").into()
}

/// As `| true`, whose reader is gone before anything comes.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn output_that_cannot_be_written_is_a_failure_but_never_a_panic() {
    let setup = Setup::new(1_000_000, 1);
    let server = setup.start();
    let (address, url) = (server.admin.to_string(), admin(&server));
    let backup = setup.folder().join("board.bxb");
    let backup = backup.to_str().expect("text");
    done(&setup, &["export", backup, "--from", &url]);
    let printing: [&[&str]; 10] = [
        &["health", "--address", &address],
        &["inspect", "--from", &url],
        &["inspect", "--from", &url, "--json"],
        &["inspect", backup],
        &["export", "-", "--from", &url],
        &["completions", "bash"],
        &["--print-settings"],
        &["--check"],
        &["--help"],
        &["--version"],
    ];
    for words in printing {
        let full = setup.run_on(full_disk(), Stdio::piped(), words);
        assert!(matches!(full.code, Some(0 | 1)), "{words:?}: {full:?}");
        assert!(!full.said.contains("panicked"), "{words:?}: {}", full.said);
        // What clap prints of itself has no exit code for this.
        if !words[0].starts_with("--help") && !words[0].starts_with("--version") {
            assert_eq!(full.code, Some(1), "{words:?}: {}", full.said);
            assert!(full.said.contains("cannot write"), "{words:?}: {}", full.said);
            assert!(full.said.contains("standard output"), "{words:?}: {}", full.said);
        }
        let piped = setup.run_on(closed_pipe(), Stdio::piped(), words);
        assert!(!piped.said.contains("panicked"), "{words:?}: {}", piped.said);
        // Half a backup is none, whoever has stopped reading it.
        let expected = i32::from(words[0] == "export");
        assert_eq!(piped.code, Some(expected), "{words:?}: {}", piped.said);
    }
    drop(server);
    for words in [&["health", "--address", &address][..], &["inspect", "/nowhere"], &["--nonsense"]]
    {
        let deaf = setup.run_on(Stdio::null(), full_disk(), words);
        assert!(matches!(deaf.code, Some(1 | 2)), "{words:?}: {deaf:?}");
    }
    let wrong = setup.with("LIMITER__LIMIT", "text");
    for words in [&["--check"][..], &["--print-settings"], &["health"], &["inspect"]] {
        let deaf = wrong.run_on(Stdio::null(), full_disk(), words);
        assert_eq!(deaf.code, Some(2), "{words:?}: {deaf:?}");
    }
}

#[test]
fn a_backup_is_not_printed_on_a_terminal() {
    let setup = Setup::new(1_000_000, 1);
    let (code, shown) = setup.run_on_terminal(&["export", "-"], "");
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("a backup is no text"), "{shown}");
}
