//! The load generator, which keeps the books of what many players hear.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where cargo has put `swarm`: beside the server. It is the program of another package, which cargo names to that
/// package's tests alone, and builds for them (`swarm/tests/end_to_end.rs`).
pub fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_billion")).with_file_name("swarm");
    let advice = "swarm is not built: run the tests with `cargo test --workspace`";
    assert!(program.exists(), "{advice} ({})", program.display());
    program
}

/// `swarm`, to be given its command and arguments.
pub fn command() -> Command {
    Command::new(program())
}
