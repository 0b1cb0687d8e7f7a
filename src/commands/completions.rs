//! `billion completions SHELL`: a script that teaches the shell our flags and commands.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::say;
use crate::arguments::Arguments;

/// Prints the script.
pub fn run(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "billion", &mut script);
    say(&script)
}
