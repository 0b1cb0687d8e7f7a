//! A file that an operator may replace while the server runs: read again when it changes, and passed over while what is
//! in it cannot be used.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix_rt::task::spawn_blocking;
use tokio::{sync::watch, time::sleep};

use crate::reading;

/// Time between two looks at the file, each of which is one `stat`.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Permission bits that must not be set: anything for others, and writing for the group.
const MODE_FORBIDDEN: u32 = 0o027;

/// Tells one state of the file from the next: its inode, change time and length.
type Stamp = (u64, i64, i64, u64);

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    Ok((found.ino(), found.ctime(), found.ctime_nsec(), found.len()))
}

/// The text of a file of secrets.
///
/// # Errors
/// If it cannot be read, others may read or change it, or it is not UTF-8; with its name.
pub fn read_secret(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let mode = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.permissions().mode();
    if mode & MODE_FORBIDDEN != 0 {
        let mode = mode & 0o777;
        return Err(wrong(format!("its mode is {mode:03o}: nobody else may read it (chmod 600)")));
    }
    read(path)
}

fn read(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let bytes = reading::found(path).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))
}

/// A file that is followed, and what is in it.
pub type Opened<T> = (Followed<T>, watch::Receiver<Arc<T>>);

/// A file, and how its text is understood.
pub struct Followed<T> {
    /// The setting that names it, for the log.
    setting: &'static str,
    path: PathBuf,
    read_text: fn(&Path) -> Result<String, String>,
    parse: fn(&str) -> Result<T, String>,
    /// Of the state that was read last, whether it could be used or not.
    read: Option<Stamp>,
    content: watch::Sender<Arc<T>>,
}

impl<T: std::fmt::Display + Send + Sync + 'static> Followed<T> {
    /// Reads the file of secrets at `path`, which `setting` names, for the first time.
    ///
    /// # Errors
    /// As [`read_secret`], or if `parse` does not understand it.
    pub fn open_secret(
        setting: &'static str,
        path: &Path,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Opened<T>, String> {
        Self::begin(setting, path, read_secret, parse)
    }

    /// The same of a file that anybody may read.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8, or `parse` does not understand it.
    pub fn open(
        setting: &'static str,
        path: &Path,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Opened<T>, String> {
        Self::begin(setting, path, read, parse)
    }

    fn begin(
        setting: &'static str,
        path: &Path,
        read_text: fn(&Path) -> Result<String, String>,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Opened<T>, String> {
        let read = stamp(path).ok();
        let (content, following) = watch::channel(Arc::new(understood(path, read_text, parse)?));
        Ok((Self { setting, path: path.to_owned(), read_text, parse, read, content }, following))
    }

    /// Follows the file for as long as the process lives.
    pub async fn follow(mut self) {
        loop {
            sleep(LOOK_INTERVAL).await;
            // A disk may take long; nobody waits for it.
            let Ok(file) = spawn_blocking(move || self.look()).await else { return };
            self = file;
        }
    }

    /// Reads the file again if it is another one than before.
    pub fn look(mut self) -> Self {
        let now = stamp(&self.path).ok();
        if now == self.read {
            return self;
        }
        self.read = now;
        match understood(&self.path, self.read_text, self.parse) {
            Ok(content) => {
                log::info!("{}: {content} in force now ({})", self.setting, self.path.display());
                self.content.send_replace(Arc::new(content));
            }
            Err(why) => log::error!("{}: stays as it was: {why}", self.setting),
        }
        self
    }
}

fn understood<T>(
    path: &Path,
    read_text: fn(&Path) -> Result<String, String>,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = read_text(path)?;
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| "no number".to_owned())
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_one_that_changes_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("number");
        let write = |text: &str, mode: u32| {
            fs::remove_file(&path).ok();
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its own file");
        };
        assert!(read_secret(&path).is_err(), "it is not there");
        for (mode, fits) in
            [(0o644, false), (0o660, false), (0o604, false), (0o640, true), (0o400, true)]
        {
            write("", mode);
            assert_eq!(read_secret(&path).is_ok(), fits, "{mode:o}");
        }
        write("1", 0o600);
        let (file, content) = Followed::open_secret("a.number", &path, number).expect("a number");
        write("2", 0o600);
        let file = file.look();
        assert_eq!(**content.borrow(), 2);
        write("nonsense", 0o600);
        let file = file.look();
        assert_eq!(**content.borrow(), 2, "a mistake changes nothing");
        fs::remove_file(&path).expect("it was there");
        let file = file.look();
        assert_eq!(**content.borrow(), 2);
        write("3", 0o600);
        file.look();
        assert_eq!(**content.borrow(), 3);
    }
}
