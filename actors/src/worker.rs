//! What lives on one HTTP worker thread: for each board in play a [`Desk`], and what all of them share.

pub(crate) mod circle;
pub(crate) mod courier;
pub mod desk;
pub(crate) mod downlink;
pub mod groups;
mod heartbeat;
mod hub;
mod member;
mod post;
mod pulses;
pub(crate) mod roster;
pub mod viewers;
pub(crate) mod voice;

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use self::{
    circle::Circle,
    desk::{Desk, DeskParts, Scratch},
    post::Post,
};
use crate::{
    live::{LiveCopy, LiveSettings},
    node::Node,
    table::Table,
};

/// One HTTP worker thread.
pub struct Worker {
    /// The node.
    pub node: Arc<Node>,
    /// By the names of their boards.
    desks: RefCell<HashMap<String, Rc<Desk>>>,
    /// The thread's copy of the settings that may change.
    live: Rc<LiveCopy>,
    scratch: Rc<Scratch>,
    /// Begun with its first desk.
    circle: OnceCell<Option<Rc<Circle>>>,
}

impl Worker {
    /// Of this thread, without a desk yet.
    pub fn start(node: Arc<Node>) -> Rc<Self> {
        let scratch = Rc::new(Scratch::new(node.settings.session.read_buffer_bytes));
        let live = LiveCopy::new(node.live.subscribe());
        let (desks, circle) = (RefCell::default(), OnceCell::new());
        Rc::new(Self { node, desks, live, scratch, circle })
    }

    /// The settings that may change, as they are now.
    pub fn live(&self) -> Rc<LiveSettings> {
        self.live.now()
    }

    /// Who is in which group on this thread, if the node was given a [`Talk`](crate::talk::Talk).
    fn circle(&self) -> Option<Rc<Circle>> {
        let begin = || Some(Post::start_for(&self.node, self.node.talk()?.clone()));
        self.circle.get_or_init(begin).clone()
    }

    /// This thread's desk for a board; opened for the first who asks, and given up when the board is closed.
    pub fn desk(self: &Rc<Self>, table: &Arc<Table>) -> Rc<Desk> {
        let mut desks = self.desks.borrow_mut();
        let known = desks.get(table.board.name()).filter(|desk| Arc::ptr_eq(&desk.table, table));
        if let Some(desk) = known {
            return desk.clone();
        }
        let desk = Desk::open(DeskParts {
            node: self.node.clone(),
            table: table.clone(),
            live: self.live.clone(),
            scratch: self.scratch.clone(),
            circle: self.circle(),
        });
        if table.is_closed() {
            // Not kept: another one of that name may be open by now. Whoever comes to it finds nobody there.
            return desk;
        }
        desks.insert(table.board.name().to_owned(), desk.clone());
        let (worker, closing) = (Rc::downgrade(self), Rc::downgrade(&desk));
        let closed = table.closed();
        actix::spawn(async move {
            closed.await;
            if let Some(worker) = worker.upgrade() {
                worker.desks.borrow_mut().retain(|_, desk| closing.as_ptr() != Rc::as_ptr(desk));
            }
        });
        desk
    }
}
