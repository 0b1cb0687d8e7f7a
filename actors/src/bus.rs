//! The port through which the nodes of a board reach each other, beside the store of its boxes.
//!
//! Two kinds of things pass it. *Kept entries* are few and small and must survive: what operators have decided. They
//! lie where the board lies. *Messages* are news for whoever is there; any of them may be lost, so nothing that
//! matters depends on one.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::store::{BoxFuture, StoreError};

/// All kept entries, by their keys.
pub type Kept = BTreeMap<String, String>;

/// Most bytes of all kept entries together. Every node reads all of them whenever one changes.
pub const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What a node hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Kept entries have changed, or may have: read them.
    Changed,
    /// Some node, maybe this one, has published this.
    Message {
        /// What it is about.
        topic: String,
        /// As it was published.
        payload: Bytes,
    },
}

/// How a node reaches all nodes of its board, itself among them.
pub trait Bus: Send + Sync + 'static {
    /// Reads all kept entries.
    ///
    /// # Errors
    /// If what keeps them is away, or cannot be read.
    fn kept(&self) -> BoxFuture<Result<Kept, StoreError>>;

    /// Keeps `value` under `key`, or removes the key. Ready when a restart would find it so; every node hears
    /// [`Heard::Changed`] within a second of being reached.
    ///
    /// # Errors
    /// If it was not kept, or it is not known whether it was.
    fn keep(&self, key: String, value: Option<String>) -> BoxFuture<Result<(), StoreError>>;

    /// Sends a message to every node that is there.
    ///
    /// # Errors
    /// If it cannot have reached another node.
    fn publish(&self, topic: String, payload: Bytes) -> BoxFuture<Result<(), StoreError>>;

    /// Everything heard from now on. A listener that falls behind loses the oldest
    /// ([`RecvError::Lagged`](broadcast::error::RecvError::Lagged)), and then has to read what is kept again.
    fn listen(&self) -> broadcast::Receiver<Heard>;
}
