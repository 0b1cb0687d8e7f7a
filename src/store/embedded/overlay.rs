//! A file that is only read, under a layer of memory that takes what the engine writes.
//!
//! The engine repairs a database that was not closed before it reads it. On this backend the repair stays in
//! memory, so a crashed store can be read where its file cannot be written, and stays as it was for the next
//! start. A repair writes some hundred kilobytes.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Bound,
    os::unix::fs::FileExt as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// What is kept at once: the engine's page.
const PAGE_BYTES: u64 = 4096;

/// See the module's documentation.
#[derive(Debug)]
pub struct Overlay {
    file: File,
    /// The same file, for its locks.
    locks: FileBackend,
    written: Mutex<Written>,
}

struct Written {
    length: u64,
    /// From here on there is nothing of the file any more.
    of_file: u64,
    /// By number.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pages over {} bytes", self.pages.len(), self.length)
    }
}

impl Overlay {
    /// Over all of `file`.
    pub fn new(file: File) -> Result<Self, redb::DatabaseError> {
        let length = file.metadata()?.len();
        let written = Written { length, of_file: length, pages: BTreeMap::new() };
        let locks = FileBackend::new(file.try_clone()?)?;
        Ok(Self { file, locks, written: Mutex::new(written) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// Reads what the file has of `out`, and zeros behind its end.
    fn read_file(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.of_file.saturating_sub(offset).min(out.len() as u64);
        let (there, beyond) = out.split_at_mut(usize::try_from(there).expect("at most the slice"));
        beyond.fill(0);
        file.read_exact_at(there, offset)
    }

    fn check(&self, offset: u64, bytes: usize) -> io::Result<()> {
        let fits = offset.checked_add(bytes as u64).is_some_and(|end| end <= self.length);
        if fits { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// The parts of `bytes` bytes from `offset` on that lie in one page each: its number, and where the part begins
/// there, begins in the bytes and ends in them.
fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from == bytes {
            return None;
        }
        let at = offset + from as u64;
        let start = (at % PAGE_BYTES) as usize;
        let to = bytes.min(from + PAGE_BYTES as usize - start);
        let part = (at / PAGE_BYTES, start, from, to);
        from = to;
        Some(part)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        written.check(offset, out.len())?;
        written.read_file(&self.file, offset, out)?;
        for (page, start, from, to) in parts(offset, out.len()) {
            if let Some(page) = written.pages.get(&page) {
                out[from..to].copy_from_slice(&page[start..start + to - from]);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written();
        if length < written.length {
            // What is cut off is zero if it grows again.
            written.of_file = written.of_file.min(length);
            written.pages.split_off(&length.div_ceil(PAGE_BYTES));
            if let Some(last) = written.pages.get_mut(&(length / PAGE_BYTES)) {
                last[(length % PAGE_BYTES) as usize..].fill(0);
            }
        }
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        written.check(offset, data.len())?;
        for (number, start, from, to) in parts(offset, data.len()) {
            if !written.pages.contains_key(&number) {
                let mut page = vec![0; PAGE_BYTES as usize].into_boxed_slice();
                written.read_file(&self.file, number * PAGE_BYTES, &mut page)?;
                written.pages.insert(number, page);
            }
            let page = written.pages.get_mut(&number).expect("inserted above");
            page[start..start + to - from].copy_from_slice(&data[from..to]);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    /// Shared, because a file that is open for reading takes no other lock, and no writer gets past that one.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_file_stays_as_it_was() {
        let content: Vec<u8> = (0..10_000_u32).map(|byte| byte as u8).collect();
        let named = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&named, &content).expect("room");
        let overlay = Overlay::new(File::open(&named).expect("readable")).expect("a file");
        let mut expected = content.clone();
        let check = |expected: &[u8]| {
            assert_eq!(overlay.len().expect("known"), expected.len() as u64);
            for start in [0, 1, 4_095, 8_000] {
                let mut read = vec![9; expected.len().saturating_sub(start)];
                overlay.read(start.min(expected.len()) as u64, &mut read).expect("within");
                assert_eq!(read, expected[start.min(expected.len())..]);
            }
        };
        check(&expected);
        overlay.write(4_000, &[7; 5_000]).expect("within");
        expected[4_000..9_000].fill(7);
        check(&expected);
        for length in [20_000, 5_000, 9_000, 100] {
            overlay.set_len(length).expect("memory");
            expected.resize(length as usize, 0);
            check(&expected);
        }
        assert!(overlay.write(99, &[1, 2]).is_err() && overlay.read(99, &mut [1, 2]).is_err());
        assert_eq!(std::fs::read(&named).expect("there"), content);
    }
}
