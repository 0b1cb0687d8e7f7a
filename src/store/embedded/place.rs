//! Whether the open file still is the one its name leads to, and copying it to where it belongs.
//!
//! A file that was deleted, moved away or replaced goes on taking writes, and no restart would find them. So the
//! file's name is looked up after each sync, before anybody is answered, and about once a second while nobody
//! commits. The open handle reaches everything ever committed, whatever became of the name: the file is made
//! again from there, byte for byte, so that nothing depends on what shards have learned by then.
//!
//! Nothing here replaces a file that somebody else has put in the way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use super::{
    backend::{HEADER_BYTES, Mark, Writes},
    fault::Fault,
};

/// What is wrong with a file's name or content.
#[derive(Debug)]
pub enum Lost {
    /// There is nothing of that name.
    Gone,
    /// The name leads to another file.
    Replaced,
    /// The name is a link, and what it leads to is not there.
    LeadsNowhere,
    /// The file itself was changed by somebody else, so its content is not ours.
    WrittenOver,
    /// The name cannot be looked up.
    Hidden(io::Error),
}

impl Lost {
    /// Whether the file is still what it was, and only its name does not lead to it.
    pub fn is_of_the_name(&self) -> bool {
        matches!(self, Self::Gone | Self::Replaced | Self::LeadsNowhere)
    }

    /// Whether something that is not ours to remove stands where the file belongs.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Replaced | Self::LeadsNowhere)
    }
}

/// Device and number of a file: no other file has them as long as this one is open.
type Identity = (u64, u64);

/// The name of an open file, and a handle of its own to it.
pub struct Place {
    path: PathBuf,
    file: File,
    identity: Identity,
    /// Of the folder, since on some file systems files have another one.
    folder_device: u64,
    writes: Writes,
}

impl Place {
    /// The place of `file`, which has been opened as `path` or will be named so, and which `writes` go into.
    pub fn of(file: &File, path: &Path, writes: Writes) -> io::Result<Self> {
        let file = file.try_clone()?;
        Ok(Self {
            identity: identity_of(&file.metadata()?),
            folder_device: fs::metadata(folder_of(path))?.dev(),
            path: path.to_owned(),
            file,
            writes,
        })
    }

    /// Device and number of the file, as text.
    pub fn identity(&self) -> String {
        let (device, number) = self.identity;
        format!("{device:x}-{number:x}")
    }

    /// Whether anything happened to the name since the file was opened, or to its content since the engine's
    /// last write.
    pub fn look(&self) -> Option<Lost> {
        self.examine().err()
    }

    /// Whether the name leads to this file, whatever is in it.
    pub fn find(&self) -> Result<(), Lost> {
        self.named().map(|_| ())
    }

    fn examine(&self) -> Result<(), Lost> {
        let length = self.named()?;
        let mut header = [0; HEADER_BYTES];
        match self.file.read_exact_at(&mut header, 0) {
            Ok(()) if self.writes.left(&Mark::new(length, header)) => Ok(()),
            Ok(()) => Err(Lost::WrittenOver),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Lost::WrittenOver),
            Err(error) => Err(Lost::Hidden(error)),
        }
    }

    /// The file's length, if its name leads to it.
    fn named(&self) -> Result<u64, Lost> {
        match fs::metadata(&self.path) {
            Ok(found) if identity_of(&found) == self.identity => Ok(found.len()),
            Ok(_) => Err(Lost::Replaced),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Lost::Hidden(error)),
            Err(_) if fs::symlink_metadata(&self.path).is_ok() => Err(Lost::LeadsNowhere),
            Err(_) => Err(Lost::Gone),
        }
    }

    /// Copies the file to `fresh`, a name in the same folder that means nothing yet, and makes the copy
    /// durable. A missing folder is made, but only on the file system it was on: what is written into a mount
    /// point whose volume is away is hidden once the volume is back.
    pub fn copy(&self, fresh: &Path) -> Result<Copied, Fault> {
        let folder = folder_of(&self.path);
        let nearest = nearest_existing(folder);
        if fs::metadata(nearest)?.dev() != self.folder_device {
            return Err(Fault::Other(format!(
                "would be in {}, on another file system than it was: mount its volume there again",
                nearest.display()
            )));
        }
        fs::create_dir_all(folder)?;
        let mut copy =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(fresh)?;
        // Whoever holds the lock is creating a database here right now.
        if copy.try_lock().is_err() {
            return Err(Fault::InUse);
        }
        let name = TempPath::try_from_path(fresh)?;
        copy.set_len(0)?;
        copy.set_permissions(self.file.metadata()?.permissions())?;
        let mut file = &self.file;
        file.rewind()?;
        io::copy(&mut file, &mut copy)?;
        copy.sync_all()?;
        Ok(Copied { file: copy, name: CopyName(name) })
    }

    /// Whether `path` leads to the file that is open here.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| identity_of(&found) == self.identity)
    }

    /// Removes the file at `path` if it is the one that is open here.
    pub fn remove_if_ours(&self, path: &Path) {
        if self.is_at(path) {
            // If it stays, it is one copy too many.
            let _ = fs::remove_file(path);
        }
    }
}

/// A copy that has no name of its own yet.
pub struct Copied {
    pub file: File,
    pub name: CopyName,
}

/// The name that a copy has for the time being; removed with the copy if dropped.
pub struct CopyName(TempPath);

impl CopyName {
    /// Names the copy `path` for good, unless there is a file of that name.
    pub fn publish(self, path: &Path) -> io::Result<()> {
        self.0.persist_noclobber(path).map_err(|refused| refused.error)?;
        // The name is durable only with its folder.
        File::open(folder_of(path))?.sync_all()
    }
}

/// The folder that `path` is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// `folder`, or the nearest one above it that exists.
pub fn nearest_existing(folder: &Path) -> &Path {
    let mut nearest = folder;
    while !nearest.exists() {
        match nearest.parent() {
            Some(above) if !above.as_os_str().is_empty() => nearest = above,
            Some(_) => return Path::new("."),
            None => return nearest,
        }
    }
    nearest
}

fn identity_of(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}
