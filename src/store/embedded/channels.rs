//! The channels of a node that has its board for itself: order and history lie in its memory, and end with the process.
//!
//! Bounded in bytes ([`BYTES_MAX`]): the group that was published to longest ago is forgotten first, and its numbering
//! begins again with its next message.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actors::{
    channels::{
        Channels, Draft, Epoch, Group, Heard, History, KEPT_MESSAGES, KEPT_MS, Message, Position,
        Published,
    },
    player::UserId,
    store::{BoxFuture, StoreError},
};
use tokio::sync::broadcast;

use crate::wall::now_ms;

/// Messages that a listener may be behind.
const BEHIND_MAX: usize = 4096;

/// Bytes of all that is kept, as far as they are counted.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a message weighs beside its payload, and what a group does, its names and places in tables included.
const MESSAGE_COST: usize = 256;

/// The channels of one node.
pub struct LocalChannels {
    memory: Mutex<Memory>,
    heard: broadcast::Sender<Heard>,
}

impl Default for LocalChannels {
    fn default() -> Self {
        Self { memory: Mutex::new(Memory::new(BYTES_MAX)), heard: broadcast::channel(BEHIND_MAX).0 }
    }
}

impl LocalChannels {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics under this lock.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channels for LocalChannels {
    fn publish(&self, draft: Draft) -> BoxFuture<Result<Published, StoreError>> {
        let mut memory = self.lock();
        let (published, message) = memory.publish(draft, now_ms());
        if let Some(message) = message {
            // Under the lock, so that all hear it in order; nobody may be listening.
            let _ = self.heard.send(Heard::Message(message));
        }
        Box::pin(async move { Ok(published) })
    }

    fn history(
        &self,
        group: Group,
        after: Option<Position>,
    ) -> BoxFuture<Result<History, StoreError>> {
        let history = self.lock().history(group, after, now_ms());
        Box::pin(async move { Ok(history) })
    }

    fn present(
        &self,
        _: Group,
        mut here: Vec<UserId>,
    ) -> BoxFuture<Result<Vec<UserId>, StoreError>> {
        // There is no other node.
        here.sort_unstable();
        here.dedup();
        Box::pin(async move { Ok(here) })
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }
}

/// A message that was published lately.
type Known = (UserId, String);

/// What is kept of one group.
struct Kept {
    last: Position,
    messages: VecDeque<Arc<Message>>,
    /// The places of messages of the last [`KEPT_MS`], and when each was published, the oldest in front.
    known: HashMap<Known, Position>,
    ages: VecDeque<(u64, Known)>,
    /// When it was last published to, counted in messages.
    used: u64,
}

/// What is kept of all groups. Plain data.
struct Memory {
    groups: HashMap<Group, Kept>,
    by_use: BTreeMap<u64, Group>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
    /// No message is older than the one before.
    last_ms: u64,
}

impl Memory {
    fn new(bytes_max: usize) -> Self {
        let (groups, by_use) = (HashMap::new(), BTreeMap::new());
        Self { groups, by_use, uses: 0, bytes: 0, bytes_max, last_ms: 0 }
    }

    fn group(&mut self, group: Group) -> &mut Kept {
        let (uses, by_use, bytes) = (&mut self.uses, &mut self.by_use, &mut self.bytes);
        self.groups.entry(group).or_insert_with(|| {
            *uses += 1;
            by_use.insert(*uses, group);
            *bytes += MESSAGE_COST;
            let epoch = Epoch(rand::random_range(1..=u64::MAX));
            Kept {
                last: Position { epoch, offset: 0 },
                messages: VecDeque::new(),
                known: HashMap::new(),
                ages: VecDeque::new(),
                used: *uses,
            }
        })
    }

    fn publish(&mut self, draft: Draft, now_ms: u64) -> (Published, Option<Arc<Message>>) {
        let now_ms = now_ms.max(self.last_ms);
        self.last_ms = now_ms;
        self.uses += 1;
        let uses = self.uses;
        let Draft { group, sender, id, payload } = draft;
        let kept = self.group(group);
        let mut freed = kept.forget_what_is_over(now_ms);
        let known = (sender, id);
        if let Some(position) = kept.known.get(&known) {
            let published = Published { position: *position, is_duplicate: true };
            self.bytes -= freed;
            return (published, None);
        }
        kept.last.offset += 1;
        let position = kept.last;
        let message = Arc::new(Message { group, position, at_ms: now_ms, payload });
        let added = cost(&message);
        if kept.messages.len() == KEPT_MESSAGES {
            freed += kept.messages.pop_front().map_or(0, |message| cost(&message));
        }
        kept.messages.push_back(message.clone());
        kept.known.insert(known.clone(), position);
        kept.ages.push_back((now_ms, known));
        let before = std::mem::replace(&mut kept.used, uses);
        self.by_use.remove(&before);
        self.by_use.insert(uses, group);
        self.bytes = self.bytes + added + MESSAGE_COST - freed;
        self.make_room(group);
        (Published { position, is_duplicate: false }, Some(message))
    }

    /// Forgets the groups that were published to longest ago, but for `current`, until there is room.
    fn make_room(&mut self, current: Group) {
        while self.bytes > self.bytes_max {
            let oldest = self.by_use.iter().find(|(_, group)| **group != current);
            let Some((&use_, &group)) = oldest else { return };
            self.by_use.remove(&use_);
            if let Some(kept) = self.groups.remove(&group) {
                self.bytes -= kept.cost();
            }
        }
    }

    fn history(&mut self, group: Group, after: Option<Position>, now_ms: u64) -> History {
        let kept = self.group(group);
        let freed = kept.forget_what_is_over(now_ms);
        let last = kept.last;
        // From another numbering nothing is known of what came after it.
        let first = match after {
            Some(after) if after.epoch == last.epoch => after.offset.saturating_add(1),
            _ => 1,
        };
        let messages: Vec<_> = kept
            .messages
            .iter()
            .filter(|message| message.position.offset >= first)
            .cloned()
            .collect();
        let is_known =
            after.is_none_or(|after| after.epoch == last.epoch && after.offset <= last.offset);
        let wanted = last.offset.saturating_add(1).saturating_sub(first);
        let is_complete = is_known && messages.len() as u64 == wanted;
        self.bytes -= freed;
        History { last, messages, is_complete }
    }
}

fn cost(message: &Message) -> usize {
    message.payload.len() + MESSAGE_COST
}

impl Kept {
    /// What is older than it is kept for; how much it weighed.
    fn forget_what_is_over(&mut self, now_ms: u64) -> usize {
        let is_over = |at_ms: u64| at_ms.saturating_add(KEPT_MS) <= now_ms;
        let mut freed = 0;
        while let Some(message) = self.messages.pop_front_if(|message| is_over(message.at_ms)) {
            freed += cost(&message);
        }
        while let Some((_, known)) = self.ages.pop_front_if(|(at_ms, _)| is_over(*at_ms)) {
            self.known.remove(&known);
            freed += MESSAGE_COST;
        }
        freed
    }

    fn cost(&self) -> usize {
        let messages: usize = self.messages.iter().map(|message| cost(message)).sum();
        messages + self.ages.len() * MESSAGE_COST + MESSAGE_COST
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    crate::channels_contract_tests!(std::future::ready(
        Arc::new(LocalChannels::default()) as Arc<dyn Channels>
    ));

    fn draft(group: u64, id: u32) -> Draft {
        let sender = UserId::new(1).expect("not 0");
        Draft { group: Group::Room(group), sender, id: id.to_string(), payload: Bytes::new() }
    }

    #[test]
    fn the_group_that_was_published_to_longest_ago_makes_room() {
        let mut memory = Memory::new(40 * MESSAGE_COST);
        let (mut random, mut forgotten) = (7_u32, 0);
        for id in 0..2000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let group = u64::from(random >> 29);
            let others = |memory: &Memory| -> Vec<Group> {
                let groups = memory.by_use.values().copied();
                groups.filter(|other| *other != Group::Room(group)).collect()
            };
            let before = others(&memory);
            memory.publish(draft(group, id), 1);
            let after = others(&memory);
            assert!(before.ends_with(&after), "{before:?} became {after:?}");
            forgotten += before.len() - after.len();
            let weighed: usize = memory.groups.values().map(Kept::cost).sum();
            assert_eq!(memory.bytes, weighed, "what is counted is what there is");
            assert_eq!(memory.by_use.len(), memory.groups.len());
        }
        assert!(forgotten > 100, "{forgotten} groups have made room");
    }

    #[test]
    fn messages_are_over_after_five_minutes_and_offsets_go_on() {
        let mut memory = Memory::new(BYTES_MAX);
        let (first, _) = memory.publish(draft(1, 1), 1000);
        let (again, none) = memory.publish(draft(1, 1), 1000 + KEPT_MS - 1);
        assert_eq!((again.position, none), (first.position, None));
        let later = memory.history(Group::Room(1), None, 1000 + KEPT_MS);
        assert_eq!((later.messages, later.is_complete), (Vec::new(), false));
        let (new, _) = memory.publish(draft(1, 1), 1000 + KEPT_MS);
        assert_eq!(new.position, Position { offset: 2, ..first.position });
        let history = memory.history(Group::Room(1), Some(first.position), 1000 + KEPT_MS);
        assert!(history.is_complete && history.messages.len() == 1);
        let weighed: usize = memory.groups.values().map(Kept::cost).sum();
        assert_eq!(memory.bytes, weighed);
    }
}
