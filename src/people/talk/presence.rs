//! Who is present in which group, on all nodes together, as far as it was last read. Plain data.

use std::collections::{BTreeMap, BTreeSet};

use actors::{
    channels::Group,
    player::{SessionId, UserId},
};

/// Seconds after which a node says again who is present on it: a third of the time for which that holds.
const AGAIN_S: u64 = 5;

/// Users that are named in one frame.
pub const NAMED_MAX: usize = 1000;

/// A connection that waits to hear who is present.
pub type Newcomer = SessionId;

/// What is known of one group.
#[derive(Debug, Default)]
struct Known {
    present: Option<Vec<UserId>>,
    newcomers: BTreeSet<Newcomer>,
    is_changed: bool,
    /// Those who want to hear who is present may not have heard what changed last.
    is_untold: bool,
    is_reading: bool,
    /// When it was last said, in seconds.
    said_s: u64,
}

/// All groups with members here.
#[derive(Debug, Default)]
pub struct Presence(BTreeMap<Group, Known>);

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Who has come, to those who want to hear that.
    pub joins: Vec<UserId>,
    /// Who has left.
    pub leaves: Vec<UserId>,
    /// Who gets all that are present instead, which are these.
    pub newcomers: BTreeSet<Newcomer>,
    /// All that are present.
    pub present: Vec<UserId>,
    /// Everybody gets all of them.
    pub is_untold: bool,
}

impl Presence {
    /// Who is present in `group` may have changed, here or elsewhere.
    pub fn change(&mut self, group: Group) {
        self.0.entry(group).or_default().is_changed = true;
    }

    /// The same, if it has members here.
    pub fn change_elsewhere(&mut self, group: Group) {
        if let Some(known) = self.0.get_mut(&group) {
            known.is_changed = true;
        }
    }

    /// A connection that has joined wants to hear who is present.
    pub fn welcome(&mut self, group: Group, newcomer: Newcomer) {
        let known = self.0.entry(group).or_default();
        known.newcomers.insert(newcomer);
        known.is_changed = true;
    }

    /// Not everybody could be sent what was read last.
    pub fn tell_again(&mut self, group: Group, newcomers: BTreeSet<Newcomer>) {
        if let Some(known) = self.0.get_mut(&group) {
            known.newcomers.extend(newcomers);
            (known.is_changed, known.is_untold) = (true, true);
        }
    }

    /// Once a second, of which this is `now_s`: the groups that are to be said and read.
    pub fn tick(&mut self, now_s: u64) -> Vec<Group> {
        let due = self.0.iter_mut().filter(|(_, known)| {
            !known.is_reading && (known.is_changed || now_s >= known.said_s + AGAIN_S)
        });
        due.map(|(group, known)| {
            (known.is_reading, known.is_changed, known.said_s) = (true, false, now_s);
            *group
        })
        .collect()
    }

    /// What was read of a group, each user once and in order; `None`: it could not be read, and is read again. `is_here`:
    /// it has members here.
    pub fn read(
        &mut self,
        group: Group,
        present: Option<Vec<UserId>>,
        is_here: bool,
    ) -> Option<News> {
        let known = self.0.get_mut(&group)?;
        known.is_reading = false;
        let Some(present) = present else {
            known.is_changed = true;
            return None;
        };
        if !is_here && !known.is_changed {
            self.0.remove(&group);
            return None;
        }
        let before = known.present.replace(present.clone());
        let newcomers = std::mem::take(&mut known.newcomers);
        let (joins, leaves) = before.map_or_else(Default::default, |before| {
            // In order, as the port has it, so that a large group needs no set of its members each time.
            let only = |these: &[UserId], those: &[UserId]| -> Vec<UserId> {
                let is_new = |user: &&UserId| those.binary_search(user).is_err();
                these.iter().filter(is_new).copied().collect()
            };
            (only(&present, &before), only(&before, &present))
        });
        let is_untold = std::mem::take(&mut known.is_untold);
        Some(News { joins, leaves, newcomers, present, is_untold })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users<const N: usize>(numbers: [u64; N]) -> Vec<UserId> {
        numbers.map(|number| UserId::new(number).expect("not 0")).to_vec()
    }

    #[test]
    fn who_comes_and_leaves_is_news_once_a_second() {
        let (mut presence, group) = (Presence::default(), Group::Room(1));
        let newcomer = SessionId::next();
        presence.welcome(group, newcomer);
        assert_eq!(presence.tick(10), [group]);
        presence.change(group);
        assert_eq!(presence.tick(11), [], "it is being read");
        let news = presence.read(group, Some(users([1, 2])), true).expect("the first");
        assert_eq!((news.joins, news.leaves), (vec![], vec![]), "nobody has heard anything before");
        assert_eq!((news.present, news.newcomers), (users([1, 2]), BTreeSet::from([newcomer])));
        assert_eq!(presence.tick(12), [group]);
        let news = presence.read(group, Some(users([2, 3])), true).expect("it has changed");
        assert_eq!((news.joins, news.leaves), (users([3]), users([1])));
        assert!(news.newcomers.is_empty());
        assert_eq!(presence.tick(13), []);
        presence.tell_again(group, BTreeSet::from([newcomer]));
        assert_eq!(presence.tick(14), [group]);
        let news = presence.read(group, Some(users([2, 3])), true).expect("it was not heard");
        assert!(news.is_untold && news.newcomers.contains(&newcomer));
        presence.change_elsewhere(Group::Room(2));
        assert_eq!(presence.tick(15), [], "that one has nobody here");
        assert_eq!(presence.tick(19), [group], "or it would be over");
        assert_eq!(presence.read(group, None, true), None);
        assert_eq!(presence.tick(20), [group], "it could not be read");
        assert_eq!(presence.read(group, Some(users([])), false), None);
        assert_eq!(presence.tick(30), [], "nobody is here any more");
    }
}
