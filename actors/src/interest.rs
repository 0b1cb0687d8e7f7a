//! Which groups have members on this node, and on which of its threads: what other nodes publish to them has to be
//! followed here, and nothing else.
//!
//! Written where a thread's first member joins and its last one leaves, and looked at once for each message.

use std::{
    collections::{BTreeSet, HashMap},
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
    /// For each group its posts, and how often each is held.
    posts: HashMap<Group, Vec<(usize, u32)>>,
    changed: BTreeSet<Group>,
}

/// A group is followed for a post as long as this is kept.
#[derive(Debug)]
pub struct Held {
    interest: Arc<Interest>,
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
        let mut state = self.lock();
        let posts = state.posts.entry(group).or_default();
        match posts.iter_mut().find(|(number, _)| *number == post) {
            Some((_, holds)) => *holds += 1,
            None => posts.push((post, 1)),
        }
        drop(state);
        Held { interest: self.clone(), group, post }
    }

    /// The numbers of the posts with members of `group`.
    pub fn posts(&self, group: Group) -> Vec<usize> {
        let state = self.lock();
        let posts = state.posts.get(&group);
        posts.map_or_else(Vec::new, |posts| posts.iter().map(|(post, _)| *post).collect())
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

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.interest.lock();
        let Some(posts) = state.posts.get_mut(&self.group) else { return };
        if let Some(at) = posts.iter().position(|(post, _)| *post == self.post) {
            posts[at].1 -= 1;
            if posts[at].1 == 0 {
                posts.swap_remove(at);
            }
        }
        if posts.is_empty() {
            state.posts.remove(&self.group);
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
        drop(other);
        assert!(!interest.is_held(group) && interest.joined().is_empty());
        interest.note_change(group);
        assert_eq!(interest.take_changed(), BTreeSet::from([group]));
        assert_eq!(interest.take_changed(), BTreeSet::new());
    }
}
