//! Limits as an operator sets them: rates and rules from `[limits]`, who is exempt, HTTP requests, and what many nodes
//! share through Redis. The buckets, and who is held or refused, are `actors::limits`.
//!
//! - [`written`] `"200-M burst 50"` · [`rules`] `[limits]` ready for use · [`visitor`] who asks, and how it is treated
//! - [`blocks`] what operators have blocked
//! - [`requests`] HTTP requests · [`answer`] what is told of limits · [`shared`] leases over Redis

pub mod blocks;
pub mod written;
pub mod rules;
pub mod visitor;
pub mod requests;
pub mod answer;
pub mod shared;

use actors::limits::{OfRule, RuleCounts};
use prometheus_client::metrics::{counter::Counter, family::Family};

/// Where decisions are counted, by rule.
#[derive(Debug, Clone, Default)]
pub struct Counts(Family<OfRule, Counter>);

impl Counts {
    /// In the family that the node's limits count in.
    pub fn of(limits: &actors::limits::Limits) -> Self {
        Self(limits.decisions.clone())
    }

    /// Those of one rule.
    pub fn of_rule(&self, rule: &str, key: &str) -> RuleCounts {
        RuleCounts::new(&self.0, rule, key)
    }
}
