//! `billion export FILE`: the board of a store or a running server as one file.

use std::{
    io::{self, BufReader, Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Error, Result};
use clap::Args;

use super::{
    WrongArgument,
    output::Output,
    progress::Progress,
    remote::Remote,
    source::{self, Source},
};
use crate::{
    arguments::SettingsArguments,
    backup::{Header, Summary, encoder::Encoder, reader::Reader, tiles_of},
    settings::Settings,
    store::embedded::merge::Tiles,
};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Copy the board into a file, also while it is being played.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to write; - is standard output
    file: PathBuf,
    /// Ask the server whose admin listener this is, as http://host:port [default: the store of the
    /// settings, or the server running on it; a Redis Cluster is read itself]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Replace the file if there is one, once the new one is whole
    #[arg(long)]
    force: bool,
}

/// Exports.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    super::with_settings(settings, |settings| export(arguments, settings))
}

fn export(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let began = Instant::now();
    if source::is_store_of(settings, &arguments.file) {
        let file = arguments.file.display();
        let text = format!(
            "{file} is the store itself, which a backup would replace: choose another name"
        );
        return Err(WrongArgument(text).into());
    }
    let mut output = Output::create(&arguments.file, arguments.force)?;
    let name = output.name();
    let source = source::find(settings, arguments.from.as_deref())?;
    let summary = match source {
        Source::Store(mut snapshot) => {
            let header = Header::now(snapshot.name(), snapshot.boxes());
            cold(header, &mut |bits| Ok(snapshot.next(bits)?), &mut output)
                .with_context(|| format!("nothing was written to {name}"))?
        }
        Source::Cluster(mut cluster) => {
            let board = cluster.admin().board();
            let header = Header::now(board.name(), board.boxes());
            cold(header, &mut |bits| cluster.next(bits), &mut output)
                .with_context(|| format!("nothing was written to {name}"))?
        }
        Source::Server(remote) => {
            let expected = arguments.from.is_none().then_some(settings);
            hot(&remote, expected, &mut output)?
        }
    };
    output.finish()?;
    let Summary { header, tiles, checked, digest, bytes } = summary;
    log::info!(
        "exported board '{}' of {} boxes to {name}: {checked} checked in {tiles} tiles, {:.1} MB in \
         {:.1?}, {digest}",
        header.name,
        header.boxes,
        bytes as f64 / 1e6,
        began.elapsed()
    );
    Ok(())
}

/// From the tiles of a store, as `next` yields them.
fn cold(header: Header, next: Tiles<'_, Error>, output: &mut Output) -> Result<Summary> {
    let mut progress = Progress::new("exporting", u64::from(tiles_of(header.boxes)));
    let mut out = Vec::with_capacity(WRITE_BYTES * 2);
    let mut encoder = Encoder::begin(header, &mut out);
    let mut bits = Vec::new();
    while let Some(tile) = next(&mut bits)? {
        encoder.tile(tile, &bits, &mut out);
        if out.len() >= WRITE_BYTES {
            write(output, &out)?;
            out.clear();
            progress.at(u64::from(tile));
        }
    }
    let summary = encoder.end(&mut out);
    write(output, &out)?;
    Ok(summary)
}

fn write(output: &mut Output, bytes: &[u8]) -> Result<()> {
    output.write_all(bytes).with_context(|| format!("cannot write {}", output.name()))
}

/// From a running server, byte by byte as it sends them, verified on the way.
fn hot(remote: &Remote, expected: Option<&Settings>, output: &mut Output) -> Result<Summary> {
    let name = output.name();
    let mut unwritten = None;
    let copied = remote.get("/export").and_then(|source| {
        copy(Copying { source, copy: output, unwritten: &mut unwritten }, expected)
    });
    copied.map_err(|error| match unwritten {
        // What the reader makes of it is no news.
        Some(error) => Error::from(error).context(format!("cannot write {name}")),
        None => {
            error.context(format!("{name} was not written: the copy from {} failed", remote.name()))
        }
    })
}

fn copy(copying: Copying<'_, impl Read>, expected: Option<&Settings>) -> Result<Summary> {
    let mut reader = Reader::open(BufReader::with_capacity(WRITE_BYTES, copying))?;
    if let Some(settings) = expected {
        source::expect_board(settings, reader.header(), false)
            .context("that server runs on another store; name the right one with --from")?;
    }
    let tiles = tiles_of(reader.header().boxes);
    let mut progress = Progress::new("exporting", u64::from(tiles));
    let mut bits = Vec::new();
    while let Some(tile) = reader.next(&mut bits)? {
        progress.at(u64::from(tile));
    }
    Ok(reader.summary().expect("set when the end was read").clone())
}

/// Writes down what is read through it.
struct Copying<'o, R> {
    source: R,
    copy: &'o mut Output,
    /// Why that failed, if it did.
    unwritten: &'o mut Option<io::Error>,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(out)?;
        let written = self.copy.write_all(&out[..read]);
        written.map(|()| read).map_err(|error| {
            let kind = error.kind();
            *self.unwritten = Some(error);
            kind.into()
        })
    }
}
