use std::collections::VecDeque;

use actors::channels::Epoch;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const GROUP: Group = Group::Room(7);

/// Messages that are kept.
const KEPT: usize = 5;

fn message(epoch: u64, offset: u64) -> Arc<Message> {
    let position = Position { epoch: Epoch(epoch), offset };
    Arc::new(Message { group: GROUP, position, at_ms: 0, payload: Bytes::new() })
}

/// What keeps a group's messages.
struct Store {
    last: Position,
    kept: VecDeque<Arc<Message>>,
}

impl Store {
    fn new() -> Self {
        Self { last: Position { epoch: Epoch(1), offset: 0 }, kept: VecDeque::new() }
    }

    fn publish(&mut self) -> Arc<Message> {
        self.last.offset += 1;
        let message = message(self.last.epoch.0, self.last.offset);
        self.kept.push_back(message.clone());
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        message
    }

    fn renumber(&mut self) {
        self.last = Position { epoch: Epoch(self.last.epoch.0 + 1), offset: 0 };
        self.kept.clear();
    }

    fn history(&self, after: Option<Position>) -> History {
        let known = after.filter(|after| after.epoch == self.last.epoch);
        let first = known.map_or(1, |after| after.offset + 1);
        let newer = |message: &&Arc<Message>| message.position.offset >= first;
        let messages: Vec<_> = self.kept.iter().filter(newer).cloned().collect();
        let is_known = after
            .is_none_or(|after| after.epoch == self.last.epoch && after.offset <= self.last.offset);
        let is_complete = is_known && messages.len() as u64 == self.last.offset + 1 - first;
        History { last: self.last, messages, is_complete }
    }
}

/// What members hear, judged as it comes.
#[derive(Default)]
struct Member {
    at: Option<Position>,
    heard: usize,
    lost: u64,
}

impl Member {
    fn hear(&mut self, effect: &Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::Deliver(message) => {
                let at = self.at.expect("nothing comes before one has joined");
                prop_assert_eq!(message.position.epoch, at.epoch, "without a word");
                prop_assert_eq!(message.position.offset, at.offset + 1, "once, and in order");
                self.at = Some(message.position);
                self.heard += 1;
            }
            Effect::Lost(_, messages, position) => {
                let at = self.at.expect("nothing comes before one has joined");
                match messages {
                    Some(messages) => {
                        prop_assert_eq!(position.epoch, at.epoch);
                        prop_assert_eq!(position.offset, at.offset + messages, "exactly so many");
                        prop_assert!(*messages > 0);
                        self.lost += messages;
                    }
                    None => prop_assert!(position.epoch != at.epoch, "it begins again"),
                }
                self.at = Some(*position);
            }
            Effect::Read(..) | Effect::Settled(_) => {}
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Published, and heard or not.
    Publish(bool),
    /// An earlier one comes again.
    Again(usize),
    /// Word that something was missed.
    Miss,
    /// A failover takes everything back.
    Renumber,
    /// A read reaches the store.
    Execute,
    /// Its answer comes.
    Arrive,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Publish),
        6 => Just(Step::Publish(true)),
        2 => (0_usize..8).prop_map(Step::Again),
        1 => Just(Step::Miss),
        1 => Just(Step::Renumber),
        4 => Just(Step::Execute),
        4 => Just(Step::Arrive),
    ]
}

/// A follower, what it follows, and its reads under way.
struct Scene {
    store: Store,
    follower: Follower,
    member: Member,
    reads: VecDeque<(Option<Position>, Option<History>)>,
}

impl Scene {
    fn open() -> Self {
        let mut scene = Self {
            store: Store::new(),
            follower: Follower::default(),
            member: Member::default(),
            reads: VecDeque::new(),
        };
        let opened = scene.follower.open(GROUP).into_iter().collect();
        scene.perform(opened).expect("nothing is heard yet");
        scene
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Result<(), TestCaseError> {
        for effect in effects {
            if let Effect::Read(_, after) = effect {
                self.reads.push_back((after, None));
                prop_assert!(self.reads.len() <= 1, "one read at a time");
            }
            if self.member.at.is_none()
                && let Effect::Settled(_) = effect
            {
                self.member.at = self.follower.settled(GROUP);
            }
            if self.member.at.is_some() {
                self.member.hear(&effect)?;
            }
        }
        Ok(())
    }

    fn execute(&mut self) {
        if let Some((after, history @ None)) = self.reads.front_mut() {
            *history = Some(self.store.history(*after));
        }
    }

    fn arrive(&mut self) -> Result<(), TestCaseError> {
        let is_there = self.reads.front().is_some_and(|(_, history)| history.is_some());
        let Some((_, Some(history))) = is_there.then(|| self.reads.pop_front()).flatten() else {
            return Ok(());
        };
        let effects = self.follower.read(GROUP, &history);
        self.perform(effects)
    }

    fn miss(&mut self) -> Result<(), TestCaseError> {
        let effects = self.follower.miss(part_of(GROUP));
        self.perform(effects)
    }

    fn rest(&mut self) -> Result<(), TestCaseError> {
        self.miss()?;
        for _ in 0..10 {
            self.execute();
            self.arrive()?;
        }
        prop_assert!(self.reads.is_empty(), "it comes to rest");
        Ok(())
    }
}

proptest! {
    /// Whatever is not heard, comes twice, or is taken back: what members hear has no gap that they were not told of.
    #[test]
    fn members_hear_each_message_once_and_in_order_or_how_many_are_missing(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut scene = Scene::open();
        let mut published = Vec::new();
        for step in steps {
            match step {
                Step::Publish(is_heard) => {
                    let message = scene.store.publish();
                    published.push(message.clone());
                    if is_heard {
                        let effects = scene.follower.hear(&message);
                        scene.perform(effects)?;
                    }
                }
                Step::Again(back) => {
                    let at = published.len().checked_sub(1 + back);
                    if let Some(message) = at.map(|at| published[at].clone()) {
                        let effects = scene.follower.hear(&message);
                        scene.perform(effects)?;
                    }
                }
                Step::Miss => scene.miss()?,
                Step::Renumber => {
                    scene.store.renumber();
                    scene.miss()?;
                }
                Step::Execute => scene.execute(),
                Step::Arrive => scene.arrive()?,
            }
        }
        scene.rest()?;
        prop_assert_eq!(scene.member.at, Some(scene.store.last), "nobody is behind at rest");
    }

    /// One that joins is sent what it asked for, and then everything that comes after it.
    #[test]
    fn one_that_joins_continues_where_its_history_ends(
        before in 0_u64..12,
        between in 0_usize..8,
        after in 0_u64..12,
        heard_late in any::<bool>(),
    ) {
        let mut scene = Scene::open();
        scene.rest()?;
        scene.follower.remember(GROUP, true);
        let mut late = Vec::new();
        for _ in 0..before {
            let message = scene.store.publish();
            late.push(message);
        }
        let history = scene.store.history(Some(Position { epoch: Epoch(1), offset: after }));
        for _ in 0..between {
            late.push(scene.store.publish());
        }
        // Some were read before they were heard, and some heard before the answer came.
        let (first, rest) = late.split_at(if heard_late { late.len() / 2 } else { late.len() });
        for message in first {
            let effects = scene.follower.hear(message);
            scene.perform(effects)?;
        }
        let Some(joined) = scene.follower.complete(GROUP, &history) else {
            return Err(TestCaseError::fail("what was delivered meanwhile is remembered"));
        };
        let mut heard: Vec<u64> = joined.messages.iter().map(|m| m.position.offset).collect();
        for message in rest {
            for effect in scene.follower.hear(message) {
                if let Effect::Deliver(message) = effect {
                    heard.push(message.position.offset);
                }
            }
        }
        if joined.is_complete {
            // Where this node is behind what the one that joins has heard elsewhere, it hears that again.
            let settled = first.last().map_or(0, |message| message.position.offset);
            let expected: Vec<u64> = (after.min(settled) + 1..=scene.store.last.offset).collect();
            prop_assert_eq!(heard, expected);
        } else {
            prop_assert!(after > before || before - after > KEPT as u64, "that far back is nothing");
        }
    }
}

#[test]
fn a_group_that_nobody_follows_costs_nothing() {
    let mut follower = Follower::default();
    assert_eq!(follower.hear(&message(1, 1)), []);
    assert_eq!(follower.miss_all(), []);
    assert_eq!(follower.open(GROUP), Some(Effect::Read(GROUP, None)));
    assert_eq!(follower.open(GROUP), None, "it is being read");
    follower.close(GROUP);
    assert_eq!(follower.read(GROUP, &Store::new().history(None)), [], "too late");
    assert_eq!(follower.len(), 0);
}
