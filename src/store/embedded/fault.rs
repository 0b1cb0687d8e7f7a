//! Why the database could not do what it was asked, in words for the person who has to act.

use std::{any::Any, io, panic, path::Path, sync::Arc};

use actors::store::StoreError;

use super::place::Lost;

/// The way to save a board whose file is lost: everything acknowledged is in the server's memory.
const COPY_IT: &str =
    "copy the board while this server runs (billion export COPY.bxb --from http://<admin.address>)";

/// What went wrong inside the database, not yet naming the file.
#[derive(Debug)]
pub enum Fault {
    /// Another process holds the file's lock.
    InUse,
    /// The file's content is not what was written.
    Damaged(String),
    /// The content is sound but belongs to other settings or another program version.
    Other(String),
    /// Reading or writing failed.
    Io(io::Error),
    /// The database engine refused for a reason of its own.
    Engine(String),
    /// The file of a running server is not where it was, or not what it was.
    Lost(Lost),
    /// A file that was lost cannot be made again.
    NotMadeAgain(Box<Fault>),
    /// The folder for the data cannot be made or used.
    Folder(io::Error),
}

impl Fault {
    /// The message for `path`: the file, what is wrong with it and what to do.
    pub fn at(self, path: &Path) -> StoreError {
        let text = Arc::from(self.text(path));
        match self {
            Self::InUse => StoreError::InUse(text),
            _ => StoreError::Unusable(text),
        }
    }

    fn text(&self, path: &Path) -> String {
        let file = path.display();
        match self {
            Self::InUse => format!(
                "{file} is in use by another process: stop that process, or choose another folder"
            ),
            Self::Damaged(what) => format!(
                "{file} is damaged ({what}): restore it from a backup, or move it away to begin \
                 with an empty board"
            ),
            Self::Other(what) => format!("{file} {what}"),
            Self::Io(error) => {
                format!("{file} cannot be used: {error}: {}", remedy(error))
            }
            Self::Engine(what) => {
                format!("{file} cannot be used: {what}: the file was left as it is; try again")
            }
            Self::Lost(lost) => lost_text(lost, path),
            Self::NotMadeAgain(why) => format!(
                "{file} is gone and cannot be made again now: {}: {COPY_IT}",
                why.text(path)
            ),
            Self::Folder(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::NotFound => "choose a folder that can be made (store.path)",
                    _ => remedy(error),
                };
                format!("the folder {file} cannot be made: {error}: {remedy}")
            }
        }
    }
}

fn lost_text(lost: &Lost, path: &Path) -> String {
    let file = path.display();
    match lost {
        Lost::Gone => format!(
            "{file} is gone: somebody has deleted it or moved it away; it is made again in a moment, with \
             every box that was acknowledged"
        ),
        Lost::Replaced => format!(
            "{file} is not the file of this server any more: somebody has put another in its place: move \
             that one away, and this server makes its own again and goes on; until then, {COPY_IT}"
        ),
        Lost::LeadsNowhere => format!(
            "{file} is a link, and what it leads to is gone: put that back, or remove the link, and this \
             server makes its file again and goes on; until then, {COPY_IT}"
        ),
        Lost::WrittenOver => format!(
            "{file} was written over by another program: {COPY_IT}, then stop the server, move the file \
             away, import the copy and start again"
        ),
        Lost::Hidden(error) => format!(
            "{file} cannot be looked up: {error}: put it back in its place with access for this process's \
             user; until then, {COPY_IT}"
        ),
    }
}

fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull,
    };
    match error.kind() {
        PermissionDenied => "let this process's user read and write the file and its folder",
        ReadOnlyFilesystem => "make the file system writable, or choose another folder",
        StorageFull => "make room on the disk",
        NotADirectory => "choose a folder for the data",
        NotFound => {
            "put the file back; a running server has the board in memory (billion export COPY.bxb \
             --from http://<admin.address>), after a restart it is empty"
        }
        _ => "check the disk and the system's log",
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A read past the end, or of what is no database.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use redb::Error::*;
        match error {
            DatabaseAlreadyOpen => Self::InUse,
            Io(error) => error.into(),
            // Tables that every database of ours has, or lengths no file of ours contains.
            Corrupted(_)
            | TableDoesNotExist(_)
            | TableTypeMismatch { .. }
            | TableIsMultimap(_)
            | TypeDefinitionChanged { .. }
            | UpgradeRequired(_)
            | RepairAborted => Self::Damaged(error.to_string()),
            error => Self::Engine(error.to_string()),
        }
    }
}

macro_rules! through_the_engine_error {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

through_the_engine_error!(CommitError DatabaseError SetDurabilityError StorageError TableError TransactionError);

/// Runs `work` so that a panic of the database engine, which asserts what it reads from the file,
/// becomes a fault like any other.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // A database that was touched by a panic is closed and never used again, so broken
    // invariants inside it cannot be seen.
    panic::catch_unwind(panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Fault::Damaged(panic_text(&*panic).to_owned())))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
