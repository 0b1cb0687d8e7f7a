//! Files that others have written, read so that they cannot hold anybody up: a pipe is waited for without end, and a
//! device never comes to one.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// Most bytes of a file. Settings and the page's template take some ten thousand, a system's whole bundle of
/// certificates 220,000.
const BYTES_MAX: u64 = 1024 * 1024;

/// All of a file that was asked for by name, maybe a pipe.
///
/// # Errors
/// As [`fs::read`], and if it has more than 1 MiB.
pub fn named(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(bytes)
}

/// All of a file that is looked for under a name of ours.
///
/// # Errors
/// As [`named`], and if it is a pipe, a socket or a device.
pub fn found(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("it is no regular file"));
    }
    named(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let large = folder.path().join("large");
        let file = File::create(&large).expect("a file");
        file.set_len(BYTES_MAX).expect("room for nothing");
        assert_eq!(found(&large).expect("just small enough").len() as u64, BYTES_MAX);
        file.set_len(3 << 30).expect("room for nothing");
        let device = Path::new("/dev/zero");
        for read in [found(&large), named(&large), named(device)] {
            assert_eq!(read.expect_err("too much").to_string(), "it has more than 1 MiB");
        }
        let refused = found(device).expect_err("a device").to_string();
        assert_eq!(refused, "it is no regular file");
        assert!(found(folder.path()).is_err());
        let missing = found(&folder.path().join("missing")).expect_err("nothing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
