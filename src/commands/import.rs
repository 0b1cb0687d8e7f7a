//! `billion import FILE`: merges a backup into the store of a stopped server, into a running one, or
//! into a Redis Cluster, whose servers follow.
//!
//! The board of the older server is one more file ([`go`]).
//!
//! The file is verified to its end before anything is written. Merging never unchecks a box, so an
//! import that was cut short is simply done again.

mod go;

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

use super::{
    WrongArgument, cluster::ClusterBoard, interrupt, progress::Progress, remote::Remote, source,
};
use crate::{
    admin::backup::RATE_DEFAULT,
    arguments::SettingsArguments,
    backup::{Summary, reader::Reader},
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
    #[arg(required_unless_present = "from_go")]
    file: Option<PathBuf>,
    /// Take the board of the older server, written in Go, from its Redis Cluster (checks_0 to
    /// checks_9), which is only read and may go on being used; run again to catch up
    #[arg(long, conflicts_with_all = ["file", "any_name"])]
    from_go: bool,
    /// Nodes of the older server's cluster, as in redis.addresses [default: redis.addresses or
    /// REDIS_ADDRESSES: the two boards may share a cluster]
    // A file is named as well as what clap would miss: it does not ask for what conflicts with something given.
    #[arg(
        long,
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        requires = "from_go",
        conflicts_with = "file"
    )]
    source: Vec<String>,
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

/// What is to be imported, verified to its end.
struct Backup {
    file: File,
    summary: Summary,
    /// What messages call it.
    name: String,
}

fn import(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let began = Instant::now();
    // clap does not ask for a flag that conflicts with what is given, which a file does.
    if !arguments.source.is_empty() && !arguments.from_go {
        let text = "--source names the older server's cluster, which is read with --from-go alone";
        return Err(WrongArgument(text.to_owned()).into());
    }
    let backup = match &arguments.file {
        Some(path) => verified(path, settings)?,
        None => go::copy(arguments, settings)?,
    };
    let (merged, target) = merge_into_target(&backup, arguments, settings)?;
    let Backup { summary, name, .. } = &backup;
    log::info!(
        "imported {name} into {target}: {} boxes, {} of them new, in {:.1?}, file {}",
        merged.seen,
        merged.added,
        began.elapsed(),
        summary.digest
    );
    if arguments.from_go {
        go::verify(&backup, arguments.to.as_deref(), settings)?;
    }
    Ok(())
}

fn verified(path: &Path, settings: &Settings) -> Result<Backup> {
    let mut file = open(path, &settings.store.path)?;
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    let summary = verify(&mut file).with_context(|| name.clone())?;
    Ok(Backup { file, summary, name })
}

/// What was done, and where.
fn merge_into_target(
    backup: &Backup,
    arguments: &Arguments,
    settings: &Settings,
) -> Result<(Merged, String)> {
    if let Some(url) = &arguments.to {
        let remote = Remote::at(url)?;
        return Ok((hot(&remote, backup, arguments)?, remote.name()));
    }
    source::expect_board(settings, &backup.summary.header, arguments.any_name)
        .with_context(|| backup.name.clone())?;
    if let Some(remote) = source::bereft(settings)? {
        return Ok((hot(&remote, backup, arguments)?, remote.name()));
    }
    match stored(settings, backup) {
        Err(error) if in_use(&error) => {
            let remote = source::running(settings)?;
            Ok((hot(&remote, backup, arguments)?, remote.name()))
        }
        done => done,
    }
}

/// The file, or a copy of standard input, which cannot be read twice.
fn open(path: &Path, folder: &Path) -> Result<File> {
    if path != Path::new("-") {
        return File::open(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut copy = spool(folder)?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("cannot copy standard input")?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}

/// A file without a name. Where there is no room for temporary files (a container with a read-only
/// root), it is made in the store's `folder`.
fn spool(folder: &Path) -> Result<File> {
    let file = tempfile::tempfile().or_else(|_| tempfile::tempfile_in(folder));
    file.context("no room for a temporary file")
}

fn verify(mut file: &mut File) -> Result<Summary> {
    let summary = Reader::open(BufReader::with_capacity(READ_BYTES, &mut file))?.verify()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(summary)
}

/// Into the store of the settings.
fn stored(settings: &Settings, backup: &Backup) -> Result<(Merged, String)> {
    let mut progress = Progress::new("importing", u64::from(backup.summary.tiles));
    let mut reader = Reader::open(BufReader::with_capacity(READ_BYTES, &backup.file))?;
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
fn hot(remote: &Remote, backup: &Backup, arguments: &Arguments) -> Result<Merged> {
    let rate = arguments.rate;
    // The older server's board has no name.
    let any_name = arguments.any_name || arguments.from_go;
    let mut file = backup.file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
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
