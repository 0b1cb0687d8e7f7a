//! `billion reset`: unchecks every box of a board in a Redis Cluster, for everybody and for good. The one
//! command that takes boxes away, so it says what is at stake and wants to be told twice.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::HumanCount;

use super::{WrongArgument, cluster::ClusterBoard};
use crate::{arguments::SettingsArguments, settings::Settings, store::embedded::file_of};

/// Uncheck every box of a board in a Redis Cluster; nodes that serve it follow at once.
///
/// Make a copy before (billion export FILE): there is no other way back. Every player is sent away
/// for a moment (1012) and comes back to an empty board. What was begun and broke off is finished by
/// resetting again.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Do it without asking; needed where there is no terminal to ask on
    #[arg(long)]
    yes: bool,
}

/// Resets.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    super::with_settings(settings, |settings| reset(arguments, settings))
}

fn reset(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let Some(options) = settings.cluster()? else { return Err(embedded(settings).into()) };
    let mut cluster = ClusterBoard::find(&options)?;
    let (place, board) = (cluster.admin().place(), cluster.admin().board().clone());
    let checked = cluster.checked()?;
    log::warn!(
        "board '{}' of {} boxes in {place}: {} checked boxes will be unchecked for everybody, and there \
         is no way back but a copy made before (billion export FILE)",
        board.name(),
        HumanCount(board.boxes().into()),
        HumanCount(checked)
    );
    if !arguments.yes {
        confirm(board.name())?;
    }
    let began = Instant::now();
    let reset = cluster.reset()?;
    log::info!(
        "board '{}' was reset: all of its {} key ranges were emptied and looked at again (epoch {}), \
         in {:.1?}; {} checked since",
        board.name(),
        board.shards(),
        reset.epoch,
        began.elapsed(),
        HumanCount(reset.checked_since)
    );
    Ok(())
}

/// Has the board's name typed.
fn confirm(name: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        let text = "there is no terminal to ask on: say --yes if every box is to be unchecked";
        return Err(WrongArgument(text.to_owned()).into());
    }
    // Whoever does not see the question has not typed the name either.
    let _ = write!(io::stderr(), "Type the board's name to uncheck every box: ");
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).context("cannot read the answer")?;
    if typed.trim() != name {
        bail!("that is not '{name}': nothing was changed");
    }
    Ok(())
}

/// A file is moved away in a moment, and is its own copy then; a command could only do worse.
fn embedded(settings: &Settings) -> WrongArgument {
    let file = file_of(&settings.store.path, &settings.board.name);
    WrongArgument(format!(
        "no redis.addresses are given, so the board is in {}: to begin anew, stop the server and move \
         that file away",
        file.display()
    ))
}
