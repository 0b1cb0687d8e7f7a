//! Which groups have members on this node, and on which of its threads: what other nodes publish to them has to be
//! followed here, and nothing else.
//!
//! Written where a thread's first member joins and its last one leaves, and looked at once for each message.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::channels::Group;

/// Groups whose members have changed and were not looked at; of more than that it is not known which.
const CHANGED_MAX: usize = 65_536;

/// The groups with members on this node.
#[derive(Debug, Default)]
pub struct Interest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    posts: HashMap<Group, Posts>,
    changed: BTreeSet<Group>,
}

/// The posts of one group, and how often each is held. Most users are on one thread, which takes no memory of its own.
#[derive(Debug)]
struct Posts {
    first: (u32, u32),
    others: Vec<(u32, u32)>,
}

impl Posts {
    fn iter(&self) -> impl Iterator<Item = usize> {
        [&self.first].into_iter().chain(&self.others).map(|(post, _)| *post as usize)
    }

    fn holds(&mut self, post: u32) -> Option<&mut u32> {
        let mut known = [&mut self.first].into_iter().chain(&mut self.others);
        known.find(|(number, _)| *number == post).map(|(_, holds)| holds)
    }

    fn hold(&mut self, post: u32) {
        match self.holds(post) {
            Some(holds) => *holds += 1,
            None => self.others.push((post, 1)),
        }
    }

    /// Whether no post is held any more.
    fn release(&mut self, post: u32) -> bool {
        if let Some(holds) = self.holds(post) {
            *holds -= 1;
        }
        self.others.retain(|(_, holds)| *holds > 0);
        if self.first.1 == 0
            && let Some(next) = self.others.pop()
        {
            self.first = next;
        }
        self.first.1 == 0
    }
}

/// A group is followed for a post as long as this is kept.
#[derive(Debug)]
pub struct Held {
    /// `None` once it was handed over.
    interest: Option<Arc<Interest>>,
    group: Group,
    post: usize,
}

impl Interest {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members of `group` are behind post number `post`, or about to be.
    pub fn hold(self: &Arc<Self>, group: Group, post: usize) -> Held {
        // As many as there are threads.
        let number = post as u32;
        match self.lock().posts.entry(group) {
            Entry::Occupied(mut posts) => posts.get_mut().hold(number),
            Entry::Vacant(posts) => {
                posts.insert(Posts { first: (number, 1), others: Vec::new() });
            }
        }
        Held { interest: Some(self.clone()), group, post }
    }

    /// Ends what a [`Held`] was kept for that was [handed over](Held::hand_over).
    pub(crate) fn release(&self, group: Group, post: usize) {
        let mut state = self.lock();
        if state.posts.get_mut(&group).is_some_and(|posts| posts.release(post as u32)) {
            state.posts.remove(&group);
        }
    }

    /// The numbers of the posts with members of `group`.
    pub fn posts(&self, group: Group) -> Vec<usize> {
        let state = self.lock();
        let posts = state.posts.get(&group);
        posts.map_or_else(Vec::new, |posts| posts.iter().collect())
    }

    /// Whether a group has members here.
    pub fn is_held(&self, group: Group) -> bool {
        self.lock().posts.contains_key(&group)
    }

    /// All groups with members here that are joined.
    pub fn joined(&self) -> Vec<Group> {
        self.lock().posts.keys().copied().filter(|group| group.is_joined()).collect()
    }

    /// Somebody has joined a group or left it.
    pub(crate) fn note_change(&self, group: Group) {
        let mut state = self.lock();
        if group.is_joined() && state.changed.len() < CHANGED_MAX {
            state.changed.insert(group);
        }
    }

    /// The groups that somebody has joined or left since this was last asked.
    pub fn take_changed(&self) -> BTreeSet<Group> {
        std::mem::take(&mut self.lock().changed)
    }
}

impl Held {
    /// Whoever has this knows the group and the post, and will [release](Interest::release) them: a word less to keep.
    pub(crate) fn hand_over(mut self) {
        self.interest = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(interest) = &self.interest {
            interest.release(self.group, self.post);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_followed_for_as_long_as_anybody_holds_it() {
        let (interest, group) = (Arc::<Interest>::default(), Group::Room(1));
        let (first, again) = (interest.hold(group, 0), interest.hold(group, 0));
        let other = interest.hold(group, 3);
        assert_eq!(interest.posts(group), [0, 3]);
        drop(first);
        assert_eq!(interest.posts(group), [0, 3]);
        drop(again);
        assert_eq!(interest.posts(group), [3]);
        let _elsewhere = interest.hold(Group::Tile(3), 3);
        assert_eq!(interest.joined(), [group], "a tile is looked at, not joined");
        interest.hold(group, 4).hand_over();
        drop(other);
        assert_eq!(interest.posts(group), [4]);
        interest.release(group, 4);
        assert!(!interest.is_held(group) && interest.joined().is_empty());
        interest.note_change(group);
        assert_eq!(interest.take_changed(), BTreeSet::from([group]));
        assert_eq!(interest.take_changed(), BTreeSet::new());
    }
}
