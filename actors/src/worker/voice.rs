//! What belongs to a session whose client has spoken, or is a user's: made on demand, so that all the others pay for one
//! empty pointer. Plain data.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use crate::{channels::Group, limits::bucket::TokenBucket, player::UserId, talk::WAITING_MAX};

/// One session's part in what people say.
#[derive(Default)]
pub(crate) struct Voice {
    /// Of texts that nobody else is sent.
    pub(crate) texts: TokenBucket,
    /// Of messages, which others are sent.
    pub(crate) messages: TokenBucket,
    /// The groups that it has joined, and whether it wants to hear who is present there.
    groups: RefCell<Vec<(Group, bool)>>,
    /// Whose connection it counts as.
    pub(crate) user: Cell<Option<UserId>>,
    /// Its thread can find it by its id.
    pub(crate) is_indexed: Cell<bool>,
    /// Messages that it did not get since it was last told how many.
    lost: Cell<u64>,
    /// Texts that wait for those before them.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes for a session of which nothing waits, and not 32"
    )]
    waiting: RefCell<Option<Box<VecDeque<Box<str>>>>>,
    /// Something that it has asked for is under way.
    pub(crate) is_working: Cell<bool>,
}

impl Voice {
    /// It is in `group` from now on.
    pub(crate) fn joined(&self, group: Group, wants_presence: bool) {
        let mut groups = self.groups.borrow_mut();
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, wants)) => *wants = wants_presence,
            None => groups.push((group, wants_presence)),
        }
    }

    /// It is not any more.
    pub(crate) fn left(&self, group: Group) {
        self.groups.borrow_mut().retain(|(known, _)| *known != group);
    }

    /// All groups that it is in.
    pub(crate) fn groups(&self) -> Vec<Group> {
        self.groups.borrow().iter().map(|(group, _)| *group).collect()
    }

    /// In how many groups it is.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.borrow().len()
    }

    /// Whether it is in `group`, and wants to hear who is present there.
    pub(crate) fn wants_presence(&self, group: Group) -> bool {
        self.groups.borrow().contains(&(group, true))
    }

    /// Whether it is in `group`.
    pub(crate) fn is_in(&self, group: Group) -> bool {
        self.groups.borrow().iter().any(|(known, _)| *known == group)
    }

    /// It did not get a message.
    pub(crate) fn lose(&self) {
        self.lost.set(self.lost.get() + 1);
    }

    /// Whether it has lost messages and was not told so: until then it gets none, so that it is told at the place where
    /// they are missing.
    pub(crate) fn is_losing(&self) -> bool {
        self.lost.get() > 0
    }

    /// How many it has lost; from here on it gets messages again.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.take()
    }

    /// Whether another text may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.borrow().as_ref().is_none_or(|waiting| waiting.len() < WAITING_MAX)
    }

    /// A text waits for those before it.
    pub(crate) fn wait(&self, text: &str) {
        debug_assert!(self.has_room(), "asked before");
        self.waiting.borrow_mut().get_or_insert_default().push_back(text.into());
    }

    /// The next of those.
    pub(crate) fn next(&self) -> Option<Box<str>> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.as_mut()?.pop_front();
        // One that is silent keeps no memory of its last burst.
        waiting.take_if(|waiting| waiting.is_empty());
        next
    }
}
