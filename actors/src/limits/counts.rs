//! What limits have decided, by rule.

use std::sync::Arc;

use prometheus_client::metrics::{counter::Counter, family::Family};

use super::{bucket::Taken, rate::Rate};

/// What a rule has decided: allowed, refused, and allowed with less than a fifth left.
pub type OfRule = [(&'static str, Arc<str>); 3];

/// Counts decisions, as `limit_decisions_total{rule,key,decision}`.
#[derive(Debug, Clone)]
pub struct RuleCounts {
    allowed: Counter,
    near: Counter,
    refused: Counter,
    shadow: Counter,
}

impl RuleCounts {
    /// Those of one rule and kind of key in `family`.
    pub fn new(family: &Family<OfRule, Counter>, rule: &str, key: &str) -> Self {
        let of = |decision: &str| {
            let labels: OfRule =
                [("rule", rule.into()), ("key", key.into()), ("decision", decision.into())];
            family.get_or_create_owned(&labels)
        };
        Self {
            allowed: of("allowed"),
            near: of("near"),
            refused: of("refused"),
            shadow: of("shadow"),
        }
    }

    /// Counts one that was let pass.
    pub fn allowed(&self, rate: Rate, taken: Taken) {
        if taken.is_near_the_limit(rate) {
            self.near.inc()
        } else {
            self.allowed.inc()
        };
    }

    /// Counts one that passed after a wait: of its bucket nothing was left.
    pub fn waited(&self) {
        self.near.inc();
    }

    /// Counts one that was refused, or would be.
    pub fn refused(&self, is_shadow: bool) {
        if is_shadow {
            self.shadow.inc()
        } else {
            self.refused.inc()
        };
    }
}
