//! What this node hears of each part, and whether it has missed any of it.
//!
//! One connection for the subscriptions and nothing else. The client subscribes again by itself after a disconnect, in a way
//! that Redis refuses without anybody noticing, so each channel is subscribed to by a call of its own, after each
//! disconnect and every two seconds anyway; where Redis has ended a subscription, because a slot has moved, the connection
//! is replaced, and the new one subscribes before the old one goes. A message that comes twice meanwhile is heard once.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actors::channels::{Group, Heard, PARTS};
use futures_util::future::join_all;
use redis::{PushInfo, PushKind, RedisResult, Value, cluster_async::ClusterConnection};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    Shared,
    wire::{Run, entry, text},
};
use crate::store::cluster::stats::PAUSE;

/// Time after which every channel is subscribed to again, without a reason.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two looks at how far the parts have come.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Messages of a part that are told apart from those with the same count that are not the same.
const RECENT: usize = 256;

/// What has been heard of one part.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// The last that was heard; nothing: run 0.
    heard: Run,
    /// Up to this count what was not heard is known to be missing, and may still come.
    floor: u64,
    /// The furthest that the part is known to have come.
    seen: Run,
    /// As a look found it, ahead of what was heard by then.
    ahead: Option<Run>,
    /// The last counts, and what came with each.
    recent: VecDeque<(u64, u64)>,
    /// Two different messages had one count: a failover took one of them back.
    is_in_doubt: bool,
}

/// What to make of a message.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is the next one.
    Next,
    /// It is new, and others before it may have been missed.
    Gap,
    /// It has been heard.
    Known,
}

impl Ear {
    /// A message came as number `run.count`, with this hash.
    fn hear(&mut self, run: &Run, hash: u64) -> Verdict {
        if run.run > self.seen.run || (run.is_that_of(&self.seen) && run.count > self.seen.count) {
            self.seen = run.clone();
        }
        if !run.is_that_of(&self.heard) {
            if run.run < self.heard.run {
                // Late, from before the numbering began again.
                return Verdict::Known;
            }
            self.is_in_doubt |= run.run == self.heard.run;
            self.begin(run.clone(), run.count.saturating_sub(1));
            self.recent.push_back((run.count, hash));
            return Verdict::Gap;
        }
        if run.count <= self.heard.count {
            let is_known = run.count <= self.floor
                || self.recent.contains(&(run.count, hash))
                || self.recent.front().is_none_or(|(oldest, _)| run.count < *oldest);
            if is_known {
                return Verdict::Known;
            }
            self.is_in_doubt = true;
            return Verdict::Gap;
        }
        let is_next = run.count == self.heard.count + 1;
        if !is_next {
            self.floor = run.count.saturating_sub(1);
        }
        self.heard.count = run.count;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((run.count, hash));
        if is_next { Verdict::Next } else { Verdict::Gap }
    }

    fn begin(&mut self, run: Run, floor: u64) {
        self.heard = run;
        self.floor = floor;
        self.recent.clear();
        self.ahead = None;
    }

    /// A look has found the part at `run`; whether something was missed.
    fn look(&mut self, run: Run) -> bool {
        if run.run > self.seen.run || (run.is_that_of(&self.seen) && run.count > self.seen.count) {
            self.seen = run.clone();
        }
        if !run.is_that_of(&self.heard) {
            if run.run < self.heard.run {
                return false;
            }
            let was_unknown = self.heard.run == 0;
            let count = run.count;
            self.begin(run, count);
            // Nobody can have missed anything before somebody listened.
            return !was_unknown;
        }
        // One that is on its way is not missed: only what had not come by the next look is.
        let has_missed = self.ahead.as_ref().is_some_and(|ahead| ahead.count > self.heard.count);
        if has_missed {
            let ahead = self.ahead.take().map_or(0, |ahead| ahead.count);
            self.floor = ahead;
            self.heard.count = ahead;
        }
        self.ahead = Some(run).filter(|run| run.count > self.heard.count);
        has_missed
    }
}

/// What has been heard of all parts.
#[derive(Debug, Default)]
pub(super) struct Ears([Mutex<Ear>; PARTS as usize]);

impl Ears {
    fn ear(&self, part: u8) -> MutexGuard<'_, Ear> {
        // Nothing panics under this lock.
        self.0[usize::from(part)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The furthest that a part is known to have come.
    pub(super) fn seen(&self, part: u8) -> Run {
        self.ear(part).seen.clone()
    }

    /// An answer says how far it has come.
    pub(super) fn saw(&self, part: u8, run: Run) {
        let mut ear = self.ear(part);
        if run.run > ear.seen.run || (run.is_that_of(&ear.seen) && run.count > ear.seen.count) {
            ear.seen = run;
        }
    }
}

/// What the connection has said of itself.
#[derive(Default)]
struct Signs {
    unsubscribed: AtomicBool,
    broken: AtomicBool,
    seen: Notify,
}

/// Connects, stays connected and listens.
pub(super) async fn run(shared: Arc<Shared>) {
    let looks = async {
        loop {
            sleep(LOOK_INTERVAL).await;
            look(&shared).await;
        }
    };
    let subscriptions = async {
        let mut subscriber = regain(&shared).await;
        loop {
            let subscribed_at = Instant::now();
            let (connection, signs) = &subscriber;
            let was_broken = signs.broken.swap(false, Ordering::AcqRel);
            let was_unsubscribed = signs.unsubscribed.swap(false, Ordering::AcqRel);
            let heard = subscribe(&shared, connection).await;
            shared.stats.subscriptions.set(heard);
            if heard == 0 || was_unsubscribed {
                // The old one goes when the new one listens.
                subscriber = regain(&shared).await;
                miss_all(&shared);
                continue;
            }
            if was_broken {
                miss_all(&shared);
            }
            if heard < i64::from(PARTS) {
                sleep(PAUSE).await;
                continue;
            }
            let rest = SUBSCRIBE_INTERVAL.saturating_sub(subscribed_at.elapsed());
            let _ = timeout(rest, signs.seen.notified()).await;
        }
    };
    tokio::join!(looks, subscriptions);
}

type Subscriber = (ClusterConnection, Arc<Signs>);

/// Connects and subscribes to everything that answers, for as long as it takes.
async fn regain(shared: &Arc<Shared>) -> Subscriber {
    loop {
        match connect(shared).await {
            Ok(subscriber) => {
                let heard = subscribe(shared, &subscriber.0).await;
                shared.stats.subscriptions.set(heard);
                if heard > 0 {
                    return subscriber;
                }
            }
            Err(error) => log::debug!("talk: {error}"),
        }
        sleep(PAUSE).await;
    }
}

async fn connect(shared: &Arc<Shared>) -> RedisResult<Subscriber> {
    let signs = Arc::new(Signs::default());
    let receive = {
        let (shared, signs) = (Arc::downgrade(shared), signs.clone());
        move |push: PushInfo| -> Result<(), ()> {
            receive(&*shared.upgrade().ok_or(())?, &signs, &push);
            Ok(())
        }
    };
    let client = shared.nodes.access().subscriber(receive)?;
    Ok((client.get_async_connection().await?, signs))
}

/// A call for each channel; how many are heard now.
async fn subscribe(shared: &Shared, connection: &ClusterConnection) -> i64 {
    let patience = shared.nodes.access().request_timeout();
    let calls = shared.parts.iter().map(|part| {
        let mut connection = connection.clone();
        async move { timeout(patience, connection.ssubscribe(&part.channel)).await }
    });
    let mut heard = 0;
    for answer in join_all(calls).await {
        match answer {
            Ok(Ok(())) => heard += 1,
            Ok(Err(error)) => log::debug!("talk: {error}"),
            Err(_) => log::debug!("talk: Redis did not answer"),
        }
    }
    heard
}

/// Something of any part may have been missed.
fn miss_all(shared: &Shared) {
    for part in 0..PARTS {
        miss(shared, part);
    }
}

fn miss(shared: &Shared, part: u8) {
    shared.stats.gaps.inc();
    // Nobody may be listening.
    let _ = shared.heard.send(Heard::Missed(part));
}

/// Takes in whatever Redis pushes, without waiting: this holds up the connection.
fn receive(shared: &Shared, signs: &Signs, push: &PushInfo) {
    match (&push.kind, &push.data[..]) {
        (PushKind::SMessage, [_, message]) => hear(shared, message),
        (PushKind::SUnsubscribe, _) => {
            signs.unsubscribed.store(true, Ordering::Release);
            signs.seen.notify_one();
        }
        (PushKind::Disconnection, _) => {
            shared.stats.disconnects.inc();
            signs.broken.store(true, Ordering::Release);
            signs.seen.notify_one();
        }
        _ => {}
    }
}

fn hear(shared: &Shared, value: &Value) {
    if let Some(group) = text(value).and_then(|said| said.strip_prefix('P')) {
        if let Some(group) = Group::read(group) {
            let _ = shared.heard.send(Heard::Presence(group));
        }
        return;
    }
    let (Some((run, message)), Value::BulkString(bytes)) = (entry(value), value) else { return };
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let part = actors::channels::part_of(message.group);
    let verdict = shared.ears.ear(part).hear(&run, hasher.finish());
    if verdict == Verdict::Known {
        return;
    }
    if verdict == Verdict::Gap {
        miss(shared, part);
    }
    let _ = shared.heard.send(Heard::Message(Arc::new(message)));
}

/// Looks how far every part has come. Where two messages had one count its numbering begins again.
async fn look(shared: &Shared) {
    let looks = (0..PARTS).map(|part| async move {
        let (seen, is_in_doubt) = {
            let ear = shared.ears.ear(part);
            (ear.seen.clone(), ear.is_in_doubt)
        };
        let claimed = if is_in_doubt { seen.doubted() } else { seen };
        let found = match shared.look(part, &claimed).await {
            Ok(found) => found,
            Err(error) => return log::debug!("talk: part {part}: {error}"),
        };
        let mut ear = shared.ears.ear(part);
        let (is_another, was_known) = (!found.is_that_of(&ear.heard), ear.heard.run > 0);
        ear.is_in_doubt &= !is_in_doubt;
        let has_missed = ear.look(found);
        drop(ear);
        if is_another && was_known {
            shared.stats.runs.inc();
        }
        if has_missed {
            miss(shared, part);
        }
    });
    join_all(looks).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64, count: u64) -> Run {
        Run { run: number, mark: format!("mark of {number}"), count }
    }

    /// One that has heard messages 1 … `count`, each with its count for a hash.
    fn ear(count: u64) -> Ear {
        let mut ear = Ear::default();
        assert!(!ear.look(run(1, 0)), "nothing can have been missed before");
        for at in 1..=count {
            assert_eq!(ear.hear(&run(1, at), at), Verdict::Next);
        }
        ear
    }

    #[test]
    fn a_message_that_comes_twice_is_heard_once() {
        let mut ear = ear(3);
        for at in [3, 1, 2] {
            assert_eq!(ear.hear(&run(1, at), at), Verdict::Known);
        }
        assert!(!ear.is_in_doubt);
    }

    #[test]
    fn a_gap_is_found_by_the_next_message() {
        let mut ear = ear(3);
        assert_eq!(ear.hear(&run(1, 6), 6), Verdict::Gap);
        assert_eq!(ear.hear(&run(1, 5), 5), Verdict::Known, "what is kept tells of it");
        assert_eq!(ear.hear(&run(1, 7), 7), Verdict::Next);
        assert!(!ear.is_in_doubt);
    }

    #[test]
    fn a_gap_at_the_end_is_found_by_the_second_look() {
        let mut ear = ear(3);
        assert!(!ear.look(run(1, 3)));
        assert!(!ear.look(run(1, 5)), "they may be on their way");
        assert_eq!(ear.hear(&run(1, 4), 4), Verdict::Next);
        assert!(ear.look(run(1, 6)), "the fifth has not come");
        assert_eq!(ear.hear(&run(1, 5), 5), Verdict::Known, "what is kept tells of it");
        assert_eq!(ear.hear(&run(1, 6), 6), Verdict::Next);
        assert!(!ear.look(run(1, 6)));
    }

    #[test]
    fn another_message_with_a_known_count_shows_that_one_was_taken_back() {
        let mut ear = ear(3);
        assert_eq!(ear.hear(&run(1, 3), 33), Verdict::Gap);
        assert!(ear.is_in_doubt);
        assert!(ear.look(run(2, 0)), "the numbering begins again");
        assert_eq!(ear.hear(&run(1, 4), 4), Verdict::Known, "too late");
        assert_eq!(ear.hear(&run(2, 1), 1), Verdict::Next);
    }

    #[test]
    fn another_numbering_is_noticed_by_its_first_message() {
        let mut ear = ear(3);
        assert_eq!(ear.hear(&run(2, 1), 1), Verdict::Gap);
        assert_eq!(ear.hear(&run(2, 2), 2), Verdict::Next);
        let other = Run { mark: "other".into(), ..run(2, 1) };
        assert_eq!(ear.hear(&other, 9), Verdict::Gap);
        assert!(ear.is_in_doubt, "two numberings with one number");
    }
}
