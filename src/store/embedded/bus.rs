//! The bus of a node that has its board for itself: messages stay in the process, and kept entries lie in a file of
//! JSON beside the board's. That file is replaced as a whole, so a crash leaves the old one or the new one.
//!
//! Not in the board's database: that is made again from its log when its file is lost, and read by every version that
//! knows its format. This has neither need.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use actors::{
    bus::{Bus, Heard, KEPT_BYTES_MAX, Kept},
    store::{BoxFuture, StoreError},
};
use bytes::Bytes;
use tokio::{
    sync::{Mutex, broadcast},
    task::spawn_blocking,
};

use crate::reading;

/// Messages that a listener may be behind.
const BEHIND_MAX: usize = 1024;

/// The bus of one node.
pub struct LocalBus {
    file: Arc<Path>,
    kept: Arc<Mutex<Kept>>,
    heard: broadcast::Sender<Heard>,
}

/// Where the kept entries of the board in `database` are.
fn beside(database: &Path) -> PathBuf {
    database.with_extension("kept.json")
}

impl LocalBus {
    /// Of the board whose database this is, with the entries that are kept beside it.
    ///
    /// # Errors
    /// If there is a file of entries that cannot be read.
    pub fn open(database: &Path) -> Result<Self, StoreError> {
        let file: Arc<Path> = beside(database).into();
        let kept = match reading::found(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::new(),
            Err(error) => return Err(unusable(&file, &error.to_string())),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| unusable(&file, &format!("it is damaged ({error})")))?,
        };
        let kept = Arc::new(Mutex::new(kept));
        Ok(Self { file, kept, heard: broadcast::channel(BEHIND_MAX).0 })
    }
}

fn unusable(file: &Path, why: &str) -> StoreError {
    let file = file.display();
    let text = format!(
        "{file} holds what operators have decided (blocks, notices, read-only) and cannot be used: {why}. Restore it, or \
         move it away to start without"
    );
    StoreError::Unusable(text.into())
}

/// Replaces the file, durably.
fn write(file: &Path, kept: &Kept) -> std::io::Result<()> {
    let bytes = serde_json::to_vec_pretty(kept)?;
    if bytes.len() > KEPT_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "more than {KEPT_BYTES_MAX} bytes are not kept"
        )));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(&bytes)?;
    fresh.as_file().sync_all()?;
    fresh.persist(file)?;
    // The name is durable only with its folder.
    File::open(folder)?.sync_all()
}

impl Bus for LocalBus {
    fn kept(&self) -> BoxFuture<Result<Kept, StoreError>> {
        let kept = self.kept.clone();
        Box::pin(async move { Ok(kept.lock().await.clone()) })
    }

    fn keep(&self, key: String, value: Option<String>) -> BoxFuture<Result<(), StoreError>> {
        let (file, kept, heard) = (self.file.clone(), self.kept.clone(), self.heard.clone());
        Box::pin(async move {
            let mut kept = kept.lock().await;
            let mut next = kept.clone();
            match value {
                Some(value) => _ = next.insert(key, value),
                None => _ = next.remove(&key),
            }
            let name = file.display().to_string();
            let written = spawn_blocking(move || write(&file, &next).map(|()| next)).await;
            let failed =
                |why: String| StoreError::Unavailable(format!("cannot write {name}: {why}").into());
            let next = written.map_err(|error| failed(error.to_string()))?;
            *kept = next.map_err(|error| failed(error.to_string()))?;
            // Nobody may be listening yet.
            let _ = heard.send(Heard::Changed);
            Ok(())
        })
    }

    fn publish(&self, topic: String, payload: Bytes) -> BoxFuture<Result<(), StoreError>> {
        let _ = self.heard.send(Heard::Message { topic, payload });
        Box::pin(async { Ok(()) })
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_survives_and_is_heard_of() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("main.redb");
        let bus = LocalBus::open(&database).expect("nothing is kept");
        let mut heard = bus.listen();
        for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", None)] {
            bus.keep(key.into(), value.map(Into::into)).await.expect("room");
            assert_eq!(heard.recv().await, Ok(Heard::Changed));
        }
        let wanted = Kept::from([("b".to_owned(), "2".to_owned())]);
        assert_eq!(bus.kept().await.expect("it is there"), wanted);
        let again = LocalBus::open(&database).expect("it is whole");
        assert_eq!(again.kept().await.expect("it is there"), wanted);
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            1,
            "and nothing beside it"
        );
        bus.publish("x".into(), Bytes::from_static(b"y")).await.expect("it stays inside");
        let message = Heard::Message { topic: "x".into(), payload: Bytes::from_static(b"y") };
        assert_eq!(heard.recv().await, Ok(message));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_changes_nothing_and_a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("main.redb");
        let bus = LocalBus::open(&database).expect("nothing is kept");
        let too_long = "x".repeat(KEPT_BYTES_MAX);
        assert!(bus.keep("a".into(), Some(too_long)).await.is_err());
        assert_eq!(bus.kept().await.expect("it is there"), Kept::new());
        fs::write(beside(&database), "{").expect("room");
        let Err(StoreError::Unusable(why)) = LocalBus::open(&database) else {
            panic!("it is damaged")
        };
        assert!(why.contains("main.kept.json") && why.contains("is damaged"), "{why}");
    }
}
