//! What this node hears of each part, and whether it has missed any of it.
//!
//! One connection for the subscriptions and nothing else. The client subscribes again by itself after a disconnect, in a way
//! that Redis refuses without anybody noticing, so each channel is subscribed to by a call of its own, after each
//! disconnect and every two seconds anyway; where Redis has ended a subscription, because a slot has moved, the connection
//! is replaced, and the new one subscribes before the old one goes. A message that comes twice meanwhile is heard once.

use std::{
    collections::VecDeque,
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
    wire::{Entry, Run, entry, text},
};
use crate::store::cluster::stats::PAUSE;

/// Time after which every channel is subscribed to again, without a reason.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two looks at how far the parts have come.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Messages of a part that are told apart from those with the same count that are not the same.
const RECENT: usize = 256;

/// Counts of a part that were seen and not yet compared with Redis. Beyond that its numbering begins again: rather than
/// forget one, which a failover may have taken back.
const POINTS_MAX: usize = 256;

/// What has been seen of one part: each call says so, and Redis compares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// 0: nothing was seen.
    pub(super) run: u64,
    pub(super) mark: String,
    /// Counts in order, and the link of each. One link stands for all messages up to it, so a count of which it is known
    /// that the next one follows on it is left out.
    points: Vec<(u64, String)>,
}

impl Seen {
    fn at(run: &Run) -> Self {
        let points = vec![(run.count, run.link.clone())];
        Self { run: run.run, mark: run.mark.clone(), points }
    }

    fn is_of(&self, run: &Run) -> bool {
        self.run == run.run && self.mark == run.mark
    }

    fn add(&mut self, run: &Run) {
        let point = (run.count, run.link.clone());
        if let Err(at) = self.points.binary_search(&point) {
            self.points.insert(at, point);
        }
    }

    /// As scripts read it: `count link count link …`.
    pub(super) fn points(&self) -> String {
        let points: Vec<_> =
            self.points.iter().map(|(count, link)| format!("{count} {link}")).collect();
        points.join(" ")
    }

    /// Claims to have seen more than there can be, so that another numbering begins if this is still the one in force.
    fn doubted(&self) -> Self {
        Self { points: vec![(1 << 53, "0".to_owned())], ..self.clone() }
    }
}

/// A message that was heard.
#[derive(Debug)]
struct Recent {
    count: u64,
    link: String,
    before: String,
}

/// What has been heard of one part.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// The last that was heard; nothing: run 0.
    heard: Run,
    /// Up to this count what was not heard is known to be missing, and may still come.
    floor: u64,
    /// What is known of it.
    seen: Seen,
    /// As a look found it, ahead of what was heard by then.
    ahead: Option<Run>,
    /// The last that were heard.
    recent: VecDeque<Recent>,
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
    /// A message came as number `run.count`, after the one with the link `before`.
    fn hear(&mut self, run: &Run, before: &str) -> Verdict {
        let verdict = self.place(run, before);
        self.note(run);
        verdict
    }

    /// Notes that the part has come so far.
    fn note(&mut self, run: &Run) {
        if run.run > self.seen.run {
            self.seen = Seen::at(run);
        } else if self.seen.is_of(run) {
            self.seen.add(run);
            let recent = &self.recent;
            self.seen.points.retain(|(count, link)| {
                let is_next = |next: &Recent| next.count == count + 1 && next.before == *link;
                !recent.iter().rev().any(is_next)
            });
            if self.seen.points.len() > POINTS_MAX {
                self.is_in_doubt = true;
                self.seen.points.remove(0);
            }
        }
    }

    /// A call that said `claimed` was answered that the part has come so far.
    fn saw(&mut self, claimed: &Seen, found: &Run) {
        if self.seen.is_of(found) && claimed.is_of(found) {
            // Those were compared.
            self.seen.points.retain(|point| !claimed.points.contains(point));
        }
        self.note(found);
    }

    fn keep(&mut self, run: &Run, before: &str) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let (link, before) = (run.link.clone(), before.to_owned());
        self.recent.push_back(Recent { count: run.count, link, before });
    }

    fn place(&mut self, run: &Run, before: &str) -> Verdict {
        if !run.is_that_of(&self.heard) {
            if run.run < self.heard.run {
                // Late, from before the numbering began again.
                return Verdict::Known;
            }
            self.is_in_doubt |= run.run == self.heard.run;
            self.begin(run.clone(), run.count.saturating_sub(1));
            self.keep(run, before);
            return Verdict::Gap;
        }
        if run.count <= self.heard.count {
            let is_known = run.count <= self.floor
                || self.recent.iter().any(|r| r.count == run.count && r.link == run.link)
                || self.recent.front().is_none_or(|oldest| run.count < oldest.count);
            if is_known {
                return Verdict::Known;
            }
            self.is_in_doubt = true;
            return Verdict::Gap;
        }
        let mut is_next = run.count == self.heard.count + 1;
        let last = self.recent.back().filter(|last| last.count + 1 == run.count);
        if is_next && last.is_some_and(|last| last.link != before) {
            // The last one that was heard was taken back, and this follows another one with its count.
            self.is_in_doubt = true;
            is_next = false;
        }
        if !is_next {
            self.floor = run.count.saturating_sub(1);
        }
        self.heard.count = run.count;
        self.keep(run, before);
        if is_next { Verdict::Next } else { Verdict::Gap }
    }

    fn begin(&mut self, run: Run, floor: u64) {
        self.heard = run;
        self.floor = floor;
        self.recent.clear();
        self.ahead = None;
    }

    /// A look has found the part at `run`; whether something was missed.
    fn look(&mut self, claimed: &Seen, run: Run) -> bool {
        self.saw(claimed, &run);
        if !run.is_that_of(&self.heard) {
            if run.run < self.heard.run {
                return false;
            }
            // Also at the first look: somebody may have read what is kept before, and what came since counts as heard.
            let count = run.count;
            self.begin(run, count);
            return true;
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

    /// What has been seen of a part, for a call to say.
    pub(super) fn seen(&self, part: u8) -> Seen {
        self.ear(part).seen.clone()
    }

    /// Whether every part was looked at.
    #[cfg(test)]
    pub(super) fn are_known(&self) -> bool {
        (0..PARTS).all(|part| self.ear(part).heard.run > 0)
    }

    /// The answer to a call that said `claimed`: how far the part has come.
    pub(super) fn saw(&self, part: u8, claimed: &Seen, found: Run) {
        self.ear(part).saw(claimed, &found);
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
        // Each by itself: one that is away holds up no other.
        let looks = (0..PARTS).map(async |part| {
            loop {
                sleep(LOOK_INTERVAL).await;
                look(&shared, part).await;
            }
        });
        join_all(looks).await;
    };
    let subscriptions = async {
        let mut subscriber = regain(&shared).await;
        // Some parts were not heard: what came by then on these is read once they are.
        let mut were_deaf = false;
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
                were_deaf = true;
                continue;
            }
            let are_deaf = heard < i64::from(PARTS);
            if was_broken || (were_deaf && !are_deaf) {
                miss_all(&shared);
            }
            were_deaf = are_deaf;
            if are_deaf {
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
    let Some(Entry { run, before, message }) = entry(value) else { return };
    let part = actors::channels::part_of(message.group);
    let verdict = shared.ears.ear(part).hear(&run, &before);
    if verdict == Verdict::Known {
        return;
    }
    if verdict == Verdict::Gap {
        miss(shared, part);
    }
    let _ = shared.heard.send(Heard::Message(Arc::new(message)));
}

/// Looks how far a part has come. Where two messages had one count its numbering begins again.
async fn look(shared: &Shared, part: u8) {
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
    let has_missed = ear.look(&claimed, found);
    drop(ear);
    if is_another && was_known {
        shared.stats.runs.inc();
    }
    if has_missed {
        miss(shared, part);
    }
}

#[cfg(test)]
mod tests;
