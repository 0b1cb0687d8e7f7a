//! Makes of what a node hears, with its gaps, what members of a group hear: each message once, and in order. Plain data:
//! news in, effects out.
//!
//! For each group with members here it is known up to where they have heard. What follows is delivered; where something
//! is between, what is kept is read first, and what comes meanwhile waits.

use std::{collections::HashMap, sync::Arc};

use actors::channels::{Group, History, Message, Position, part_of};

/// Messages of a group that may wait while what is kept is read; beyond that it is read once more.
const WAITING_MAX: usize = 256;

/// Messages of a group that are remembered for those who are about to join it.
const RECENT_MAX: usize = 256;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Deliver it to the members.
    Deliver(Arc<Message>),
    /// Tell the members that messages are missing: so many, or an unknown number because the numbering began again.
    Lost(Group, Option<u64>, Position),
    /// Read what is kept after a position, for as long as it takes, and say what it was ([`Follower::read`]).
    Read(Group, Option<Position>),
    /// Those who wait to join can.
    Settled(Group),
}

/// One group.
#[derive(Debug, Default)]
struct Followed {
    /// Up to where members have heard; `None` until that was read.
    at: Option<Position>,
    /// What is kept is being read.
    is_reading: bool,
    /// Then it is to be read once more.
    is_stale: bool,
    waiting: Vec<Arc<Message>>,
    /// What was delivered lately, while somebody is about to join.
    recent: Option<Vec<Arc<Message>>>,
}

/// All groups with members here.
#[derive(Debug, Default)]
pub struct Follower(HashMap<Group, Followed>);

impl Follower {
    /// How many groups are followed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Follows a group from now on.
    pub fn open(&mut self, group: Group) -> Option<Effect> {
        let followed = self.0.entry(group).or_default();
        if followed.at.is_some() || followed.is_reading {
            return None;
        }
        followed.is_reading = true;
        Some(Effect::Read(group, None))
    }

    /// Up to where members have heard, if that is certain just now.
    pub fn settled(&self, group: Group) -> Option<Position> {
        self.0.get(&group).filter(|followed| !followed.is_reading)?.at
    }

    /// Up to where members have heard, as far as that is known.
    pub fn heard(&self, group: Group) -> Option<Position> {
        self.0.get(&group)?.at
    }

    /// Remembers from now on what is delivered, for one that is about to join; or no more.
    pub fn remember(&mut self, group: Group, is_wanted: bool) {
        if let Some(followed) = self.0.get_mut(&group) {
            match is_wanted {
                true => _ = followed.recent.get_or_insert_default(),
                false => followed.recent = None,
            }
        }
    }

    /// What one that joins now has to be sent of a history that was read a moment ago, so that it continues with what is
    /// delivered from here on; `None` if it has to be read once more.
    pub fn complete(&self, group: Group, history: &History) -> Option<History> {
        let last = self.settled(group)?;
        if history.last.epoch != last.epoch {
            return None;
        }
        let mut messages = history.messages.clone();
        let mut at = history.last.offset;
        if at > last.offset {
            // The rest will be delivered.
            messages.retain(|message| message.position.offset <= last.offset);
        }
        let recent = self.0.get(&group)?.recent.iter().flatten();
        for message in recent.filter(|message| message.position.epoch == last.epoch) {
            if message.position.offset == at + 1 {
                messages.push(message.clone());
                at += 1;
            }
        }
        (at >= last.offset).then_some(History { last, messages, ..*history })
    }

    /// Follows a group no more.
    pub fn close(&mut self, group: Group) {
        self.0.remove(&group);
    }

    /// All groups that are followed.
    pub fn groups(&self) -> Vec<Group> {
        self.0.keys().copied().collect()
    }

    /// A message was heard of.
    pub fn hear(&mut self, message: &Arc<Message>) -> Vec<Effect> {
        let group = message.group;
        let Some(followed) = self.0.get_mut(&group) else { return Vec::new() };
        let mut effects = Vec::new();
        followed.hear(message, &mut effects);
        effects
    }

    /// Messages of a part may have been missed.
    pub fn miss(&mut self, part: u8) -> Vec<Effect> {
        let groups = self.0.iter_mut().filter(|(group, _)| part_of(**group) == part);
        groups.filter_map(|(group, followed)| followed.look(*group)).collect()
    }

    /// Messages of all parts may have been missed.
    pub fn miss_all(&mut self) -> Vec<Effect> {
        self.0.iter_mut().filter_map(|(group, followed)| followed.look(*group)).collect()
    }

    /// What is kept of a group after the position that was asked for.
    pub fn read(&mut self, group: Group, history: &History) -> Vec<Effect> {
        let Some(followed) = self.0.get_mut(&group).filter(|followed| followed.is_reading) else {
            return Vec::new();
        };
        followed.is_reading = false;
        let mut effects = Vec::new();
        followed.catch_up(group, history, &mut effects);
        for message in std::mem::take(&mut followed.waiting) {
            if message.position.epoch == history.last.epoch {
                followed.hear(&message, &mut effects);
            } else {
                // Of an earlier numbering, or of one that began since: that will be read.
                followed.is_stale = true;
            }
        }
        if std::mem::take(&mut followed.is_stale) {
            effects.extend(followed.look(group));
        }
        if !followed.is_reading {
            effects.push(Effect::Settled(group));
        }
        effects
    }
}

impl Followed {
    fn look(&mut self, group: Group) -> Option<Effect> {
        if self.is_reading {
            self.is_stale = true;
            return None;
        }
        self.is_reading = true;
        Some(Effect::Read(group, self.at))
    }

    fn hear(&mut self, message: &Arc<Message>, effects: &mut Vec<Effect>) {
        let place = message.position;
        match self.at {
            Some(at) if !self.is_reading && place.epoch == at.epoch => {
                if place.offset == at.offset + 1 {
                    return self.deliver(message, effects);
                }
                if place.offset <= at.offset {
                    // Heard before.
                    return;
                }
            }
            _ => {}
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(message.clone());
        } else {
            self.is_stale = true;
        }
        if !self.is_reading {
            self.is_reading = true;
            effects.push(Effect::Read(message.group, self.at));
        }
    }

    fn deliver(&mut self, message: &Arc<Message>, effects: &mut Vec<Effect>) {
        self.at = Some(message.position);
        if let Some(recent) = &mut self.recent {
            if recent.len() == RECENT_MAX {
                recent.remove(0);
            }
            recent.push(message.clone());
        }
        effects.push(Effect::Deliver(message.clone()));
    }

    fn catch_up(&mut self, group: Group, history: &History, effects: &mut Vec<Effect>) {
        let last = history.last;
        let mut at = match self.at {
            // Nobody has heard anything: who joins begins here.
            None => last,
            Some(at) if at.epoch == last.epoch => at,
            Some(_) => {
                let first = history.messages.first().map(|message| message.position.offset);
                let at = Position { offset: first.map_or(last.offset, |first| first - 1), ..last };
                effects.push(Effect::Lost(group, None, at));
                at
            }
        };
        for message in &history.messages {
            let offset = message.position.offset;
            if offset <= at.offset {
                continue;
            }
            if offset > at.offset + 1 {
                let before = Position { offset: offset - 1, ..last };
                effects.push(Effect::Lost(group, Some(before.offset - at.offset), before));
            }
            self.deliver(message, effects);
            at = message.position;
        }
        if at.offset < last.offset {
            effects.push(Effect::Lost(group, Some(last.offset - at.offset), last));
            at = last;
        }
        self.at = Some(at);
    }
}

#[cfg(test)]
mod tests;
