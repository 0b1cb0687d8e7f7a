//! What a hub and the sessions of its thread share: who is new, and who looks where. Neither of them
//! waits for the other here; nothing is borrowed across an await.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use super::{downlink::Downlink, viewers::Viewers};
use crate::{board::BoxRange, link::SessionLink, player::SessionId};

/// The sessions of one board on one worker thread, as far as they and their hub both need to know.
#[derive(Default)]
pub(crate) struct Roster {
    /// Those whose `Join` is under way.
    newcomers: RefCell<HashMap<SessionId, Rc<Downlink>>>,
    viewers: RefCell<Viewers<SessionId, Downlink>>,
    /// The total that every session here has been told, or has waiting for it.
    settled: Cell<u32>,
}

impl Roster {
    /// A session asks its hub to let it in.
    pub(crate) fn announce(&self, downlink: &Rc<Downlink>) {
        self.newcomers.borrow_mut().insert(downlink.link.id(), downlink.clone());
    }

    /// The hub lets it in; `None` if it has ended meanwhile.
    pub(crate) fn let_in(&self, link: &Arc<SessionLink>) -> Option<Rc<Downlink>> {
        self.newcomers.borrow_mut().remove(&link.id())
    }

    /// The view of a session has come to `seen`, and `passed` may be out of it; `still` says which
    /// tiles it covers anyway.
    pub(crate) fn look(
        &self,
        downlink: &Rc<Downlink>,
        seen: BoxRange,
        passed: Option<BoxRange>,
        still: impl Fn(u32) -> bool,
    ) {
        let mut viewers = self.viewers.borrow_mut();
        for tile in seen.tiles() {
            viewers.watch(tile, downlink.link.id(), downlink);
        }
        for tile in passed.into_iter().flat_map(BoxRange::tiles).filter(|tile| !still(*tile)) {
            viewers.unwatch(tile, downlink.link.id());
        }
    }

    /// A session has sent a check and will hear of it wherever it is.
    pub(crate) fn ask(&self, downlink: &Rc<Downlink>) {
        self.viewers.borrow_mut().ask(downlink.link.id(), downlink);
    }

    /// A session has ended that looked at `ranges`.
    pub(crate) fn leave(&self, downlink: &Rc<Downlink>, ranges: &[BoxRange]) {
        let id = downlink.link.id();
        self.newcomers.borrow_mut().remove(&id);
        let mut viewers = self.viewers.borrow_mut();
        for tile in ranges.iter().copied().flat_map(BoxRange::tiles) {
            viewers.unwatch(tile, id);
        }
        viewers.forget_asking(id);
    }

    /// The `v=2` sessions that a batch with boxes in `tiles` concerns, found by walk `number`.
    pub(crate) fn find(&self, tiles: impl FnOnce() -> Vec<u32>, number: u32) -> Vec<Rc<Downlink>> {
        let mut viewers = self.viewers.borrow_mut();
        if viewers.is_empty() {
            return Vec::new();
        }
        viewers.find(&tiles(), Downlink::is_asking, |downlink| downlink.find(number))
    }

    /// The `v=2` sessions that look at `tile`.
    pub(crate) fn looking_at(&self, tile: u32) -> Vec<Rc<Downlink>> {
        self.viewers.borrow().of_tile(tile)
    }

    /// The total before the batch that is on its way to the sessions, if one is.
    pub(crate) fn settled(&self) -> u32 {
        self.settled.get()
    }

    /// No batch is on its way any more.
    pub(crate) fn settle(&self, total: u32) {
        self.settled.set(total);
    }
}
