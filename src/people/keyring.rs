//! Where the keys come from: a file of the operator's, or an entry that is kept with the board.

use std::{sync::Arc, time::Instant};

use actors::{
    bus::{Bus, Heard},
    store::StoreError,
};
use anyhow::{Context as _, Result};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::sleep,
};

use super::keys::Keys;
use crate::{
    followed::Followed,
    operators::{PAUSE, START_TIME},
    settings::Settings,
};

/// The kept entry with the keys, if no file has them.
const ENTRY: &str = "people.keys";

/// Where the keys come from, and their changes.
pub enum Source {
    /// `people.keys_file`.
    File(Followed<Keys>),
    /// What is kept with the board.
    Kept(Kept),
}

/// Keys that are kept with the board.
pub struct Kept {
    bus: Arc<dyn Bus>,
    text: String,
    keys: watch::Sender<Arc<Keys>>,
}

/// The keys in force, for whoever seals or opens.
#[derive(Debug, Clone)]
pub struct Keyring(watch::Receiver<Arc<Keys>>);

impl Keyring {
    /// Reads the keys for the first time. If no file is named and none are kept, makes one and keeps it.
    ///
    /// # Errors
    /// If the file cannot be used, or what is kept cannot be read or written.
    pub async fn open(settings: &Settings, bus: Arc<dyn Bus>) -> Result<(Self, Source)> {
        let path = &settings.people.keys_file;
        if !path.as_os_str().is_empty() {
            let opened = Followed::open_secret("people.keys_file", path, Keys::parse);
            let (file, keys) = opened.map_err(anyhow::Error::msg).context("people.keys_file")?;
            return Ok((Self(keys), Source::File(file)));
        }
        let began = Instant::now();
        let text = loop {
            match kept(&*bus, None).await {
                Ok(text) => break text,
                Err(error) if began.elapsed() > START_TIME => {
                    return Err(error).context("the keys of people cannot be read or kept");
                }
                Err(_) => sleep(PAUSE).await,
            }
        };
        let keys = Keys::parse(&text).map_err(anyhow::Error::msg);
        let keys = keys.with_context(|| format!("the entry {ENTRY} kept with the board"))?;
        let (sender, keys) = watch::channel(Arc::new(keys));
        Ok((Self(keys), Source::Kept(Kept { bus, text, keys: sender })))
    }

    /// Those in force now.
    pub fn now(&self) -> Arc<Keys> {
        self.0.borrow().clone()
    }

    #[cfg(test)]
    pub fn of(keys: Keys) -> Self {
        Self(watch::channel(Arc::new(keys)).1)
    }
}

/// The entry as it is kept; if it is missing, `known` or a new key is kept and read again, because another node may have
/// done the same in this moment and the last one counts.
async fn kept(bus: &dyn Bus, known: Option<&str>) -> Result<String, StoreError> {
    if let Some(text) = bus.kept().await?.remove(ENTRY) {
        return Ok(text);
    }
    match known {
        Some(_) => {
            log::warn!("the keys that seal identities were lost where they are kept: kept again")
        }
        None => log::info!(
            "made a key that seals the identities of players, and keep it with the board: people.keys_file names keys of \
             your own"
        ),
    }
    let text = known.map_or_else(Keys::generate, ToOwned::to_owned);
    bus.keep(ENTRY.to_owned(), Some(text)).await?;
    let kept = bus.kept().await?.remove(ENTRY);
    kept.ok_or_else(|| StoreError::Unavailable("a key was kept and is not there".into()))
}

impl Source {
    /// Follows their changes for as long as the process lives.
    pub async fn follow(self) {
        match self {
            Self::File(file) => file.follow().await,
            Self::Kept(kept) => kept.follow().await,
        }
    }
}

impl Kept {
    async fn follow(mut self) {
        let mut heard = self.bus.listen();
        loop {
            match heard.recv().await {
                Ok(Heard::Changed) | Err(RecvError::Lagged(_)) => self.read().await,
                Ok(Heard::Message { .. }) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn read(&mut self) {
        let text = loop {
            match kept(&*self.bus, Some(&self.text)).await {
                Ok(text) => break text,
                Err(error) => log::debug!("people: the keys were not read: {error}"),
            }
            sleep(PAUSE).await;
        };
        if text == self.text {
            return;
        }
        match Keys::parse(&text) {
            Ok(keys) => {
                log::info!("{keys} that seal identities are in force now, as kept with the board");
                self.keys.send_replace(Arc::new(keys));
                self.text = text;
            }
            Err(why) => {
                log::error!("the keys that are kept with the board stay as they were: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::bus::LocalBus;

    #[tokio::test]
    async fn a_key_is_made_once_and_found_again_and_kept_again_if_it_was_lost() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("main.redb");
        let bus = || Arc::new(LocalBus::open(&database).expect("it can be read"));
        let settings = Settings::defaults();
        let first = bus();
        let (ring, source) = Keyring::open(&settings, first.clone()).await.expect("a new key");
        let sealed = ring.now().seal(super::super::keys::Purpose::Cookie, b"x");
        let opens = |ring: &Keyring| {
            ring.now().open(super::super::keys::Purpose::Cookie, &sealed).is_some()
        };
        let (again, _) = Keyring::open(&settings, bus()).await.expect("the key there is");
        assert!(opens(&again));
        let Source::Kept(mut kept) = source else { panic!("no file is named") };
        first.keep(ENTRY.to_owned(), None).await.expect("room");
        kept.read().await;
        let (again, _) = Keyring::open(&settings, bus()).await.expect("the same key");
        assert!(opens(&again), "kept again");
        let (old, new) = (kept.text.clone(), Keys::generate());
        first.keep(ENTRY.to_owned(), Some(format!("{new}\n{old}"))).await.expect("room");
        kept.read().await;
        assert_eq!(ring.now().len(), 2);
        assert!(opens(&ring), "rotated");
        first.keep(ENTRY.to_owned(), Some("x".to_owned())).await.expect("room");
        kept.read().await;
        assert_eq!(ring.now().len(), 2, "a mistake changes nothing");
    }
}
