//! `billion inspect [FILE]`: verifies everything in a store, a file or a running server's board, and
//! says what is in it.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use actix_web::http::header::HttpDate;
use anyhow::{Context, Error, Result, bail};
use clap::Args;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::{
    cluster::ClusterBoard,
    progress::Progress,
    remote::Remote,
    source::{self, Source},
};
use crate::{
    arguments::SettingsArguments,
    backup::{
        MAGIC, boxes_in,
        digest::{Digest, Digesting},
        reader::Reader,
        tile, tiles_of,
    },
    numbers::counted,
    settings::Settings,
    store::embedded::snapshot::Snapshot,
};
use actors::store::StoreError;

/// How many of the densest tiles are named.
const DENSEST: usize = 5;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// First bytes of the store's database files.
const DATABASE_MAGIC: &[u8] = b"redb";

/// Verify a store, a file or a running server's board, and say what is in it.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A backup (- is standard input) or a store's .redb file [default: the store of the settings, or
    /// the server running on it]
    #[arg(conflicts_with = "from")]
    file: Option<PathBuf>,
    /// Ask the server whose admin listener this is, as http://host:port
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Inspects.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    super::with_settings(settings, |settings| inspect(arguments, settings))
}

fn inspect(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let inspected = examine(arguments, settings);
    if let (Err(error), true) = (&inspected, arguments.json) {
        let told = json!({ "sound": false, "problem": format!("{error:#}") });
        super::print(format!("{told}\n").as_bytes())?;
    }
    let (facts, census) = inspected?;
    let told =
        if arguments.json { format!("{}\n", census.json(&facts)) } else { census.text(&facts) };
    super::print(told.as_bytes())
}

/// What is known beside the boxes: label, text, key, value.
type Facts = Vec<(&'static str, String, &'static str, Value)>;

fn examine(arguments: &Arguments, settings: &Settings) -> Result<(Facts, Census)> {
    if let Some(path) = &arguments.file {
        return file(path, settings);
    }
    match source::find(settings, arguments.from.as_deref())? {
        Source::Store(snapshot) => store(*snapshot),
        Source::Cluster(board) => cluster(*board),
        Source::Server(remote) => server(&remote),
    }
}

/// A backup or a database: its first bytes tell.
fn file(path: &Path, settings: &Settings) -> Result<(Facts, Census)> {
    if path == Path::new("-") {
        let read = backup(io::stdin().lock());
        let (mut facts, census) = read.context("standard input")?;
        facts.insert(0, fact("backup", "standard input".into(), "source", "-".into()));
        return Ok((facts, census));
    }
    let name = path.display().to_string();
    let (start, length) = beginning(path).with_context(|| name.clone())?;
    if start.starts_with(DATABASE_MAGIC) {
        return match Snapshot::open(path) {
            Ok(snapshot) => store(snapshot),
            Err(StoreError::InUse(_)) if source::is_store_of(settings, path) => {
                server(&source::running(settings)?)
            }
            Err(StoreError::InUse(_)) => bail!(
                "{name} is in use by a running server: ask that one, with --from \
                 http://<its admin.address> in place of the file"
            ),
            Err(error) => Err(error.into()),
        };
    }
    let read = File::open(path).map_err(Error::from).and_then(backup);
    let (mut facts, census) = read.with_context(|| name.clone())?;
    facts.insert(0, fact("backup", name.clone(), "source", name.into()));
    facts.push(fact("file", megabytes(length), "file_bytes", length.into()));
    Ok((facts, census))
}

/// The first bytes of a file, and how many there are.
fn beginning(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let (mut file, mut start) = (File::open(path)?, vec![0; MAGIC.len()]);
    let length = file.metadata()?.len();
    let read = file.read(&mut start)?;
    start.truncate(read);
    Ok((start, length))
}

fn server(remote: &Remote) -> Result<(Facts, Census)> {
    let copied = backup(remote.get("/export")?).with_context(|| remote.name());
    let (mut facts, census) = copied?;
    facts.insert(0, fact("server", remote.name(), "source", remote.name().into()));
    Ok((facts, census))
}

fn backup(source: impl Read) -> Result<(Facts, Census)> {
    let mut reader = Reader::open(BufReader::with_capacity(READ_BYTES, source))?;
    let header = reader.header().clone();
    let census = Census::take(&header.name, header.boxes, |bits| Ok(reader.next(bits)?))?;
    let summary = reader.summary().expect("set when the end was read");
    debug_assert_eq!(summary.digest, census.digest, "one definition of the digest");
    let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(header.created_s));
    // A checksum covers the time, but not what a clock said.
    let created =
        created.map_or_else(|| "never".to_owned(), |time| HttpDate::from(time).to_string());
    Ok((vec![fact("made", created, "created_s", header.created_s.into())], census))
}

fn store(mut snapshot: Snapshot) -> Result<(Facts, Census)> {
    let path = snapshot.path().display().to_string();
    let length = snapshot.path().metadata()?.len();
    let ((entries, log_bytes), chunks) = (snapshot.log(), snapshot.chunks());
    let credits = snapshot.credits();
    let log = format!("{entries} entries, {}", megabytes(log_bytes));
    let facts = vec![
        fact("store", path.clone(), "source", path.into()),
        fact("log", log, "log_entries", entries.into()),
        fact("chunks", chunks.to_string(), "chunks", chunks.into()),
        fact("credits", counted(credits, "counter", "counters"), "credits", credits.into()),
        fact("file", megabytes(length), "file_bytes", length.into()),
    ];
    let (name, boxes) = (snapshot.name().to_owned(), snapshot.boxes());
    let census = Census::take(&name, boxes, |bits| Ok(snapshot.next(bits)?))?;
    Ok((facts, census))
}

fn cluster(mut board: ClusterBoard) -> Result<(Facts, Census)> {
    let kept = board.admin().board().clone();
    let (place, epoch) = (board.admin().place(), board.admin().epoch());
    let census = Census::take(kept.name(), kept.boxes(), |bits| board.next(bits))?;
    if let Some(first) = board.miscounted().first() {
        bail!(
            "{} of {} key ranges of {kept} hold other boxes than they have counted, shard {} \
             first: somebody else has written into them",
            board.miscounted().len(),
            kept.shards(),
            first.0
        );
    }
    let facts = vec![
        fact("cluster", place.clone(), "source", place.into()),
        fact("shards", kept.shards().to_string(), "shards", kept.shards().into()),
        fact("epoch", epoch.to_string(), "epoch", epoch.into()),
    ];
    Ok((facts, census))
}

fn fact(
    label: &'static str,
    text: String,
    key: &'static str,
    value: Value,
) -> (&'static str, String, &'static str, Value) {
    (label, text, key, value)
}

/// What all tiles together hold.
struct Census {
    name: String,
    boxes: u32,
    checked: u64,
    tiles: u32,
    /// Checked boxes and number, densest first.
    densest: Vec<(u32, u32)>,
    digest: Digest,
}

impl Census {
    /// Counts the tiles that `next` yields.
    fn take(
        name: &str,
        boxes: u32,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<Option<u32>>,
    ) -> Result<Self> {
        let mut progress = Progress::new("inspecting", u64::from(tiles_of(boxes)));
        let (mut digest, mut bits) = (Digesting::new(boxes), Vec::new());
        let (mut checked, mut tiles, mut densest) = (0, 0, Vec::new());
        while let Some(number) = next(&mut bits)? {
            let count = tile::count(&bits);
            checked += u64::from(count);
            tiles += 1;
            digest.tile(number, &bits);
            densest.push((count, number));
            densest.sort_unstable_by_key(|(count, number)| (std::cmp::Reverse(*count), *number));
            densest.truncate(DENSEST);
            progress.at(u64::from(number));
        }
        let (name, digest) = (name.to_owned(), digest.finish());
        Ok(Self { name, boxes, checked, tiles, densest, digest })
    }

    fn text(&self, facts: &Facts) -> String {
        let mut lines = Vec::new();
        let (first, rest) = facts.split_first().expect("the source comes first");
        lines.push((first.0, first.1.clone()));
        lines
            .push(("board", format!("'{}' of {} boxes", self.name, HumanCount(self.boxes.into()))));
        let share = percent(self.checked, self.boxes.into());
        lines.push(("checked", format!("{} boxes ({share})", HumanCount(self.checked))));
        let all = HumanCount(tiles_of(self.boxes).into());
        lines.push(("tiles", format!("{} of {all} touched", HumanCount(self.tiles.into()))));
        for (place, (count, number)) in self.densest.iter().enumerate() {
            let share = percent((*count).into(), boxes_in(*number, self.boxes).into());
            let label = if place == 0 { "densest" } else { "" };
            lines
                .push((label, format!("tile {number}: {} ({share})", HumanCount((*count).into()))));
        }
        lines.extend(rest.iter().map(|(label, text, ..)| (*label, text.clone())));
        // Redis keeps none; there, counts were compared.
        let checked = if first.0 == "cluster" { "counts" } else { "checksums" };
        lines.push((checked, "all right".to_owned()));
        lines.push(("digest", self.digest.to_string()));
        let bold = io::stdout().is_terminal();
        let line = |(label, text): (&str, String)| {
            let label = format!("{label:<10}");
            if bold {
                format!("\x1b[1m{label}\x1b[0m {text}\n")
            } else {
                format!("{label} {text}\n")
            }
        };
        lines.into_iter().map(line).collect()
    }

    fn json(&self, facts: &Facts) -> Value {
        let densest = self.densest.iter();
        let densest = densest.map(|(count, tile)| json!({ "tile": tile, "checked": count }));
        let mut object = json!({
            "sound": true,
            "board": self.name,
            "boxes": self.boxes,
            "checked": self.checked,
            "tiles": tiles_of(self.boxes),
            "tiles_touched": self.tiles,
            "densest": densest.collect::<Vec<_>>(),
            "digest": self.digest.to_string(),
        });
        for (_, _, key, value) in facts {
            object[*key] = value.clone();
        }
        object
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}
