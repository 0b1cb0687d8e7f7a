//! `[limits]`, and the rates that follow from it and from `[limiter]`.

use actors::limits::{Height, Kind, Rates, rate::Rate};
use serde::Deserialize;

use super::{Limiter, Settings};
use crate::limits::{rules::Route, written::Written};

/// Pings and Pongs of one connection a second, and at once: clients send one every ten seconds or so.
const CONTROL_FRAMES: (f64, u32) = (10.0, 50);

/// Bytes that the longest frame of the game takes: a range request, its header and its mask.
const FRAME_BYTES: u64 = 14;

/// Bytes of one connection a second, and at once, at least: rare large control frames pass.
const BYTES_IN: (f64, u64) = (16_384.0, 65_536);

/// Of these, an address has those of so many connections.
const ADDRESS_SHARE: u32 = 10;

/// A user has the checks of so many connections.
const USERS_SHARE: u32 = 2;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub address: String,
    pub ipv6_prefix: u8,
    pub address_checks: String,
    pub address_range_bytes: String,
    pub address_connects: String,
    pub address_requests: String,
    pub node_checks: String,
    pub node_range_bytes: String,
    pub node_connects: String,
    pub node_requests: String,
    pub allow: Vec<String>,
    pub block: Vec<String>,
    pub skip: Vec<String>,
    pub route: Vec<Route>,
    pub status: u16,
    pub text: String,
    pub headers: bool,
    pub shadow: bool,
    pub prefix: String,
}

impl Limits {
    /// Whether addresses have limits.
    pub fn is_on(&self) -> bool {
        self.address == "on"
    }
}

/// How fast Pings and Pongs may come on one connection.
pub fn control_frames() -> Rate {
    Rate::new(CONTROL_FRAMES.0, CONTROL_FRAMES.1)
}

impl Settings {
    /// What is counted at which height.
    pub fn rates(&self) -> Rates {
        let (limits, checks) = (&self.limits, Rate::new(self.limiter.limit, self.limiter.burst));
        let written = |text: &str| {
            let written = Written::parse(text, None);
            written.expect("validated when the settings were loaded").rate
        };
        let mut rates = Rates::default().shadow(limits.shadow);
        for (kind, text) in [
            (Kind::Checks, &limits.node_checks),
            (Kind::RangeBytes, &limits.node_range_bytes),
            (Kind::Connects, &limits.node_connects),
            (Kind::Requests, &limits.node_requests),
        ] {
            rates = rates.with(Height::Node, kind, written(text));
        }
        // Whoever lifts the limit of a connection means all of them.
        if !checks.is_unlimited() {
            rates = rates.with(Height::User, Kind::Checks, checks.times(USERS_SHARE));
        }
        if !limits.is_on() {
            return rates;
        }
        if !checks.is_unlimited() {
            rates = rates.with(Height::Address, Kind::Checks, written(&limits.address_checks));
        }
        for (kind, rate) in [
            (Kind::RangeBytes, written(&limits.address_range_bytes)),
            (Kind::Connects, written(&limits.address_connects)),
            (Kind::Requests, written(&limits.address_requests)),
            (Kind::ControlFrames, control_frames().times(ADDRESS_SHARE)),
            (Kind::BytesIn, self.bytes_in().times(ADDRESS_SHARE)),
        ] {
            rates = rates.with(Height::Address, kind, rate);
        }
        rates
    }

    /// Bytes that a client may send: four times what it needs for as many messages as it may send.
    pub(super) fn bytes_in(&self) -> Rate {
        let Limiter { limit, burst, range_limit, range_burst } = &self.limiter;
        if *limit == 0.0 || *range_limit == 0.0 {
            return Rate::UNLIMITED;
        }
        let (pace, at_once) = (limit + range_limit, u64::from(*burst) + u64::from(*range_burst));
        let most = u64::from(u32::MAX);
        let at_once = (4 * FRAME_BYTES * at_once).clamp(BYTES_IN.1, most) as u32;
        Rate::new((4.0 * FRAME_BYTES as f64 * pace).max(BYTES_IN.0), at_once)
    }
}
