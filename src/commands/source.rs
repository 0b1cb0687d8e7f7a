//! Where a board is to be found: in the store of the settings, or with the server that runs on it.
//!
//! A Redis Cluster is read itself, whether servers run on it or not.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result, bail};

use super::{
    cluster::ClusterBoard,
    remote::{Meant, Remote},
};
use crate::{
    backup::Header,
    settings::Settings,
    store::embedded::{file_of, identity, snapshot::Snapshot},
};
use actors::store::StoreError;

/// A board as it can be read.
pub enum Source {
    /// Nobody runs on the store.
    Store(Box<Snapshot>),
    /// Kept in a Redis Cluster.
    Cluster(Box<ClusterBoard>),
    /// Named, or found in the settings because the store is in use.
    Server(Remote),
}

/// The board of the server at `from`, or else the one of the settings.
pub fn find(settings: &Settings, from: Option<&str>) -> Result<Source> {
    if let Some(url) = from {
        return Ok(Source::Server(Remote::at(url)?));
    }
    if let Some(options) = settings.cluster()? {
        return Ok(Source::Cluster(Box::new(ClusterBoard::find(&options)?)));
    }
    let file = file_of(&settings.store.path, &settings.board.name);
    if matches!(fs::symlink_metadata(&file), Err(error) if error.kind() == ErrorKind::NotFound) {
        return without_file(settings, &file).map(Source::Server);
    }
    let opened = Snapshot::open(&file);
    if matches!(opened, Err(StoreError::InUse(_))) {
        return running(settings).map(Source::Server);
    }
    match bereft(settings)? {
        Some(remote) => Ok(Source::Server(remote)),
        None => Ok(Source::Store(Box::new(opened?))),
    }
}

/// The server that runs on the store of the settings and has lost its file: what is at its name, if anything, is
/// not that board.
pub fn bereft(settings: &Settings) -> Result<Option<Remote>> {
    if settings.redis.is_used() {
        return Ok(None);
    }
    let file = file_of(&settings.store.path, &settings.board.name);
    let meant = Meant::Name(std::path::absolute(&file)?);
    let Ok(remote) = Remote::local(&settings.admin.address, meant) else { return Ok(None) };
    let Some(theirs) = remote.store() else { return Ok(None) };
    match identity(&file) {
        Ok(found) if found == theirs => return Ok(None),
        // Whoever may not look at it is told so by reading it.
        Err(error) if error.kind() != ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    log::warn!(
        "{} is not the file of the server at {} (admin.address) any more: asking that server",
        file.display(),
        remote.name()
    );
    Ok(Some(remote))
}

/// A server may have lost its file, and still have all of the board.
fn without_file(settings: &Settings, file: &Path) -> Result<Remote> {
    let missing = format!("{} is not there", file.display());
    let admin = &settings.admin.address;
    let remote = Remote::local(admin, Meant::Name(std::path::absolute(file)?));
    let Some(remote) = remote.ok().filter(Remote::is_there) else {
        bail!(
            "{missing}, and no server answers at {admin} (admin.address): no board has been kept in that \
             folder yet, or a server that runs on it has to be named with --from"
        );
    };
    log::warn!("{missing}: asking the server at {} (admin.address)", remote.name());
    Ok(remote)
}

/// Whether `path` leads to the store of the settings, or is where that belongs.
pub fn is_store_of(settings: &Settings, path: &Path) -> bool {
    if settings.redis.is_used() {
        return false;
    }
    let file = file_of(&settings.store.path, &settings.board.name);
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let store = identity(&file);
    absolute(&file) == absolute(path)
        || store.is_ok_and(|store| identity(path).is_ok_and(|found| found == store))
}

/// The server that runs on the store of the settings.
pub fn running(settings: &Settings) -> Result<Remote> {
    let file = file_of(&settings.store.path, &settings.board.name);
    let store = identity(&file).with_context(|| file.display().to_string())?;
    let remote = Remote::local(&settings.admin.address, Meant::Identity(store))
        .context("the store is in use, so the server that runs on it is asked at admin.address")?;
    log::info!(
        "the store is in use: asking the server that should run on it, {} (admin.address)",
        remote.name()
    );
    Ok(remote)
}

/// Refuses what is not the board of the settings.
pub fn expect_board(settings: &Settings, found: &Header, any_name: bool) -> Result<()> {
    let wanted = &settings.board;
    if found.boxes != wanted.boxes {
        bail!(
            "it is of a board of {} boxes, but the settings say {} (board.boxes)",
            found.boxes,
            wanted.boxes
        );
    }
    if found.name != wanted.name && !any_name {
        bail!(
            "it is of the board '{}', but the settings say '{}' (board.name): say --any-name if \
             that is meant",
            found.name,
            wanted.name
        );
    }
    Ok(())
}
