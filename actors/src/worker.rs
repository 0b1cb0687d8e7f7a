//! What lives on one HTTP worker thread: its hub, its courier, and what they share with its sessions.

pub(crate) mod courier;
pub(crate) mod downlink;
mod heartbeat;
mod hub;
mod pulses;
pub(crate) mod roster;
pub mod viewers;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::{Actor, AsyncContext};

use self::{
    courier::Courier,
    hub::{Hub, HubParts},
    roster::Roster,
};
use crate::{node::Node, vital::Vital, wires::HubLink};

/// What the sessions of one worker thread share.
pub struct Worker {
    /// The node.
    pub node: Arc<Node>,
    /// The thread's hub.
    pub(crate) hub: Arc<HubLink>,
    /// What that and its sessions share.
    pub(crate) roster: Rc<Roster>,
    /// Takes its sessions' checks to the shards.
    pub(crate) courier: Rc<Courier>,
    /// Where sockets are read into, one at a time.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Positions of the updates that concern the session at hand.
    pub(crate) picked: RefCell<Vec<u32>>,
}

impl Worker {
    /// Starts this thread's hub, which attaches itself to the broadcaster.
    pub fn start(node: Arc<Node>) -> Rc<Self> {
        let roster = Rc::<Roster>::default();
        let (shards, stats) = (node.directory().clone(), node.stats.clone());
        let (settings, clock) = (node.settings, node.clock);
        let courier = Courier::new(shards, settings.shards.gather, clock.began());
        let parts = HubParts {
            settings: settings.hub,
            clock,
            broadcaster: node.broadcaster().clone(),
            stats,
            roster: roster.clone(),
            courier: courier.clone(),
            vital: Vital::new("a hub", node.fatal.clone()),
        };
        let mut link = None;
        Hub::create(|ctx| {
            let own = HubLink::new(&ctx.address());
            link = Some(own.clone());
            Hub::new(parts, own)
        });
        let hub = link.expect("a context is made at once");
        node.add_hub(hub.clone());
        let buffer = vec![0; node.settings.session.read_buffer_bytes].into_boxed_slice();
        Rc::new(Self {
            node,
            hub,
            roster,
            courier,
            read_buffer: RefCell::new(buffer),
            picked: RefCell::new(Vec::new()),
        })
    }
}
