//! One key range of the board as this node follows it: what it has heard, whether it may have missed
//! something, whether Redis takes its checks. Plain data; what follows from it is done elsewhere.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actors::board::ShardIndex;
use tokio::sync::{Notify, mpsc, watch};

use super::{
    keys::Keys,
    script::{Position, Update},
};

/// Messages of one key range that may wait for its shard; full: what comes is dropped, and the key
/// range is compared with Redis instead. 1,024 full batches are 1 MB.
const INBOX: usize = 1024;

/// Own messages that may wait for replicas; full: the key range is compared with Redis instead.
const HELD: usize = 64;

/// One key range.
pub struct Lane {
    /// Which one.
    pub shard: ShardIndex,
    /// Its names in Redis.
    pub keys: Keys,
    /// Its boxes.
    pub boxes: u32,
    inbox: mpsc::Sender<Update>,
    /// Wakes the lane's task: a resync is wanted.
    pub wake: Notify,
    /// How often it was found, or made, equal to Redis.
    pub synced: watch::Sender<u64>,
    overflowed: AtomicBool,
    /// A batch of this node is on its way.
    committing: AtomicBool,
    doubtful: AtomicBool,
    heard: Mutex<Hearing>,
    health: Mutex<Option<Failing>>,
}

/// What was heard of a key range.
#[derive(Debug, Default)]
struct Hearing {
    /// How far its messages have come without a gap; `None` before it was first read.
    last: Option<Position>,
    /// What Redis has acknowledged to this node and no message has told of so far.
    owed: Option<Position>,
    /// Own messages of batches that were given up, or may have been, until replicas have their boxes.
    held: Vec<Update>,
    /// The count up to which replicas have everything, as far as this node has asked.
    copied: u32,
    /// The count that Redis was ahead with at the last look.
    ahead: Option<u32>,
    /// Why it has to be compared with Redis.
    wanted: Option<&'static str>,
}

/// Since when Redis takes nothing.
#[derive(Debug, Clone)]
struct Failing {
    since: Instant,
    reason: Arc<str>,
}

impl Lane {
    /// The lane of a shard, and where its messages come out.
    pub fn new(board: &str, shard: ShardIndex, boxes: u32) -> (Self, mpsc::Receiver<Update>) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let lane = Self {
            shard,
            keys: Keys::of(board, shard),
            boxes,
            inbox,
            wake: Notify::new(),
            synced: watch::Sender::new(0),
            overflowed: AtomicBool::new(false),
            committing: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            heard: Mutex::default(),
            health: Mutex::default(),
        };
        (lane, messages)
    }

    /// Takes a message in, without waiting.
    pub fn deliver(&self, message: Update) {
        if self.inbox.try_send(message).is_err() {
            self.overflowed.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// The furthest that Redis is known to have been, by its messages or by what it acknowledged.
    pub fn known(&self) -> Option<Position> {
        let heard = lock(&self.heard);
        let both = [&heard.last, &heard.owed].into_iter().flatten();
        both.max_by_key(|position| position.count).cloned()
    }

    /// Redis had come to `position` when it acknowledged something to this node. Its messages have to
    /// pass there: if they do not, a failover has lost what only this node knows.
    pub fn acknowledged(&self, position: Position) {
        let mut heard = lock(&self.heard);
        let further = |known: &Option<Position>| {
            known.as_ref().is_none_or(|known| known.count < position.count)
        };
        if heard.last.is_some() && further(&heard.last) && further(&heard.owed) {
            heard.owed = Some(position);
        }
    }

    /// A comparison begins, which finds whatever was acknowledged or held until now.
    pub fn compare(&self) {
        let mut heard = lock(&self.heard);
        (heard.owed, heard.copied) = (None, 0);
        heard.held = Vec::new();
    }

    /// Keeps an own message until replicas have its boxes.
    pub fn hold(&self, update: Update) {
        let mut heard = lock(&self.heard);
        if heard.held.len() < HELD {
            heard.held.push(update);
        } else {
            heard.wanted.get_or_insert("outcome");
        }
    }

    /// Enough replicas have whatever Redis had when it had come to `position`.
    pub fn copied(&self, position: &Position) {
        let mut heard = lock(&self.heard);
        heard.copied = position.count;
        if !heard.held.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Takes out the held messages whose boxes replicas have.
    pub fn take_copied(&self) -> Vec<Update> {
        let mut heard = lock(&self.heard);
        let copied = heard.copied;
        heard.held.extract_if(.., |update| update.after.count <= copied).collect()
    }

    /// Whether a message is held that no answer to a batch under way will release.
    pub fn is_holding(&self) -> bool {
        !self.is_committing() && !lock(&self.heard).held.is_empty()
    }

    /// A batch was given up that may still arrive in Redis, at any time.
    pub fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
        self.want("outcome");
    }

    /// Whether a batch of this node is on its way.
    pub fn is_committing(&self) -> bool {
        self.committing.load(Ordering::Acquire)
    }

    /// A batch of this node sets out, or is done with.
    pub fn set_committing(&self, committing: bool) {
        self.committing.store(committing, Ordering::Release);
    }

    /// Whether this node has to learn from its own messages, too.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// Everything up to `position` is in memory, or about to be.
    pub fn begin_at(&self, position: Position) {
        let mut heard = lock(&self.heard);
        heard.owed = heard.owed.take().filter(|owed| owed.count > position.count);
        (heard.last, heard.ahead) = (Some(position), None);
    }

    /// The board was reset: nothing is known.
    pub fn begin_anew(&self) {
        *lock(&self.heard) = Hearing { wanted: Some("reset"), ..Hearing::default() };
        self.wake.notify_one();
    }

    /// Asks for a comparison with Redis.
    pub fn want(&self, reason: &'static str) {
        lock(&self.heard).wanted.get_or_insert(reason);
        self.wake.notify_one();
    }

    /// Why a comparison is due, if it is; asked once per comparison.
    pub fn take_wanted(&self) -> Option<&'static str> {
        let overflowed = self.overflowed.swap(false, Ordering::AcqRel).then_some("overflow");
        lock(&self.heard).wanted.take().or(overflowed)
    }

    /// Moves on with a message whose boxes are in memory; whether it leaves a gap.
    ///
    /// A message about what is known already, as they come after a comparison and after a failover
    /// that lost something, moves nothing: the next look at Redis finds out which of the two it is.
    pub fn follow(&self, update: &Update) -> Result<(), &'static str> {
        let mut heard = lock(&self.heard);
        let Some(last) = &heard.last else { return Ok(()) };
        #[cfg(feature = "faults")]
        if actors::faults::active(actors::faults::Fault::NoChain) {
            heard.last = Some(update.after.clone());
            return Ok(());
        }
        let follows = last.tail == update.before
            && u64::from(last.count) + u64::from(update.fresh) == u64::from(update.after.count);
        if !follows {
            return if update.after.count <= last.count { Ok(()) } else { Err("chain") };
        }
        if update.offsets.is_empty() {
            return Err("merge");
        }
        heard.last = Some(update.after.clone());
        if heard.owed.as_ref().is_some_and(|owed| owed.count <= update.after.count) {
            let passed = heard.owed.take().is_some_and(|owed| owed == update.after);
            return if passed { Ok(()) } else { Err("lost") };
        }
        Ok(())
    }

    /// Judges what Redis says it has, asked when it was known to have been at `before`; whether anything
    /// was missed.
    ///
    /// Redis is always a little ahead of its messages. If it is still ahead of what it said a look
    /// before, they are not coming.
    pub fn judge(&self, before: Option<&Position>, redis: &Position) -> Result<(), &'static str> {
        let mut heard = lock(&self.heard);
        let Some(last) = heard.last.clone() else { return Ok(()) };
        let was_ahead = heard.ahead.take();
        if before.is_some_and(|before| redis.count < before.count) {
            return Err("fell");
        }
        if *redis == last {
            return Ok(());
        }
        if redis.count == last.count || was_ahead.is_some_and(|ahead| last.count < ahead) {
            return Err("poll");
        }
        if redis.count > last.count {
            heard.ahead = Some(redis.count);
        }
        Ok(())
    }

    /// Whether Redis was ahead at the last look, so that another one soon is of use.
    pub fn is_behind(&self) -> bool {
        lock(&self.heard).ahead.is_some()
    }

    /// Redis has taken or answered something.
    pub fn works(&self) {
        *lock(&self.health) = None;
    }

    /// Redis has not.
    pub fn fails(&self, reason: &str) {
        let mut health = lock(&self.health);
        let since = health.as_ref().map_or_else(Instant::now, |failing| failing.since);
        *health = Some(Failing { since, reason: reason.into() });
    }

    /// For how long it has been failing, and why.
    pub fn failing(&self) -> Option<(Duration, Arc<str>)> {
        let health = lock(&self.health);
        health.as_ref().map(|failing| (failing.since.elapsed(), failing.reason.clone()))
    }
}

/// Nothing panics while it holds one of these for longer than an assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use actors::board::Offset;

    use super::*;

    fn position(count: u32, tail: u8) -> Position {
        Position { count, tail: [tail; 16] }
    }

    fn update(before: u8, fresh: u32, after: Position) -> Update {
        let offsets = vec![Offset(1)];
        Update { origin: 1, epoch: 1, fresh, before: [before; 16], after, offsets }
    }

    fn lane() -> Lane {
        let (lane, _) = Lane::new("test", ShardIndex(0), 100);
        lane.begin_at(position(10, 1));
        lane
    }

    #[test]
    fn messages_without_a_gap_are_followed() {
        let lane = lane();
        assert_eq!(lane.follow(&update(1, 2, position(12, 2))), Ok(()));
        assert_eq!(lane.follow(&update(2, 1, position(13, 3))), Ok(()));
        assert_eq!(lane.known(), Some(position(13, 3)));
    }

    #[test]
    fn a_missing_message_is_noticed_at_the_next_one() {
        let lane = lane();
        assert_eq!(lane.follow(&update(2, 1, position(13, 3))), Err("chain"));
        assert_eq!(lane.known(), Some(position(10, 1)), "not moved on");
    }

    /// Lost 3 boxes with a master, and 3 others were checked since: the counts fit, the tails do not.
    #[test]
    fn another_history_of_the_same_length_is_noticed() {
        let lane = lane();
        assert_eq!(lane.follow(&update(9, 1, position(11, 8))), Err("chain"));
        assert_eq!(lane.judge(None, &position(10, 7)), Err("poll"));
    }

    #[test]
    fn what_is_known_already_moves_nothing() {
        let lane = lane();
        assert_eq!(lane.follow(&update(5, 1, position(10, 1))), Ok(()));
        assert_eq!(lane.follow(&update(5, 1, position(7, 6))), Ok(()));
        assert_eq!(lane.known(), Some(position(10, 1)));
    }

    #[test]
    fn boxes_too_many_to_be_told_are_to_be_read() {
        let lane = lane();
        let merged = Update { offsets: Vec::new(), ..update(1, 5, position(15, 2)) };
        assert_eq!(lane.follow(&merged), Err("merge"));
    }

    #[test]
    fn redis_may_be_ahead_once_but_not_still() {
        let lane = lane();
        let before = lane.known();
        assert_eq!(lane.judge(before.as_ref(), &position(12, 3)), Ok(()));
        assert!(lane.is_behind());
        assert_eq!(lane.follow(&update(1, 1, position(11, 2))), Ok(()));
        assert_eq!(lane.judge(before.as_ref(), &position(15, 5)), Err("poll"), "12 never came");

        let lane = self::lane();
        assert_eq!(lane.judge(before.as_ref(), &position(12, 3)), Ok(()));
        assert_eq!(lane.follow(&update(1, 2, position(12, 3))), Ok(()));
        assert_eq!(lane.judge(before.as_ref(), &position(15, 5)), Ok(()), "12 came");
        assert_eq!(lane.follow(&update(3, 3, position(15, 5))), Ok(()));
        assert_eq!(lane.judge(before.as_ref(), &position(15, 5)), Ok(()));
        assert!(!lane.is_behind());
    }

    #[test]
    fn a_count_that_fell_is_noticed_but_an_answer_that_was_late_is_none() {
        let lane = lane();
        let before = lane.known();
        assert_eq!(lane.judge(before.as_ref(), &position(9, 3)), Err("fell"));
        assert_eq!(lane.follow(&update(1, 2, position(12, 2))), Ok(()));
        assert_eq!(lane.judge(before.as_ref(), &position(11, 3)), Ok(()), "asked before 12 came");
    }

    #[test]
    fn what_was_acknowledged_has_to_be_heard_of() {
        let lane = lane();
        lane.acknowledged(position(12, 3));
        assert_eq!(lane.follow(&update(1, 1, position(11, 2))), Ok(()));
        assert_eq!(lane.follow(&update(2, 1, position(12, 3))), Ok(()));
        assert_eq!(lane.known(), Some(position(12, 3)));
        lane.acknowledged(position(12, 3));
        assert_eq!(lane.follow(&update(3, 1, position(13, 4))), Ok(()), "heard before");
    }

    /// The master died with a batch that nobody but this node knows of.
    #[test]
    fn a_history_without_what_was_acknowledged_is_noticed() {
        let lane = lane();
        lane.acknowledged(position(12, 3));
        let before = lane.known();
        assert_eq!(lane.judge(before.as_ref(), &position(10, 1)), Err("fell"));
        assert_eq!(lane.follow(&update(1, 1, position(11, 7))), Ok(()), "others go on");
        assert_eq!(lane.follow(&update(7, 2, position(13, 8))), Err("lost"));
        lane.begin_at(position(13, 8));
        assert_eq!(lane.follow(&update(8, 1, position(14, 9))), Ok(()), "compared since");
    }

    #[test]
    fn own_messages_wait_for_replicas() {
        let lane = lane();
        lane.hold(update(1, 2, position(12, 2)));
        lane.hold(update(2, 1, position(13, 3)));
        assert!(lane.is_holding() && lane.take_copied().is_empty());
        lane.copied(&position(12, 2));
        assert_eq!(lane.take_copied(), [update(1, 2, position(12, 2))]);
        lane.set_committing(true);
        assert!(!lane.is_holding(), "the answer to the batch may release it");
        lane.compare();
        lane.set_committing(false);
        assert!(!lane.is_holding(), "a comparison reads its boxes");
    }

    #[test]
    fn more_own_messages_than_are_held_ask_for_a_comparison() {
        let lane = lane();
        for _ in 0..HELD {
            lane.hold(update(1, 1, position(11, 2)));
        }
        assert_eq!(lane.take_wanted(), None);
        lane.hold(update(1, 1, position(11, 2)));
        assert_eq!(lane.take_wanted(), Some("outcome"));
    }

    #[test]
    fn an_inbox_that_is_full_asks_for_a_comparison() {
        let (lane, mut messages) = Lane::new("test", ShardIndex(0), 100);
        for _ in 0..INBOX {
            lane.deliver(update(1, 1, position(1, 1)));
        }
        assert_eq!(lane.take_wanted(), None);
        lane.deliver(update(1, 1, position(1, 1)));
        assert_eq!(lane.take_wanted(), Some("overflow"));
        assert_eq!(lane.take_wanted(), None, "once");
        let mut kept = 0;
        while messages.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, INBOX);
    }
}
