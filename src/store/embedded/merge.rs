//! The bulk way into a stopped server's database: ORs whole tiles into its chunks.
//!
//! All of it is one transaction, so whatever ends it early (a damaged source, a full disk, `kill -9`)
//! leaves the database as it was; a new database gets its name only after that transaction. The log
//! is left alone: what it holds goes on being ORed in, so merging twice changes nothing. While it runs
//! the file holds old and new chunks, at most twice the board.

use std::{fs, path::Path};

use actors::{
    board::{BOXES_PER_TILE, Board},
    store::StoreError,
};
use redb::{ReadableTable, Table};

use super::{
    checkpoint::Checkpoint,
    disk::{CHUNKS, Disk, open_chunk, unpublished},
    fault::Fault,
    format::{BOXES_PER_CHUNK, CHUNK_BYTES, Seal, seal_value, set_bits},
};
use crate::backup::{bytes_for, tile};

const TILES_PER_CHUNK: u32 = BOXES_PER_CHUNK / BOXES_PER_TILE;

/// What a merge has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Boxes that were in the source.
    pub seen: u64,
    /// Boxes of those that the database did not have.
    pub added: u64,
}

/// Where tiles come from: fills in the next one's bits and returns its number, `None` at the end.
pub type Tiles<'t, E> = &'t mut dyn FnMut(&mut Vec<u8>) -> Result<Option<u32>, E>;

/// ORs the tiles that `next` yields, ascending and each from the board, into the board's database in
/// `folder`, which is made if missing.
pub fn merge<E: From<StoreError>>(
    folder: &Path,
    board: &Board,
    next: Tiles<'_, E>,
) -> Result<Merged, E> {
    let mut log = Checkpoint::new(board.boxes(), u64::MAX);
    let (mut disk, new) = Disk::open_or_prepare(folder, board, &mut |_, indexes| log.add(indexes))?;
    let mut failed = None;
    let changed = disk.change(|txn, seal| {
        let mut merging =
            Merging { chunks: txn.open_table(CHUNKS)?, seal, log: &log, done: Merged::default() };
        match merging.all(next) {
            Ok(done) => done,
            Err(error) => {
                failed = Some(error);
                // Never told: only undoes the transaction.
                Err(Fault::Other("is left as it was".into()))
            }
        }
    });
    let merged = match (failed, changed) {
        (Some(error), _) => Err(error),
        (None, Ok(done)) if new => disk.publish().map(|()| done).map_err(E::from),
        (None, changed) => changed.map_err(E::from),
    };
    let fresh = unpublished(disk.path());
    disk.close();
    if new && merged.is_err() {
        // If it stays, the next one to create this database begins it anew.
        let _ = fs::remove_file(fresh);
    }
    merged
}

struct Merging<'t> {
    chunks: Table<'t, u32, &'static [u8]>,
    seal: &'t mut Seal,
    log: &'t Checkpoint,
    done: Merged,
}

impl Merging<'_> {
    /// `Err`: the source failed. `Ok(Err)`: the database did.
    fn all<E>(&mut self, next: Tiles<'_, E>) -> Result<Result<Merged, Fault>, E> {
        let mut bits = Vec::new();
        let mut body = vec![0; CHUNK_BYTES];
        let mut gathering: Option<u32> = None;
        while let Some(number) = next(&mut bits)? {
            let chunk = number / TILES_PER_CHUNK;
            if let Some(before) = gathering.filter(|before| *before != chunk) {
                if let Err(fault) = self.chunk(before, &body) {
                    return Ok(Err(fault));
                }
                body.fill(0);
            }
            gathering = Some(chunk);
            let start = (number % TILES_PER_CHUNK) as usize * bytes_for(BOXES_PER_TILE);
            body[start..start + bits.len()].copy_from_slice(&bits);
        }
        let last = gathering.map_or(Ok(()), |chunk| self.chunk(chunk, &body));
        Ok(last.map(|()| self.done))
    }

    /// ORs `bits` into one chunk; a chunk that has them all is not written.
    fn chunk(&mut self, chunk: u32, bits: &[u8]) -> Result<(), Fault> {
        let (mut body, old) = match self.chunks.get(chunk)? {
            Some(stored) => {
                let (body, checksum) = open_chunk(chunk, stored.value())?;
                (body.to_vec(), Some(checksum))
            }
            None => (vec![0; CHUNK_BYTES], None),
        };
        let mut known = body.clone();
        set_bits(&mut known, chunk, self.log.missing(chunk));
        let before = tile::count(&known);
        or_into(&mut known, bits);
        self.done.seen += u64::from(tile::count(bits));
        self.done.added += u64::from(tile::count(&known) - before);
        if !or_into(&mut body, bits) {
            return Ok(());
        }
        let new = seal_value(&chunk.to_le_bytes(), &mut body);
        self.chunks.insert(chunk, body.as_slice())?;
        self.seal.replace_chunk(old, new);
        Ok(())
    }
}

/// Whether anything changed.
fn or_into(into: &mut [u8], bits: &[u8]) -> bool {
    let mut changed = 0;
    for (into, bits) in into.iter_mut().zip(bits) {
        changed |= bits & !*into;
        *into |= bits;
    }
    changed != 0
}
