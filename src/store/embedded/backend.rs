//! The database file as the engine uses it, with a way to stop every write and a record of what was written.
//!
//! Closing a database writes to its file. Into a file that somebody else has written over nothing more may be
//! written: it is theirs. Somebody else's writing is told from the engine's by the file's length and header,
//! which are kept here as the engine wrote them: a look at the file afterwards cannot tell whose they are.

use std::{
    fs::File,
    io,
    ops::Bound,
    os::unix::fs::FileExt as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// Bytes of the engine's header: each commit writes it, and nothing else does.
pub const HEADER_BYTES: usize = 320;

/// What the engine's last write left of the file's length and header; any other writer changes one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    length: u64,
    header: [u8; HEADER_BYTES],
}

impl Mark {
    /// Of a file that has `length` bytes and begins with `header`.
    pub fn new(length: u64, header: [u8; HEADER_BYTES]) -> Self {
        Self { length, header }
    }

    /// A file that is shorter than a header has zeros for the rest, as it will when it grows.
    fn of(file: &File) -> io::Result<Self> {
        let (length, mut header) = (file.metadata()?.len(), [0; HEADER_BYTES]);
        let held = usize::try_from(length).map_or(HEADER_BYTES, |length| length.min(HEADER_BYTES));
        file.read_exact_at(&mut header[..held], 0)?;
        Ok(Self { length, header })
    }

    fn resize(&mut self, length: u64) {
        self.length = length;
        if let Some(cut) = usize::try_from(length).ok().and_then(|held| self.header.get_mut(held..))
        {
            cut.fill(0);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.length = self.length.max(offset + data.len() as u64);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(header) = self.header.get_mut(start..) {
            let count = header.len().min(data.len());
            header[..count].copy_from_slice(&data[..count]);
        }
    }
}

/// Whether writes are refused, and what they left behind; shared with the backend.
#[derive(Debug, Clone, Default)]
pub struct Writes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    refused: AtomicBool,
    /// Known from the first write on: before the engine has the lock, another process may still write.
    mark: Mutex<Option<Mark>>,
}

impl Writes {
    /// Refuses all writes from here on.
    pub fn refuse(&self) {
        self.0.refused.store(true, Ordering::Release);
    }

    /// Whether the file is `found` to be as the engine left it.
    pub fn left(&self, found: &Mark) -> bool {
        self.mark().as_ref().is_none_or(|mark| mark == found)
    }

    fn check(&self) -> io::Result<()> {
        let refused = self.0.refused.load(Ordering::Acquire);
        if refused { Err(io::Error::other("the file is not ours any more")) } else { Ok(()) }
    }

    /// Does `write` to `file`, unless writes are refused, and to the mark.
    fn record(
        &self,
        file: &File,
        write: impl FnOnce() -> io::Result<()>,
        same: impl FnOnce(&mut Mark),
    ) -> io::Result<()> {
        self.check()?;
        let mut mark = self.mark();
        let mark = match &mut *mark {
            Some(mark) => mark,
            none => none.insert(Mark::of(file)?),
        };
        write()?;
        same(mark);
        Ok(())
    }

    /// A panic elsewhere cannot leave it half-written.
    fn mark(&self) -> MutexGuard<'_, Option<Mark>> {
        self.0.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Backend {
    file: FileBackend,
    handle: File,
    writes: Writes,
}

impl Backend {
    /// On `file`, as long as `writes` are taken.
    pub fn new(file: File, writes: Writes) -> Result<Self, redb::DatabaseError> {
        let handle = file.try_clone()?;
        Ok(Self { file: FileBackend::new(file)?, handle, writes })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writes.record(&self.handle, || self.file.set_len(len), |mark| mark.resize(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writes.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let write = || self.file.write(offset, data);
        self.writes.record(&self.handle, write, |mark| mark.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
