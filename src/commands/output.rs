//! Where an export goes: a file that has its name only once it is whole, or standard output.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{WrongArgument, interrupt};

/// An export being written.
pub enum Output {
    /// To be renamed when it is whole.
    File { partial: PathBuf, path: PathBuf, file: File, force: bool, finished: bool },
    /// Whoever reads it can tell from its footer whether it is whole.
    Stdout(io::Stdout),
}

impl Output {
    /// Begins `path`, or standard output for `-`. What is there already is replaced only by `force`,
    /// and only once the new file is whole.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                let text = "a backup is no text to be shown: name a file, or send standard output into \
                            one or into a pipe";
                return Err(WrongArgument(text.to_owned()).into());
            }
            return Ok(Self::Stdout(io::stdout()));
        }
        refuse_existing(path, force)?;
        let Some(name) = path.file_name() else { bail!("{} names no file", path.display()) };
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = path.with_file_name(partial);
        // Taken over if a killed export left it behind, but not from one that is still writing.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&partial);
        let file = file.with_context(|| format!("cannot write {}", partial.display()))?;
        if file.try_lock().is_err() {
            bail!("{} is being written by another process", partial.display());
        }
        file.set_len(0)?;
        interrupt::remove_on_interrupt(&partial);
        Ok(Self::File { partial, path: path.to_owned(), file, force, finished: false })
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stdout(_) => "standard output".to_owned(),
        }
    }

    /// Makes the file durable and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        match &mut self {
            Self::Stdout(stdout) => Ok(stdout.flush()?),
            Self::File { partial, path, file, force, finished } => {
                file.sync_all().with_context(|| format!("cannot write {}", partial.display()))?;
                refuse_existing(path, *force)?;
                fs::rename(&*partial, &*path)
                    .with_context(|| format!("cannot name {}", path.display()))?;
                *finished = true;
                // The name is durable only with its folder.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Ok(File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::File { partial, finished: false, .. } = self {
            // Whatever ended the export is told already.
            let _ = fs::remove_file(partial);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}

fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    // A rename would put a file in the place of a device, a pipe or a link.
    if !there.is_file() {
        bail!("{} is no regular file: for a pipe or a device write to - instead", path.display());
    }
    if !force {
        bail!("{} exists already: choose another name, or say --force", path.display());
    }
    Ok(())
}
