//! `billion import --from-go`: the older server's board, read from its Redis Cluster into a backup, which is
//! then imported like any other, and looked for on the target box by box.
//!
//! Nothing is kept between two runs: one that was killed reads everything again, and merges what is still
//! lacking.

use std::{
    fs::File,
    io::{BufReader, Seek, SeekFrom, Write},
    time::Duration,
};

use actors::board::BOXES_PER_TILE;
use anyhow::{Context, Error, Result, bail};
use indicatif::HumanCount;

use super::{Arguments, Backup, READ_BYTES, spool};
use crate::{
    backup::{Header, bytes_for, encoder::Encoder, reader::Reader, tile},
    commands::{
        WrongArgument,
        progress::Progress,
        remote::Remote,
        source::{self, Source},
    },
    settings::Settings,
    store::{
        cluster::{
            access::Access,
            admin::reach,
            go::{BOXES, GoBoard, Members},
        },
        embedded::merge::Tiles,
    },
};

/// Longest wait for the older server's cluster. It is in use, so it is there; a failover is over by then.
const SOURCE_PATIENCE: Duration = Duration::from_secs(10);

/// Reads the board.
pub fn copy(arguments: &Arguments, settings: &Settings) -> Result<Backup> {
    let header = Header::now(&settings.board.name, BOXES);
    if arguments.to.is_none() {
        // Known before an hour of reading.
        source::expect_board(settings, &header, true).context("the older server's board")?;
    }
    let access = access(&arguments.source, settings)?;
    let name = format!("the older server's board at {}", access.shown());
    let members = read(&access, settings).with_context(|| name.clone())?;
    let mut file = spool(&settings.store.path)?;
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(header, &mut out);
    let pieces = members.bits.chunks(bytes_for(BOXES_PER_TILE));
    for (number, bits) in (0..).zip(pieces) {
        encoder.tile(number, bits, &mut out);
        if out.len() >= READ_BYTES {
            file.write_all(&out)?;
            out.clear();
        }
    }
    let summary = encoder.end(&mut out);
    file.write_all(&out)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Backup { file, summary, name })
}

fn access(source: &[String], settings: &Settings) -> Result<Access> {
    if !source.is_empty() {
        let access = settings.redis.elsewhere(source, "--source");
        return access.map_err(|wrong| WrongArgument(format!("{wrong:#}")).into());
    }
    if !settings.redis.is_used() {
        let text = "no redis.addresses are given: name the older server's cluster with --source";
        return Err(WrongArgument(text.to_owned()).into());
    }
    settings.redis.access()
}

fn read(access: &Access, settings: &Settings) -> Result<Members> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let patience = settings.redis.start_timeout().min(SOURCE_PATIENCE);
    let board = runtime.block_on(async {
        let nodes = reach(access, patience).await?;
        Ok::<_, Error>(GoBoard::find(nodes).await?)
    })?;
    let size = board.size();
    let mut progress = Progress::new("reading", size);
    let members = runtime.block_on(board.read(&mut |read| progress.at(read.min(size))))?;
    drop(progress);
    report(&members, board.counter.as_deref());
    Ok(members)
}

fn report(members: &Members, counter: Option<&[u8]>) {
    let Members { count, illegal, .. } = members;
    log::info!("read {} members of checks_0 to checks_9", HumanCount(*count));
    if illegal.count > 0 {
        log::warn!(
            "{} of them are no box of their set and are passed over, as in: {}",
            HumanCount(illegal.count),
            illegal.examples.join(", ")
        );
    }
    let boxes = count - illegal.count;
    let Some(counter) = counter else {
        return log::warn!("there is no checks_count; it is not needed");
    };
    let told = String::from_utf8_lossy(counter);
    match told.parse::<u64>() {
        Ok(told) if told == boxes => log::info!("checks_count says the same"),
        Ok(told) => log::warn!(
            "checks_count says {}, {} {}: the members are believed",
            HumanCount(told),
            HumanCount(told.abs_diff(boxes)),
            if told > boxes { "more than there are" } else { "fewer than there are" }
        ),
        Err(_) => log::warn!("checks_count is no number ({told:?}): the members are believed"),
    }
}

/// Looks for every box of the backup on the target.
pub fn verify(backup: &Backup, to: Option<&str>, settings: &Settings) -> Result<()> {
    (&backup.file).seek(SeekFrom::Start(0))?;
    let mut reader = open(&backup.file)?;
    let mut progress = Progress::new("verifying", u64::from(backup.summary.tiles));
    let mut done = 0;
    let mut wanted = |bits: &mut Vec<u8>| {
        done += 1;
        progress.at(done);
        Ok(reader.next(bits)?)
    };
    let lacking = match source::find(settings, to)? {
        Source::Store(mut store) => lacking(&mut wanted, &mut |bits| Ok(store.next(bits)?)),
        Source::Cluster(mut cluster) => lacking(&mut wanted, &mut |bits| cluster.next(bits)),
        Source::Server(remote) => on_server(&remote, &mut wanted),
    };
    drop(progress);
    match lacking.context("cannot verify what was imported")? {
        0 => {
            let boxes = HumanCount(backup.summary.checked.into());
            log::info!("verified: all of the {boxes} boxes are there");
            Ok(())
        }
        lacking => bail!("{} boxes are not there: import again", HumanCount(lacking)),
    }
}

fn on_server(remote: &Remote, wanted: Tiles<'_, Error>) -> Result<u64> {
    let answer = BufReader::with_capacity(READ_BYTES, remote.get("/export")?);
    let mut reader = Reader::open(answer)?;
    lacking(wanted, &mut |bits| Ok(reader.next(bits)?))
}

fn open(file: &File) -> Result<Reader<BufReader<&File>>> {
    Ok(Reader::open(BufReader::with_capacity(READ_BYTES, file))?)
}

/// How many boxes of the tiles that `wanted` yields are not in those that `found` yields.
fn lacking(wanted: Tiles<'_, Error>, found: Tiles<'_, Error>) -> Result<u64> {
    let (mut bits, mut known, mut lacking) = (Vec::new(), Vec::new(), 0);
    let mut there = found(&mut known)?;
    while let Some(tile) = wanted(&mut bits)? {
        while there.is_some_and(|there| there < tile) {
            there = found(&mut known)?;
        }
        if there == Some(tile) {
            bits.iter_mut().zip(&known).for_each(|(bits, known)| *bits &= !known);
        }
        lacking += u64::from(tile::count(&bits));
    }
    Ok(lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Yields these tiles, whose boxes are the bits of one byte.
    fn tiles(tiles: &[(u32, u8)]) -> impl FnMut(&mut Vec<u8>) -> Result<Option<u32>> + '_ {
        let mut tiles = tiles.iter();
        move |bits| {
            let Some((tile, byte)) = tiles.next() else { return Ok(None) };
            *bits = vec![*byte];
            Ok(Some(*tile))
        }
    }

    #[test]
    fn every_box_that_is_not_there_is_counted() {
        let count = |wanted, found| {
            lacking(&mut tiles(wanted), &mut tiles(found)).expect("tiles do not fail")
        };
        assert_eq!(count(&[], &[(1, 1)]), 0);
        assert_eq!(count(&[(1, 0b11), (7, 1)], &[(0, 1), (1, 0b111), (7, 0b101), (9, 1)]), 0);
        assert_eq!(count(&[(1, 0b1011)], &[(1, 0b1001)]), 1);
        assert_eq!(count(&[(1, 0b11), (2, 0b111)], &[(0, 0xFF), (3, 0xFF)]), 5);
        assert_eq!(count(&[(1, 0b11), (2, 0b111)], &[(2, 0b11)]), 3);
        assert_eq!(count(&[(1, 0b11)], &[]), 2);
    }
}
