//! Deliberate faults that prove the tests can fail. Compiled in only with the feature `faults`,
//! switched on by the environment variable `BILLION_FAULT`, several separated by commas.

use std::sync::OnceLock;

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Boxes are learned, and so announced, before the store has them.
    AcknowledgeBeforeCommit,
    /// The first check panics its shard.
    ShardPanic,
    /// A message of another node is believed to follow the one before, whatever it says.
    NoChain,
    /// Nobody looks whether Redis is ahead.
    NoLook,
    /// What was missed is noticed, and nothing is done about it.
    NoResync,
    /// What Redis has lost is not put back.
    NoPutBack,
    /// After a disconnect the Redis client is left to subscribe again by itself.
    NoResubscribe,
    /// A raised epoch is taken over without forgetting the old board.
    NoForgetting,
    /// Replicas are not waited for.
    NoWait,
    /// No fault: messages are sent as a later version might.
    LaterMessages,
}

/// All of them, and how they are called.
const NAMES: [(&str, Fault); 10] = [
    ("acknowledge-before-commit", Fault::AcknowledgeBeforeCommit),
    ("shard-panic", Fault::ShardPanic),
    ("no-chain", Fault::NoChain),
    ("no-look", Fault::NoLook),
    ("no-resync", Fault::NoResync),
    ("no-put-back", Fault::NoPutBack),
    ("no-resubscribe", Fault::NoResubscribe),
    ("no-forgetting", Fault::NoForgetting),
    ("no-wait", Fault::NoWait),
    ("later-messages", Fault::LaterMessages),
];

/// Whether `fault` was asked for.
pub fn active(fault: Fault) -> bool {
    static ASKED_FOR: OnceLock<Vec<Fault>> = OnceLock::new();
    let asked_for = ASKED_FOR.get_or_init(|| {
        let names = std::env::var("BILLION_FAULT").unwrap_or_default();
        let named = |name: &str| {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            known.unwrap_or_else(|| panic!("BILLION_FAULT: there is no fault {name:?}")).1
        };
        names.split(',').filter(|name| !name.is_empty()).map(named).collect()
    });
    asked_for.contains(&fault)
}

/// Panics if `fault` was asked for.
pub fn panic_if(fault: Fault) {
    assert!(!active(fault), "the fault {fault:?} was asked for");
}
