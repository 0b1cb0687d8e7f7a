//! `billion import FILE`: merges a backup into the store of a stopped server, into a running one, or
//! into a Redis Cluster, whose servers follow.
//!
//! The file is verified to its end before anything is written. Merging never unchecks a box, so an
//! import that was cut short is simply done again.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Error, Result, bail};
use clap::Args;
use serde::Deserialize;

use super::{cluster::ClusterBoard, interrupt, progress::Progress, remote::Remote, source};
use crate::{
    arguments::SettingsArguments,
    backup::{Summary, reader::Reader},
    routes::backup::RATE_DEFAULT,
    settings::Settings,
    store::embedded::{
        disk::unpublished,
        file_of,
        merge::{Merged, merge},
    },
};
use actors::store::StoreError;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Merge a file into the board, also of a running server; boxes are only ever added.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to read; - is standard input
    file: PathBuf,
    /// Merge into the server whose admin listener this is, as http://host:port [default: the store
    /// of the settings, or the server running on it; into a Redis Cluster itself]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Take a file of a board of another name, too
    #[arg(long)]
    any_name: bool,
    /// Boxes a second that are merged into a running server while anybody is connected; 0: no limit
    #[arg(long, default_value_t = RATE_DEFAULT)]
    rate: u32,
}

/// Imports.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    super::with_settings(settings, |settings| import(arguments, settings))
}

fn import(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let began = Instant::now();
    let mut file = open(&arguments.file, &settings.store.path)?;
    let summary = verify(&mut file).with_context(|| arguments.file.display().to_string())?;
    let (merged, target) = if let Some(url) = &arguments.to {
        let remote = Remote::at(url)?;
        (hot(&remote, file, arguments)?, remote.name())
    } else {
        source::expect_board(settings, &summary.header, arguments.any_name)
            .with_context(|| arguments.file.display().to_string())?;
        match stored(settings, &file, &summary) {
            Err(error) if in_use(&error) => {
                let remote = source::running(settings)?;
                file.seek(SeekFrom::Start(0))?;
                (hot(&remote, file, arguments)?, remote.name())
            }
            done => done?,
        }
    };
    log::info!(
        "imported {} into {target}: {} boxes, {} of them new, in {:.1?}, file {}",
        arguments.file.display(),
        merged.seen,
        merged.added,
        began.elapsed(),
        summary.digest
    );
    Ok(())
}

/// The file, or a copy of standard input, which cannot be read twice. Where there is no room for
/// temporary files (a container with a read-only root), the copy is made in the store's `folder`.
fn open(path: &Path, folder: &Path) -> Result<File> {
    if path != Path::new("-") {
        return File::open(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let copy = tempfile::tempfile().or_else(|_| tempfile::tempfile_in(folder));
    let mut copy = copy.context("no room for a copy of standard input")?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("cannot copy standard input")?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}

fn verify(mut file: &mut File) -> Result<Summary> {
    let summary = Reader::open(BufReader::with_capacity(READ_BYTES, &mut file))?.verify()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(summary)
}

/// Into the store of the settings: what was done, and where.
fn stored(settings: &Settings, file: &File, summary: &Summary) -> Result<(Merged, String)> {
    let mut progress = Progress::new("importing", u64::from(summary.tiles));
    let mut reader = Reader::open(BufReader::with_capacity(READ_BYTES, file))?;
    let mut done = 0;
    let mut next = |bits: &mut Vec<u8>| {
        done += 1;
        progress.at(done);
        Ok::<_, Error>(reader.next(bits)?)
    };
    if let Some(options) = settings.cluster()? {
        let mut cluster = ClusterBoard::make(&options)?;
        let place = cluster.admin().place();
        let merged = cluster.merge(&mut next).context("not all was merged: import again")?;
        return Ok((merged, place));
    }
    // Of a stopped server, in one transaction.
    let (board, folder) = (settings.board(), &settings.store.path);
    interrupt::remove_on_interrupt(&unpublished(&file_of(folder, board.name())));
    Ok((merge(folder, &board, &mut next)?, folder.display().to_string()))
}

fn in_use(error: &Error) -> bool {
    matches!(error.downcast_ref::<StoreError>(), Some(StoreError::InUse(_)))
}

/// A line of a running server's answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Progress { tiles: u64, of: u64 },
    Failed { error: String, added: u64 },
    Done { seen: u64, added: u64 },
}

/// Into a running server, whose players see the boxes appear.
fn hot(remote: &Remote, file: File, arguments: &Arguments) -> Result<Merged> {
    let Arguments { rate, any_name, .. } = arguments;
    let answer = remote.post(&format!("/import?rate={rate}&any_name={any_name}"), file)?;
    let mut progress = None;
    for line in BufReader::new(answer).lines() {
        let line = line.with_context(|| broken_off(remote))?;
        match serde_json::from_str(&line).with_context(|| format!("unexpected: {line}"))? {
            Line::Progress { tiles, of } => {
                progress.get_or_insert_with(|| Progress::new("importing", of)).at(tiles);
            }
            Line::Failed { error, added } => {
                bail!("{}: {error}: {added} boxes were added, import again", remote.name())
            }
            Line::Done { seen, added } => return Ok(Merged { seen, added }),
        }
    }
    bail!("{}", broken_off(remote))
}

fn broken_off(remote: &Remote) -> String {
    format!("{} stopped before all was merged: import again", remote.name())
}
