//! What all dashboards of a node are sent once a second: made once, whoever looks, and only while somebody does.

use std::collections::BTreeMap;

use actors::{node::Node, player::SessionId};
use bytes::Bytes;
use serde::Serialize;

use super::{
    model::{Decisions, Notice, ReadOnly},
    nodes::NodeStats,
};
use crate::{admission::Admission, wall::now_ms};

/// Addresses that are named: as many as one reads at a glance.
const ADDRESSES: usize = 10;

/// An address, and how many connections it has.
#[derive(Debug, Serialize)]
struct Busy {
    address: String,
    connections: usize,
}

/// One second of a node and its board.
#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    /// Of this process.
    node: String,
    at_ms: u64,
    /// All that were heard lately, this one among them.
    nodes: Vec<NodeStats>,
    /// What this node has turned away since it was started, by reason.
    refusals: BTreeMap<&'static str, u64>,
    /// Those with most connections to this node.
    addresses: Vec<Busy>,
    read_only: Option<&'a ReadOnly>,
    notice: Option<&'a Notice>,
    /// How many blocks are in force.
    blocks: usize,
    /// Another number whenever they were changed.
    blocks_version: u64,
}

/// The event, ready to be sent.
pub fn event(
    node: &Node,
    nodes: Vec<NodeStats>,
    admission: &Admission,
    decisions: &Decisions,
    blocks_version: u64,
) -> Bytes {
    let now_ms = now_ms();
    let mut refusals = BTreeMap::new();
    for (reason, count) in node.tables().iter().flat_map(|table| table.stats.refusals.all()) {
        *refusals.entry(reason).or_default() += count;
    }
    let top = admission.top_addresses(ADDRESSES).into_iter();
    let snapshot = Snapshot {
        node: SessionId::process(),
        at_ms: now_ms,
        nodes,
        refusals,
        addresses: top
            .map(|(address, connections)| Busy { address: address.to_string(), connections })
            .collect(),
        read_only: decisions.read_only.as_ref(),
        notice: decisions.notice.as_ref().filter(|notice| !notice.is_over(now_ms)),
        blocks: decisions.blocks.iter().filter(|block| !block.is_over(now_ms)).count(),
        blocks_version,
    };
    format!("event: stats\ndata: {}\n\n", super::model::written(&snapshot)).into()
}
