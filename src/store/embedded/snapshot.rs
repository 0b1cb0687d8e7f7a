//! The database of a stopped server, read and verified from end to end, tile by tile.
//!
//! Opened read-only, and the file stays byte for byte as it was. If the server that had it was killed, the
//! engine has to repair it first, which happens in memory ([`Overlay`]). The engine's lock keeps a server
//! from starting meanwhile.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use actors::{
    board::{BOXES_PER_TILE, Board},
    store::StoreError,
};
use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadOnlyTable, ReadTransaction,
    ReadableDatabase,
};

use super::{
    checkpoint::Checkpoint,
    credits::{self, CreditSeal},
    disk::{
        CACHE_BYTES, CHUNKS, check_format, check_record, damaged, open_chunk, open_engine,
        read_meta, verify_chunks, verify_log,
    },
    fault::{Fault, guarded},
    format::{BOXES_PER_CHUNK, BoardRecord, CHUNK_BYTES, Seal, set_bits},
    overlay::Overlay,
};
use crate::backup::{boxes_in, bytes_for, tiles_of};

const TILES_PER_CHUNK: u32 = BOXES_PER_CHUNK / BOXES_PER_TILE;

/// An open and verified database.
pub struct Snapshot {
    path: PathBuf,
    record: BoardRecord,
    seal: Seal,
    credits: CreditSeal,
    log: Checkpoint,
    chunks: ReadOnlyTable<u32, &'static [u8]>,
    /// Holds the file's lock.
    _engine: Engine,
    /// The chunk at hand, log included.
    chunk: Vec<u8>,
    next: u32,
}

/// Kept open for as long as it is read.
enum Engine {
    Untouched(#[expect(dead_code, reason = "held for its lock")] ReadOnlyDatabase),
    Repaired(#[expect(dead_code, reason = "held for its lock")] Database),
}

/// Whether the database at `path` can be opened and is one of `board`. Its content is not verified.
pub fn check(path: &Path, board: &Board) -> Result<(), StoreError> {
    let read = || {
        let (_engine, txn) = open_reading(path)?;
        check_record(&read_meta(&txn, BoardRecord::KEY, BoardRecord::decode)?, board)
    };
    with_file(path, read)
}

/// Does `work` with the file at `path`, if it is one with something in it.
fn with_file<T>(path: &Path, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!(
                "{} is not there: no board has been kept in that folder yet",
                path.display()
            );
            return Err(StoreError::Unusable(text.into()));
        }
        metadata => metadata.map_err(|error| Fault::from(error).at(path))?,
    };
    let done = if !metadata.is_file() {
        Err(Fault::Other("is not a file".into()))
    } else if metadata.len() == 0 {
        Err(damaged("it is empty".into()))
    } else {
        guarded(work)
    };
    done.map_err(|fault| fault.at(path))
}

impl Snapshot {
    /// Opens the database at `path` and verifies everything in it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        with_file(path, || Self::verified(path))
    }

    fn verified(path: &Path) -> Result<Self, Fault> {
        let (engine, txn) = open_reading(path)?;
        if matches!(engine, Engine::Repaired(_)) {
            log::info!(
                "{} was not closed cleanly: it is repaired in memory, and stays as it is",
                path.display()
            );
        }
        let record = read_meta(&txn, BoardRecord::KEY, BoardRecord::decode)?;
        check_format(&record)?;
        let seal = read_meta(&txn, Seal::KEY, Seal::decode)?;
        let mut log = Checkpoint::new(record.boxes, u64::MAX);
        verify_log(&txn, &seal, record.boxes, &mut |_, indexes| log.add(indexes))?;
        verify_chunks(&txn, &seal, record.boxes)?;
        let credits = credits::verify(&txn)?;
        Ok(Self {
            path: path.to_owned(),
            record,
            seal,
            credits,
            log,
            chunks: txn.open_table(CHUNKS)?,
            _engine: engine,
            chunk: Vec::new(),
            next: 0,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The board's name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// How many boxes the board has.
    pub fn boxes(&self) -> u32 {
        self.record.boxes
    }

    /// Entries of the log and what they count for in bytes.
    pub fn log(&self) -> (u64, u64) {
        (self.seal.log_next - self.seal.log_first, self.seal.log_bytes)
    }

    /// Chunks stored.
    pub fn chunks(&self) -> u64 {
        self.seal.chunks
    }

    /// Counters of credits stored.
    pub fn credits(&self) -> u64 {
        self.credits.counters
    }

    /// Reads the next tile with a checked box into `bits` and returns its number; `None` after the
    /// last.
    pub fn next(&mut self, bits: &mut Vec<u8>) -> Result<Option<u32>, StoreError> {
        while self.next < tiles_of(self.record.boxes) {
            let tile = self.next;
            self.next += 1;
            let within = tile % TILES_PER_CHUNK;
            if within == 0 {
                guarded(|| self.read_chunk(tile / TILES_PER_CHUNK))
                    .map_err(|fault| fault.at(&self.path))?;
            }
            let start = within as usize * bytes_for(BOXES_PER_TILE);
            let length = bytes_for(boxes_in(tile, self.record.boxes));
            let Some(found) = self.chunk.get(start..start + length) else { continue };
            if found.iter().any(|byte| *byte != 0) {
                bits.clear();
                bits.extend_from_slice(found);
                return Ok(Some(tile));
            }
        }
        Ok(None)
    }

    /// Reads a chunk and what the log adds to it; nothing at all if it has no checked box.
    fn read_chunk(&mut self, chunk: u32) -> Result<(), Fault> {
        self.chunk.clear();
        if let Some(stored) = self.chunks.get(chunk)? {
            self.chunk.extend_from_slice(open_chunk(chunk, stored.value())?.0);
        }
        let logged = self.log.missing(chunk);
        if !logged.is_empty() {
            self.chunk.resize(CHUNK_BYTES, 0);
            set_bits(&mut self.chunk, chunk, logged);
        }
        Ok(())
    }
}

fn open_reading(path: &Path) -> Result<(Engine, ReadTransaction), Fault> {
    match Builder::new().set_cache_size(CACHE_BYTES).open_read_only(path) {
        Ok(database) => {
            let txn = database.begin_read()?;
            Ok((Engine::Untouched(database), txn))
        }
        Err(DatabaseError::RepairAborted) => {
            let overlay = Overlay::new(File::open(path)?)?;
            let database = open_engine(path, |builder| builder.create_with_backend(overlay))?;
            let txn = database.begin_read()?;
            Ok((Engine::Repaired(database), txn))
        }
        Err(error) => Err(error.into()),
    }
}
