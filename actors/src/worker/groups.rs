//! Who is in which group: the members on one worker thread, on whichever board they play. Plain data.
//!
//! To join and to leave takes constant time, to find a group's members as long as there are members.

use std::{collections::HashMap, hash::Hash, rc::Rc};

use indexmap::IndexMap;

/// The members of one group. Most groups of one kind, the connections of a user, have a single one.
#[derive(Debug)]
enum Crowd<K, V> {
    One(K, Rc<V>),
    Many(Box<IndexMap<K, Rc<V>>>),
}

/// What has become of a group by one who joined or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it was in it already, or was not.
    None,
    /// It has one member more or less.
    Members,
    /// It has its first member, or none any more.
    Group,
}

/// Members by their groups.
#[derive(Debug)]
pub struct Groups<G, K, V> {
    crowds: HashMap<G, Crowd<K, V>>,
}

impl<G, K, V> Default for Groups<G, K, V> {
    fn default() -> Self {
        Self { crowds: HashMap::new() }
    }
}

impl<G: Copy + Eq + Hash, K: Copy + Eq + Hash, V> Groups<G, K, V> {
    /// `member`, whose key is `key`, joins `group`.
    pub fn join(&mut self, group: G, key: K, member: &Rc<V>) -> Change {
        let Some(crowd) = self.crowds.get_mut(&group) else {
            self.crowds.insert(group, Crowd::One(key, member.clone()));
            return Change::Group;
        };
        match crowd {
            Crowd::One(only, _) if *only == key => Change::None,
            Crowd::One(only, first) => {
                let both = [(*only, first.clone()), (key, member.clone())];
                *crowd = Crowd::Many(Box::new(IndexMap::from_iter(both)));
                Change::Members
            }
            Crowd::Many(members) => match members.insert(key, member.clone()) {
                Some(_) => Change::None,
                None => Change::Members,
            },
        }
    }

    /// The member `key` leaves `group`.
    pub fn leave(&mut self, group: G, key: K) -> Change {
        let (was_in, is_empty) = match self.crowds.get_mut(&group) {
            None => (false, false),
            Some(Crowd::One(only, _)) => (*only == key, *only == key),
            Some(Crowd::Many(members)) => (members.swap_remove(&key).is_some(), members.is_empty()),
        };
        match (was_in, is_empty) {
            (false, _) => Change::None,
            (true, false) => Change::Members,
            (true, true) => {
                self.crowds.remove(&group);
                Change::Group
            }
        }
    }

    /// All members of `group`.
    pub fn members(&self, group: G) -> Vec<Rc<V>> {
        match self.crowds.get(&group) {
            None => Vec::new(),
            Some(Crowd::One(_, only)) => vec![only.clone()],
            Some(Crowd::Many(members)) => members.values().cloned().collect(),
        }
    }

    /// The member `key` of `group`.
    pub fn member(&self, group: G, key: K) -> Option<&Rc<V>> {
        match self.crowds.get(&group)? {
            Crowd::One(only, member) => (*only == key).then_some(member),
            Crowd::Many(members) => members.get(&key),
        }
    }

    /// Whether nobody is in any group.
    pub fn is_empty(&self) -> bool {
        self.crowds.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_kept_of_those_who_have_left() {
        let mut groups = Groups::default();
        let members: Vec<_> = (0..3).map(Rc::new).collect();
        for (key, member) in members.iter().enumerate() {
            groups.join('a', key, member);
            groups.join('a', key, member);
        }
        assert_eq!(groups.member('a', 1), Some(&members[1]));
        for key in 0..3 {
            groups.leave('a', key);
        }
        assert!(groups.is_empty());
        assert!(members.iter().all(|member| Rc::strong_count(member) == 1));
    }

    proptest! {
        /// Against sets that are searched.
        #[test]
        fn whoever_joins_is_found_until_it_leaves(
            steps in prop::collection::vec((0_u8..4, 0_u32..6, any::<bool>()), 0..200),
        ) {
            let members: Vec<_> = (0..6).map(Rc::new).collect();
            let (mut groups, mut model) = (Groups::default(), BTreeMap::<u8, BTreeSet<u32>>::new());
            for (group, key, joins) in steps {
                let known = model.entry(group).or_default();
                let before = known.len();
                let change = if joins {
                    known.insert(key);
                    groups.join(group, key, &members[key as usize])
                } else {
                    known.remove(&key);
                    groups.leave(group, key)
                };
                let expected = match (before, known.len()) {
                    (before, after) if before == after => Change::None,
                    (0, 1) | (1, 0) => Change::Group,
                    _ => Change::Members,
                };
                prop_assert_eq!(change, expected);
                for (group, known) in &model {
                    let mut found: Vec<u32> =
                        groups.members(*group).iter().map(|member| **member).collect();
                    found.sort_unstable();
                    prop_assert_eq!(found, known.iter().copied().collect::<Vec<_>>());
                    for key in 0..6 {
                        prop_assert_eq!(groups.member(*group, key).is_some(), known.contains(&key));
                    }
                }
            }
        }
    }
}
