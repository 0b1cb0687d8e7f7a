//! One board on one HTTP worker thread: its hub, its courier, and what they share with the sessions there.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::{Actor, AsyncContext};

use super::{
    circle::Circle,
    courier::Courier,
    hub::{Hub, HubParts},
    roster::Roster,
};
use crate::{live::LiveCopy, node::Node, table::Table, wires::HubLink};

/// Room that all sessions of a thread use in turn.
pub(crate) struct Scratch {
    /// Where sockets are read into, one at a time.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Positions of the updates that concern the session at hand.
    pub(crate) picked: RefCell<Vec<u32>>,
}

impl Scratch {
    /// With so many bytes for what is read.
    pub(crate) fn new(read_buffer_bytes: usize) -> Self {
        let read_buffer = RefCell::new(vec![0; read_buffer_bytes].into_boxed_slice());
        Self { read_buffer, picked: RefCell::default() }
    }
}

/// What a desk is made from.
pub(crate) struct DeskParts {
    pub(crate) node: Arc<Node>,
    pub(crate) table: Arc<Table>,
    pub(crate) live: Rc<LiveCopy>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) circle: Option<Rc<Circle>>,
}

/// What the sessions of one board on one worker thread share.
pub struct Desk {
    /// The node.
    pub node: Arc<Node>,
    /// The board.
    pub table: Arc<Table>,
    /// The thread's hub of this board.
    pub(crate) hub: Arc<HubLink>,
    /// What that and its sessions share.
    pub(crate) roster: Rc<Roster>,
    /// The thread's copy of the settings that may change.
    pub(crate) live: Rc<LiveCopy>,
    /// Takes its sessions' checks to the shards.
    pub(crate) courier: Rc<Courier>,
    pub(crate) scratch: Rc<Scratch>,
    /// Who is in which group on this thread, if its clients may speak.
    pub(crate) circle: Option<Rc<Circle>>,
}

impl Desk {
    /// Starts the hub, which attaches itself to the board's broadcaster.
    pub(crate) fn open(parts: DeskParts) -> Rc<Self> {
        let DeskParts { node, table, live, scratch, circle } = parts;
        let roster = Rc::<Roster>::default();
        let (settings, clock) = (node.settings, node.clock);
        let shards = table.directory().clone();
        let courier = Courier::new(shards, settings.shards.gather, clock.began());
        let parts = HubParts {
            settings: settings.hub,
            live: live.clone(),
            clock,
            broadcaster: table.broadcaster().clone(),
            stats: table.stats.clone(),
            billboard: table.billboard().clone(),
            roster: roster.clone(),
            courier: courier.clone(),
            vital: table.vital_hub(&node.fatal),
        };
        let mut link = None;
        Hub::create(|ctx| {
            let own = HubLink::new(&ctx.address());
            link = Some(own.clone());
            Hub::new(parts, own)
        });
        let hub = link.expect("a context is made at once");
        table.add_hub(hub.clone());
        if let Some(circle) = circle.as_ref().filter(|_| Arc::ptr_eq(&table, node.main())) {
            circle.watch(&roster);
        }
        Rc::new(Self { node, table, hub, roster, live, courier, scratch, circle })
    }
}
