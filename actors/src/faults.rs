//! Deliberate faults that prove the tests can fail. Compiled in only with the feature `faults`,
//! switched on by the environment variable `BILLION_FAULT`.

use std::sync::OnceLock;

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Boxes are learned, and so announced, before the store has them.
    AcknowledgeBeforeCommit,
    /// The first check panics its shard.
    ShardPanic,
}

/// Whether `fault` was asked for.
pub fn active(fault: Fault) -> bool {
    static ASKED_FOR: OnceLock<Option<Fault>> = OnceLock::new();
    let asked_for = ASKED_FOR.get_or_init(|| match std::env::var("BILLION_FAULT").as_deref() {
        Ok("acknowledge-before-commit") => Some(Fault::AcknowledgeBeforeCommit),
        Ok("shard-panic") => Some(Fault::ShardPanic),
        _ => None,
    });
    *asked_for == Some(fault)
}

/// Panics if `fault` was asked for.
pub fn panic_if(fault: Fault) {
    assert!(!active(fault), "the fault {fault:?} was asked for");
}
