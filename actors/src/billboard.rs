//! What all pages of a board show from an operator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The last word about a board's notice: written before the hubs hear of it, so that nobody misses it in between.
#[derive(Debug, Default)]
pub(crate) struct Billboard(Mutex<Option<Poster>>);

#[derive(Debug)]
struct Poster {
    frame: Bytes,
    is_up: bool,
}

impl Billboard {
    fn lock(&self) -> MutexGuard<'_, Option<Poster>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a complete frame says which notice there `is`, or that there is none any more.
    pub(crate) fn set(&self, frame: Bytes, is_up: bool) {
        *self.lock() = Some(Poster { frame, is_up });
    }

    /// What newcomers are sent.
    pub(crate) fn notice(&self) -> Option<Bytes> {
        self.lock().as_ref().filter(|poster| poster.is_up).map(|poster| poster.frame.clone())
    }

    /// What somebody is sent who may have missed something.
    pub(crate) fn last_word(&self) -> Option<Bytes> {
        self.lock().as_ref().map(|poster| poster.frame.clone())
    }
}
