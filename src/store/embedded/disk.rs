//! The database file: opening and verifying it, the one kind of transaction that changes it, and
//! reading ranges back. Owns the only handle of the engine.
//!
//! After any fault of a change the handle must be dropped: the engine answers nothing but errors
//! until the file is opened again.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actors::{
    board::Board,
    store::{
        StoreError,
        credits::{Counted, CreditCursor, CreditKey, CreditPage},
    },
};
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition, WriteTransaction,
};

use super::{
    backend::{Backend, Writes},
    checkpoint::Step,
    credits::{self, CreditSeal},
    fault::{Fault, guarded},
    file_of,
    format::{
        BOXES_PER_CHUNK, BoardRecord, CHUNK_BYTES, FORMAT, Seal, chunks_for, chunks_of, decode_ids,
        encode_ids, open_value, seal_value, set_bits,
    },
    place::{Lost, Place, folder_of},
};

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
pub(super) const CHUNKS: TableDefinition<u32, &[u8]> = TableDefinition::new("chunks");
/// Holds what a probe wrote; means nothing.
const PROBE: TableDefinition<u32, &[u8]> = TableDefinition::new("probe");

/// The engine's page cache. Chunks are read once per pass, so a larger one would hardly be hit;
/// it must hold one transaction's writes, or they are written twice.
pub(super) const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// What a probe writes: 16 chunks (1 MB), several times an ordinary commit, so that a disk with
/// room for one more commit is not taken for one with room.
const PROBE_CHUNKS: u32 = 16;

/// The seals of everything in a database.
pub type Content = (Seal, CreditSeal);

/// An open and verified database.
pub struct Disk {
    path: PathBuf,
    board: Board,
    seal: Seal,
    credits: CreditSeal,
    place: Place,
    writes: Writes,
    database: Database,
}

impl Disk {
    /// Opens the board's database in `folder`, creating either if missing, and verifies all of it.
    /// `entry` is shown every log entry, oldest first.
    pub fn open_or_create(
        folder: &Path,
        board: &Board,
        entry: &mut dyn FnMut(u64, &[u32]),
    ) -> Result<Self, StoreError> {
        let (disk, new) = Self::open_or_prepare(folder, board, entry)?;
        if new {
            disk.publish()?;
        }
        Ok(disk)
    }

    /// As [`Disk::open_or_create`], but a new database stays without its name until it is published,
    /// so that it is never seen before it holds what it is made for. `true`: it is new.
    pub fn open_or_prepare(
        folder: &Path,
        board: &Board,
        entry: &mut dyn FnMut(u64, &[u32]),
    ) -> Result<(Self, bool), StoreError> {
        make_folder(folder)?;
        let path = file_of(folder, board.name());
        refuse_beside_saved(&path)?;
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && adopt(&path, board)? => {
                Ok((Self::open(&path, board, entry)?, false))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let disk = create(&path, board).map_err(|fault| fault.at(&path))?;
                Ok((disk, true))
            }
            _ => Ok((Self::open(&path, board, entry)?, false)),
        }
    }

    /// Gives a database that was prepared its name.
    pub fn publish(&self) -> Result<(), StoreError> {
        publish(&self.path).map_err(|fault| fault.at(&self.path))
    }

    /// Opens the database at `path`, which must exist, and verifies all of it.
    pub fn open(
        path: &Path,
        board: &Board,
        entry: &mut dyn FnMut(u64, &[u32]),
    ) -> Result<Self, StoreError> {
        let fault = |fault: Fault| fault.at(path);
        let metadata = fs::metadata(path).map_err(|error| fault(error.into()))?;
        if !metadata.is_file() {
            return Err(fault(Fault::Other("is not a file: move it away".into())));
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        Self::over(file.map_err(|error| fault(error.into()))?, path, board, entry)
    }

    /// As [`Disk::open`], in a file that is open already and called `path`, or will be.
    pub fn over(
        file: File,
        path: &Path,
        board: &Board,
        entry: &mut dyn FnMut(u64, &[u32]),
    ) -> Result<Self, StoreError> {
        Self::over_fault(file, path, board, entry).map_err(|fault| fault.at(path))
    }

    fn over_fault(
        file: File,
        path: &Path,
        board: &Board,
        entry: &mut dyn FnMut(u64, &[u32]),
    ) -> Result<Self, Fault> {
        let mut disk = guarded(|| {
            if file.metadata()?.len() == 0 {
                return Err(damaged("it is empty".into()));
            }
            let writes = Writes::default();
            let place = Place::of(&file, path, writes.clone())?;
            let backend = Backend::new(file, writes.clone())?;
            let database = open_engine(path, |builder| builder.create_with_backend(backend))?;
            let (path, board) = (path.to_owned(), board.clone());
            let (seal, credits) = (Seal::default(), CreditSeal::default());
            Ok(Self { path, board, seal, credits, place, writes, database })
        })?;
        match guarded(|| disk.verify(entry)) {
            Ok(()) => Ok(disk),
            Err(fault) => {
                disk.close();
                Err(fault)
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The extent of the log.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// What identifies the content: no two that differ have the same.
    pub fn content(&self) -> Content {
        (self.seal, self.credits)
    }

    /// Identifies the file among all on this machine.
    pub fn identity(&self) -> String {
        self.place.identity()
    }

    /// What somebody else has done to the file or its name, if anything. A commit may be acknowledged only
    /// after this has found nothing since its sync: else a restart would not have it.
    pub fn look(&self) -> Option<Lost> {
        self.place.look()
    }

    /// Appends `indexes` as one log entry, if there are any, and does `step`: all of it durable
    /// when this returns, or after a fault all of it or nothing.
    pub fn commit(&mut self, indexes: &[u32], step: &Step) -> Result<(), StoreError> {
        self.commit_credited(indexes, &[], step)
    }

    /// As [`Disk::commit`], and adds to counters, ascending and different, in the same transaction.
    pub fn commit_credited(
        &mut self,
        indexes: &[u32],
        credited: &[Counted],
        step: &Step,
    ) -> Result<(), StoreError> {
        let before = self.credits;
        self.credits = self.change(|txn, seal| {
            trim(txn, seal, step.trim_below)?;
            if !indexes.is_empty() {
                append(txn, seal, indexes)?;
            }
            fold(txn, seal, &step.chunks)?;
            credits::add(txn, before, credited)
        })?;
        Ok(())
    }

    /// Removes those counters that still are what they were when they were read; how many.
    pub fn forget_credits(&mut self, counted: &[Counted]) -> Result<u64, StoreError> {
        let before = self.credits;
        let (credits, removed) = self.change(|txn, _| credits::forget(txn, before, counted))?;
        self.credits = credits;
        Ok(removed)
    }

    /// The values of counters, 0 for one that does not exist.
    pub fn credits(&self, keys: &[CreditKey]) -> Result<Vec<u64>, StoreError> {
        guarded(|| credits::read(&self.database, keys)).map_err(|fault| fault.at(&self.path))
    }

    /// Counters from `from` on.
    pub fn credit_page(&self, from: CreditCursor) -> Result<CreditPage, StoreError> {
        guarded(|| credits::page(&self.database, from)).map_err(|fault| fault.at(&self.path))
    }

    /// Does `work` in one transaction and seals it: all of it durable when this returns, or after a
    /// fault, its own included, nothing.
    pub fn change<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction, &mut Seal) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        guarded(|| {
            let mut seal = self.seal;
            let txn = self.begin()?;
            let done = work(&txn, &mut seal)?;
            txn.open_table(META)?.insert(Seal::KEY, seal.encode().as_slice())?;
            txn.commit()?;
            self.seal = seal;
            Ok(done)
        })
        .map_err(|fault| fault.at(&self.path))
    }

    /// Writes nothing into the file any more, also not to close it.
    pub fn leave_alone(&self) {
        self.writes.refuse();
    }

    /// Proves that the disk takes writes: the room of several commits is written, then given back.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        guarded(|| {
            let txn = self.begin()?;
            let mut table = txn.open_table(PROBE)?;
            for number in 0..PROBE_CHUNKS {
                table.insert(number, [0xA5; CHUNK_BYTES].as_slice())?;
            }
            drop(table);
            txn.commit()?;
            let txn = self.begin()?;
            txn.delete_table(PROBE)?;
            Ok(txn.commit()?)
        })
        .map_err(|fault| fault.at(&self.path))
    }

    /// The bytes of the bitmap that hold the boxes `indexes`, as far as the chunks know them.
    /// The range must begin at a whole byte.
    pub fn read(&self, indexes: &Range<u64>) -> Result<Vec<u8>, StoreError> {
        assert!(indexes.start.is_multiple_of(8), "shards begin at whole tiles, hence whole bytes");
        guarded(|| read(&self.database, indexes)).map_err(|fault| fault.at(&self.path))
    }

    /// Releases the file, but for a handle that can still read it. Whatever the engine thinks of its own
    /// state, it may not stop us.
    pub fn close(self) -> Place {
        let Self { database, path, place, .. } = self;
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(fault) = closed {
            log::warn!("{} was not closed cleanly: {fault:?}", path.display());
        }
        place
    }

    fn begin(&self) -> Result<WriteTransaction, Fault> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        Ok(txn)
    }

    fn verify(&mut self, entry: &mut dyn FnMut(u64, &[u32])) -> Result<(), Fault> {
        let txn = self.database.begin_read()?;
        let record = read_meta(&txn, BoardRecord::KEY, BoardRecord::decode)?;
        check_record(&record, &self.board)?;
        self.seal = read_meta(&txn, Seal::KEY, Seal::decode)?;
        verify_log(&txn, &self.seal, self.board.boxes(), entry)?;
        verify_chunks(&txn, &self.seal, self.board.boxes())?;
        self.credits = credits::verify(&txn)?;
        drop(txn);
        if record.shards != self.board.shards() {
            self.adopt_shards(record.shards)?;
        }
        Ok(())
    }

    /// Boxes are stored by their index on the board, so another number of shards changes nothing
    /// but this record.
    fn adopt_shards(&self, before: u32) -> Result<(), Fault> {
        let txn = self.begin()?;
        let record = record_of(&self.board);
        txn.open_table(META)?.insert(BoardRecord::KEY, record.encode().as_slice())?;
        txn.commit()?;
        let (file, now) = (self.path.display(), record.shards);
        log::info!("{file} was last used with {before} shards, now with {now}; nothing is lost");
        Ok(())
    }
}

/// Proves that the disk has room beside the database at `path`, at next to no cost: opening and
/// verifying a large board every other second on a full disk would take a good part of a core.
pub fn probe_room(path: &Path) -> Result<(), StoreError> {
    let beside = path.with_extension("redb.probe");
    let written = File::create(&beside).and_then(|mut file| {
        for _ in 0..PROBE_CHUNKS {
            file.write_all(&[0xA5; CHUNK_BYTES])?;
        }
        file.sync_all()
    });
    // What a crash leaves behind is overwritten by the next probe.
    let removed = fs::remove_file(&beside);
    written.and(removed).map_err(|error| Fault::from(error).at(path))
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = fs::create_dir_all(folder).and_then(|()| fs::metadata(folder));
    match made {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Err(error) if !matches!(error.kind(), ErrorKind::AlreadyExists) => {
            Err(Fault::Folder(error).at(folder))
        }
        _ => Err(Fault::Other("is not a folder: choose a folder for the data".into()).at(folder)),
    }
}

/// Opens the engine on the content of the existing file `path` and has it verify its own pages: its map of
/// free pages is under no checksum of ours, and a wrong one would let later commits overwrite live data.
pub(super) fn open_engine(
    path: &Path,
    open: impl FnOnce(&Builder) -> Result<Database, DatabaseError>,
) -> Result<Database, Fault> {
    let repaired = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&repaired);
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
    let mut database = open(&builder)?;
    // A repair, after a crash, has verified everything already.
    if !repaired.load(Ordering::Relaxed) && !database.check_integrity()? {
        log::warn!("{} was inconsistent inside and has been repaired", path.display());
    }
    Ok(database)
}

/// The name of the database at `path` before it is published.
pub fn unpublished(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

/// Where the board is saved when another file has its name.
pub fn saved(path: &Path) -> PathBuf {
    path.with_extension("redb.saved")
}

/// The file that was in the place of the saved board is gone, so that one is all there is: an empty board
/// beside it would look as if everything had been lost.
fn refuse_beside_saved(path: &Path) -> Result<(), StoreError> {
    let saved = saved(path);
    let missing = fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if !missing || fs::symlink_metadata(&saved).is_err() {
        return Ok(());
    }
    let (file, saved) = (path.display(), saved.display());
    let text = format!(
        "is not there, but {saved} is: that is the board as a server had it when another file was put in \
         its place: go on with it (mv {saved} {file}), or move it away to begin with an empty board"
    );
    Err(Fault::Other(text).at(path))
}

/// Names what a killed server or import has left unpublished, if it is a whole database with boxes in it: a
/// copy of a file that was lost may be all there is of the board. What does not open is left to be overwritten,
/// as what was to become an empty board.
fn adopt(path: &Path, board: &Board) -> Result<bool, StoreError> {
    let fresh = unpublished(path);
    if fs::metadata(&fresh).is_err() {
        return Ok(false);
    }
    let file = OpenOptions::new().read(true).write(true).open(&fresh);
    let file = file.map_err(|error| Fault::from(error).at(&fresh))?;
    let disk = match Disk::over_fault(file, &fresh, board, &mut |_, _| {}) {
        Ok(disk) => disk,
        Err(Fault::Damaged(_)) => return Ok(false),
        Err(fault) => return Err(fault.at(&fresh)),
    };
    let holds_boxes = disk.seal.chunks > 0 || disk.seal.log_next > disk.seal.log_first;
    let named = if holds_boxes { rename_durably(&fresh, path) } else { Ok(()) };
    disk.close();
    named.map_err(|fault| fault.at(path))?;
    if holds_boxes {
        log::warn!(
            "{} was not there, but {} was whole, with boxes: a server or an import that was killed has left \
             it, and it is gone on with",
            path.display(),
            fresh.display()
        );
    }
    Ok(holds_boxes)
}

/// Makes a new database under another name first, so that a crash on the way leaves nothing that
/// looks like a damaged board.
fn create(path: &Path, board: &Board) -> Result<Disk, Fault> {
    let fresh = unpublished(path);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&fresh)?;
    // Whoever holds the lock is creating the database right now, and whoever had it has finished.
    if file.try_lock().is_err() || path.exists() {
        return Err(Fault::InUse);
    }
    file.set_len(0)?;
    let (writes, seal) = (Writes::default(), Seal::default());
    let place = Place::of(&file, path, writes.clone())?;
    let backend = Backend::new(file, writes.clone())?;
    let database = guarded(|| {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        let txn = database.begin_write()?;
        let mut meta = txn.open_table(META)?;
        meta.insert(BoardRecord::KEY, record_of(board).encode().as_slice())?;
        meta.insert(Seal::KEY, seal.encode().as_slice())?;
        drop(meta);
        txn.open_table(LOG)?;
        txn.open_table(CHUNKS)?;
        txn.commit()?;
        Ok(database)
    })?;
    let (path, board, credits) = (path.to_owned(), board.clone(), CreditSeal::default());
    Ok(Disk { path, board, seal, credits, place, writes, database })
}

fn publish(path: &Path) -> Result<(), Fault> {
    rename_durably(&unpublished(path), path)?;
    log::info!("created {}", path.display());
    Ok(())
}

fn rename_durably(from: &Path, to: &Path) -> Result<(), Fault> {
    fs::rename(from, to)?;
    // The name is durable only with its folder.
    Ok(File::open(folder_of(to))?.sync_all()?)
}

fn record_of(board: &Board) -> BoardRecord {
    BoardRecord {
        format: FORMAT,
        boxes: board.boxes(),
        shards: board.shards(),
        name: board.name().to_owned(),
    }
}

pub(super) fn check_record(record: &BoardRecord, board: &Board) -> Result<(), Fault> {
    check_format(record)?;
    let wrong = if record.name != board.name() {
        format!(
            "holds the board '{}', but the board '{}' was asked for: rename the board in the \
             settings, or choose another folder",
            record.name,
            board.name()
        )
    } else if record.boxes != board.boxes() {
        format!(
            "holds a board of {} boxes, but one of {} was asked for: set the number of boxes to \
             {}, or choose another folder",
            record.boxes,
            board.boxes(),
            record.boxes
        )
    } else {
        return Ok(());
    };
    Err(Fault::Other(wrong))
}

pub(super) fn check_format(record: &BoardRecord) -> Result<(), Fault> {
    if record.format == FORMAT {
        return Ok(());
    }
    Err(Fault::Other(format!(
        "is in format {}, but this program reads format {FORMAT}: use the version of the program \
         that wrote it",
        record.format
    )))
}

pub(super) fn read_meta<T>(
    txn: &ReadTransaction,
    key: &str,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Fault> {
    let table = txn.open_table(META)?;
    let value = table.get(key)?.ok_or_else(|| damaged(format!("the {key} record is missing")))?;
    decode(value.value()).ok_or_else(|| damaged(format!("the {key} record's checksum is wrong")))
}

pub(super) fn damaged(what: String) -> Fault {
    Fault::Damaged(what)
}

pub(super) fn verify_log(
    txn: &ReadTransaction,
    seal: &Seal,
    boxes: u32,
    entry: &mut dyn FnMut(u64, &[u32]),
) -> Result<(), Fault> {
    let mut found = Seal { log_first: seal.log_first, log_next: seal.log_first, ..Seal::default() };
    for item in txn.open_table(LOG)?.iter()? {
        let (key, value) = item?;
        let (sequence, value) = (key.value(), value.value());
        let opened = open_value(&sequence.to_le_bytes(), value);
        let ids = opened.and_then(|(body, checksum)| Some((decode_ids(body, boxes)?, checksum)));
        let Some((ids, checksum)) = ids else {
            return Err(damaged(format!("the checksum of log entry {sequence} is wrong")));
        };
        if sequence != found.log_next {
            return Err(damaged(format!("log entry {} is missing", found.log_next)));
        }
        found.append(value.len(), checksum);
        entry(sequence, &ids);
    }
    let whole = Seal { chunks: seal.chunks, chunk_sum: seal.chunk_sum, ..found };
    if whole != *seal {
        return Err(damaged("log entries are missing".into()));
    }
    Ok(())
}

pub(super) fn verify_chunks(txn: &ReadTransaction, seal: &Seal, boxes: u32) -> Result<(), Fault> {
    let mut found = Seal::default();
    for item in txn.open_table(CHUNKS)?.iter()? {
        let (key, value) = item?;
        let chunk = key.value();
        let (_, checksum) = open_chunk(chunk, value.value())?;
        if chunk as usize >= chunks_for(boxes) {
            return Err(damaged(format!("chunk {chunk} is past the end of the board")));
        }
        found.replace_chunk(None, checksum);
    }
    if (found.chunks, found.chunk_sum) != (seal.chunks, seal.chunk_sum) {
        return Err(damaged("chunks are missing or out of date".into()));
    }
    Ok(())
}

pub(super) fn open_chunk(chunk: u32, value: &[u8]) -> Result<(&[u8], u32), Fault> {
    open_value(&chunk.to_le_bytes(), value)
        .filter(|(body, _)| body.len() == CHUNK_BYTES)
        .ok_or_else(|| damaged(format!("the checksum of chunk {chunk} is wrong")))
}

fn trim(txn: &WriteTransaction, seal: &mut Seal, below: u64) -> Result<(), Fault> {
    let mut log = txn.open_table(LOG)?;
    for sequence in seal.log_first..below {
        let value = log.remove(sequence)?;
        let value = value.as_ref().map(|value| value.value());
        let opened = value.and_then(|value| open_value(&sequence.to_le_bytes(), value));
        let Some((body, checksum)) = opened else {
            return Err(damaged(format!("the checksum of log entry {sequence} is wrong")));
        };
        seal.trim(body.len() + size_of_val(&checksum), checksum);
    }
    Ok(())
}

fn append(txn: &WriteTransaction, seal: &mut Seal, indexes: &[u32]) -> Result<(), Fault> {
    let sequence = seal.log_next;
    let mut value = encode_ids(indexes);
    let checksum = seal_value(&sequence.to_le_bytes(), &mut value);
    txn.open_table(LOG)?.insert(sequence, value.as_slice())?;
    seal.append(value.len(), checksum);
    Ok(())
}

/// ORs boxes into their chunks.
fn fold(txn: &WriteTransaction, seal: &mut Seal, chunks: &[(u32, Vec<u32>)]) -> Result<(), Fault> {
    if chunks.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(CHUNKS)?;
    for (chunk, indexes) in chunks {
        let (mut value, old) = match table.get(chunk)? {
            Some(stored) => {
                let (body, checksum) = open_chunk(*chunk, stored.value())?;
                (body.to_vec(), Some(checksum))
            }
            None => (vec![0; CHUNK_BYTES], None),
        };
        set_bits(&mut value, *chunk, indexes);
        let new = seal_value(&chunk.to_le_bytes(), &mut value);
        table.insert(chunk, value.as_slice())?;
        seal.replace_chunk(old, new);
    }
    Ok(())
}

fn read(database: &Database, indexes: &Range<u64>) -> Result<Vec<u8>, Fault> {
    let byte = |index: u64| usize::try_from(index / 8).expect("a board is at most 512 MB");
    let wanted = byte(indexes.start)..byte(indexes.end.next_multiple_of(8));
    let mut bytes = vec![0; wanted.len()];
    let txn = database.begin_read()?;
    for item in txn.open_table(CHUNKS)?.range(chunks_of(indexes))? {
        let (key, value) = item?;
        let (body, _) = open_chunk(key.value(), value.value())?;
        let first = byte(u64::from(key.value()) * u64::from(BOXES_PER_CHUNK));
        let (start, end) = (first.max(wanted.start), (first + CHUNK_BYTES).min(wanted.end));
        bytes[start - wanted.start..end - wanted.start]
            .copy_from_slice(&body[start - first..end - first]);
    }
    Ok(bytes)
}
