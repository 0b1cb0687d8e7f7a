//! Ctrl-C, SIGTERM and a closed terminal during a command: remove what is not finished, and end.
//!
//! A store needs no help: an import is one transaction, which is undone when the process ends. Nor does
//! a Redis Cluster: what was merged stays, and is merged again by whoever imports again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result};

use crate::signals::Signals;

/// Files that are worth nothing before they are finished. One that got its name meanwhile is not
/// found any more under this one.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has `path` removed if the process is interrupted from here on.
pub fn remove_on_interrupt(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// Begins to watch for signals, on a thread of its own because commands block.
pub fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot watch for signals")?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let watching = move || {
        let (_, number) = runtime.block_on(signals.next());
        for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Not there any more, or not to be removed: nothing can be done about it either way.
            if fs::remove_file(path).is_ok() {
                log::info!("removed {}", path.display());
            }
        }
        log::warn!("interrupted");
        // As shells report a death by this signal.
        std::process::exit(128 + number);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watching)?;
    Ok(())
}
