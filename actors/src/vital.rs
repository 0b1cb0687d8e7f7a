//! What a node cannot do without, and what happens when it ends.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// Reports the first actor that ended although nobody asked it to.
#[derive(Debug, Default)]
pub struct Fatal {
    first: Mutex<Option<String>>,
    raised: Notify,
    /// Set when the node is being brought to rest: from then on actors may end.
    expected: AtomicBool,
}

impl Fatal {
    /// Reports that `what` cannot go on, unless the node is ending anyway.
    pub fn raise(&self, what: &str) {
        if self.expected.load(Ordering::Acquire) {
            return;
        }
        let mut first = self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert_with(|| what.to_owned());
        drop(first);
        self.raised.notify_one();
    }

    /// From here on actors may end: the node is being brought to rest.
    pub(crate) fn expect(&self) {
        self.expected.store(true, Ordering::Release);
    }

    /// What has ended, if anything has.
    pub fn get(&self) -> Option<String> {
        self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Waits until something that the node cannot do without has ended, and names it.
    pub async fn wait(&self) -> String {
        loop {
            if let Some(what) = self.get() {
                return what;
            }
            self.raised.notified().await;
        }
    }
}

/// Held by an actor that the node cannot do without: its drop reports the actor's end.
#[derive(Debug)]
pub struct Vital {
    what: String,
    fatal: Arc<Fatal>,
    /// What it is part of is being closed: from then on it may end.
    ending: Arc<AtomicBool>,
}

impl Vital {
    /// Reports to `fatal` that `what` has ended, unless it is `ending` by then.
    pub(crate) fn new(what: impl Into<String>, fatal: Arc<Fatal>, ending: Arc<AtomicBool>) -> Self {
        Self { what: what.into(), fatal, ending }
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if !self.ending.load(Ordering::Acquire) {
            self.fatal.raise(&self.what);
        }
    }
}
