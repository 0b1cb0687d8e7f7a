//! `swarm group`: messages to a group with many members. How long until each message has come to each of them, one
//! message after the other and many at once, and whether it came exactly once and in one order.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::args::GroupArgs;
use crate::client::{Next, Player};
use crate::crew::{Crew, Desk, Ended, Stage, Sums};
use crate::faults::{Fault, Faults};
use crate::observer::Reading;
use crate::scene::{Measured, Scene};
use crate::seat::Fate;
use crate::wire::{Message, Outgoing};

const STAGE_LOOK_US: u32 = 5_000;

/// Between the last single message and those that are sent at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Until who could not join, because too many did, asks again.
const PAUSE_US: u32 = 1_000_000;

/// Texts that a server lets wait for one client; more of them at once it refuses as `busy`.
const AT_ONCE_MAX: u32 = 8;

/// What all members of a run share.
#[derive(Debug)]
struct Plan {
    to: String,
    cookies: Vec<String>,
    first: usize,
    senders: u32,
    messages: u32,
    burst: u32,
    quiet_us: u32,
    interval_us: f64,
    filler: String,
    seed: u64,
    /// The run's clock begins at this time, in µs since 1970: members in other processes know no other one.
    epoch_us: u64,
    /// When the load began on the run's clock; 0 before.
    began_us: AtomicU32,
    /// At which offset each message was heard by whoever heard it first; 0 before.
    offsets: Vec<AtomicU64>,
}

impl Plan {
    fn read(args: &GroupArgs, scene: &Scene) -> Result<Self> {
        let cookies = match &args.cookies {
            Some(file) => fs::read_to_string(file)
                .with_context(|| format!("--cookies {}", file.display()))?
                .lines()
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        };
        let wanted = args.burst.div_ceil(AT_ONCE_MAX);
        let senders = args.senders.min(args.members);
        ensure!(
            senders == 0 || senders >= wanted,
            "--burst {}: takes {wanted} --senders, since a server lets {AT_ONCE_MAX} texts of one wait",
            args.burst
        );
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().context("the clock")?;
        let all = args.messages + args.burst;
        Ok(Self {
            to: args.to.clone(),
            cookies,
            first: args.first as usize,
            senders,
            messages: args.messages,
            burst: args.burst,
            quiet_us: (args.quiet * 1e6) as u32,
            interval_us: 1e6 / args.rate,
            filler: "x".repeat(usize::from(args.text)),
            seed: scene.common.seed.unwrap_or_default(),
            epoch_us: since_1970.as_micros() as u64 - u64::from(scene.run.clock.us()),
            began_us: AtomicU32::new(0),
            offsets: (0..all).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    fn all(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// How long single messages are sent, one after the other.
    fn steady(&self) -> Duration {
        Duration::from_micros((f64::from(self.messages) * self.interval_us) as u64)
    }

    /// When message `number` is due, after the load began.
    fn due_us(&self, number: u32) -> u32 {
        let single = number.min(self.messages);
        let pause = if number < self.messages { Duration::ZERO } else { PAUSE };
        self.quiet_us + (f64::from(single) * self.interval_us) as u32 + pause.as_micros() as u32
    }

    /// The next message of who has sent `sent` as sender `me`.
    fn next_of(&self, me: u32, sent: u32) -> Option<u32> {
        let singles = self.messages.saturating_sub(me).div_ceil(self.senders);
        let number = match sent.checked_sub(singles) {
            None => me + sent * self.senders,
            Some(at_once) => self.messages + me + at_once * self.senders,
        };
        (number < self.messages + self.burst).then_some(number)
    }

    /// Notes where a message was heard; whether everybody else has heard it there, too.
    fn hear(&self, number: u32, offset: u64) -> bool {
        self.offsets.get(number as usize).is_some_and(|known| {
            let before = known.compare_exchange(0, offset, Relaxed, Relaxed);
            before.is_ok() || before == Err(offset)
        })
    }

    fn message(&self, number: u32, now_us: u32) -> String {
        let Self { to, filler, seed, epoch_us, .. } = self;
        let at = epoch_us + u64::from(now_us);
        format!(
            r#"{{"type":"message","id":"{seed:016x}-{number}","to":"{to}","data":{{"n":{number},"at":{at},"text":"{filler}"}}}}"#
        )
    }
}

/// What of an envelope counts here.
#[derive(Debug, Deserialize)]
struct Envelope<'t> {
    #[serde(rename = "type")]
    kind: &'t str,
    offset: Option<u64>,
    #[serde(borrow)]
    data: Option<Data<'t>>,
}

#[derive(Debug, Deserialize)]
struct Data<'t> {
    n: Option<u32>,
    at: Option<u64>,
    offset: Option<u64>,
    code: Option<&'t str>,
}

/// Is in the group; sends messages if it is one of the first.
#[derive(Debug)]
struct Member {
    plan: Arc<Plan>,
    index: u32,
    /// When it asks to be let in; nothing while it waits for the answer, or is in.
    ask_us: Option<u32>,
    /// How often it was not let in.
    put_off: u32,
    /// The last message that it has heard, or after which it was let in.
    offset: Option<u64>,
    heard: u32,
    sent: u32,
    acknowledged: u32,
}

impl Member {
    fn is_sender(&self) -> bool {
        self.index < self.plan.senders
    }

    fn heard_message(&mut self, envelope: &Envelope<'_>, bytes: usize, desk: &mut Desk) {
        let tally = &mut desk.tally;
        let data = envelope.data.as_ref();
        let (Some(offset), Some(number), Some(at)) =
            (envelope.offset, data.and_then(|data| data.n), data.and_then(|data| data.at))
        else {
            return tally.faults.note(Fault::BadText, || "a message of nobody here".into());
        };
        if let Some(last) = self.offset.replace(offset).filter(|last| last + 1 != offset) {
            let index = self.index;
            tally
                .faults
                .note(Fault::MessageMissed, || format!("member {index}: {offset} after {last}"));
        }
        if !self.plan.hear(number, offset) {
            tally
                .faults
                .note(Fault::MessagesDisagree, || format!("message {number} is at {offset} here"));
        }
        self.heard += 1;
        tally.updates += 1;
        tally.frame_bytes = bytes as u64;
        // A clock that was set back meanwhile must not end the run.
        let now = self.plan.epoch_us + u64::from(desk.now_us);
        let took_us = u32::try_from(now.saturating_sub(at)).unwrap_or(u32::MAX);
        if number >= self.plan.messages {
            return tally.burst.record(took_us);
        }
        tally.latency.record(took_us);
        let number = number as usize;
        if tally.by_message.len() <= number {
            tally.by_message.resize_with(number + 1, Vec::new);
        }
        tally.by_message[number].push(took_us);
    }
}

impl Player for Member {
    fn v2(&self) -> bool {
        true
    }

    fn cookie(&self) -> Option<String> {
        let cookies = &self.plan.cookies;
        let index = (self.plan.first + self.index as usize).checked_rem(cookies.len())?;
        cookies.get(index).cloned()
    }

    fn update(&mut self, _total: u32, id: u32, desk: &mut Desk) {
        desk.tally.faults.note(Fault::OutsideWatch, || format!("id {id}; it watches nothing"));
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        match message {
            Message::Pulse { .. } => desk.tally.pulses += 1,
            Message::Total(_) | Message::Other => {}
            Message::Update { id, .. } | Message::Refused { id, .. } => {
                desk.tally.faults.note(Fault::UnaskedAnswer, || format!("id {id}"));
            }
            Message::Range { first, .. } => {
                desk.tally.faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            }
        }
    }

    fn text(&mut self, text: &[u8], desk: &mut Desk) {
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(text) else {
            let shown = || String::from_utf8_lossy(text).into_owned();
            return desk.tally.faults.note(Fault::BadText, shown);
        };
        match envelope.kind {
            "message" => self.heard_message(&envelope, text.len(), desk),
            "sent" => self.acknowledged += 1,
            "joined" => self.offset = envelope.data.and_then(|data| data.offset),
            "lost" => {
                let index = self.index;
                desk.tally.faults.note(Fault::MessageMissed, || format!("member {index}: lost"));
            }
            "error" => {
                let code = envelope.data.and_then(|data| data.code).unwrap_or_default();
                if self.offset.is_none() && matches!(code, "unavailable" | "busy") {
                    self.put_off += 1;
                    self.ask_us = Some(desk.now_us + PAUSE_US);
                    return;
                }
                desk.tally.faults.note(Fault::TextRefused, || code.to_owned());
            }
            _ => {}
        }
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        if let Some(ask_us) = self.ask_us {
            if ask_us > desk.now_us {
                return Next::At(ask_us);
            }
            self.ask_us = None;
            out.text(&format!(r#"{{"type":"join","to":"{}"}}"#, self.plan.to));
        }
        if !self.is_sender() {
            return Next::Read;
        }
        match desk.run.stage() {
            Stage::Opening => return Next::At(desk.now_us + STAGE_LOOK_US),
            Stage::Running => {}
            Stage::Draining | Stage::Over => return Next::Read,
        }
        let began_us = self.plan.began_us.load(Relaxed);
        while let Some(number) = self.plan.next_of(self.index, self.sent) {
            let due_us = began_us.saturating_add(self.plan.due_us(number));
            if due_us > desk.now_us {
                return Next::At(due_us);
            }
            out.text(&self.plan.message(number, desk.now_us));
            self.sent += 1;
        }
        Next::Read
    }

    fn settled(&self, desk: &Desk) -> bool {
        match desk.run.stage() {
            Stage::Opening => self.offset.is_some(),
            _ => self.acknowledged >= self.sent && u64::from(self.heard) >= self.plan.all(),
        }
    }
}

/// What the parts of a run cost.
struct Costs {
    /// Nothing was sent.
    quiet: Measured,
    /// One message after the other.
    single: Measured,
    /// All at once, until the last had come.
    burst: Measured,
}

pub(crate) async fn run(args: GroupArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let plan = Arc::new(Plan::read(&args, &scene)?);
    let (members, shared) = (u64::from(args.members), plan.clone());
    let crew = scene
        .gather(move |index| Member {
            plan: shared.clone(),
            index: index as u32,
            ask_us: Some(0),
            put_off: 0,
            offset: None,
            heard: 0,
            sent: 0,
            acknowledged: 0,
        })
        .await?;
    let all = members * plan.all();
    let costs = if plan.senders > 0 {
        Some(load(&plan, &mut scene, &crew, all).await)
    } else {
        let heard = move |sums: &Sums| sums.updates >= all;
        scene.load(&crew, 0.0, args.patience, heard, line).await?;
        None
    };
    scene.drain(&crew, |_| true).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    audit(&plan, &mut ended);
    figures(&mut scene, costs.as_ref(), &ended);
    Ok((scene, ended.tally.faults))
}

fn line(sums: &Sums) -> String {
    format!("{} members, {} messages came, {} connections lost", sums.open, sums.updates, sums.lost)
}

/// Is quiet, lets messages be sent one by one, then all at once; measures each.
async fn load(plan: &Plan, scene: &mut Scene, crew: &Crew<Member>, all: u64) -> Costs {
    let run = scene.run.clone();
    plan.began_us.store(run.clock.us(), Relaxed);
    run.enter(Stage::Running);
    let quiet = Duration::from_micros(plan.quiet_us.into());
    let settle = Duration::from_secs_f64(scene.common.settle);
    let begin = look(scene, crew);
    scene.observer.wait(quiet, || false, || line(&crew.sums())).await;
    let single = look(scene, crew);
    // Up to shortly before the burst, so that what single messages cost is all in it.
    let steady = plan.steady() + PAUSE.mul_f64(0.9);
    scene.observer.wait(steady, || false, || line(&crew.sums())).await;
    let burst = look(scene, crew);
    let heard = || crew.sums().updates >= all;
    scene.observer.wait(PAUSE + settle, heard, || line(&crew.sums())).await;
    let end = look(scene, crew);
    let between = |from: &(Sums, Reading), to: &(Sums, Reading)| {
        Measured::between((&from.0, &from.1), (&to.0, &to.1))
    };
    Costs {
        quiet: between(&begin, &single),
        single: between(&single, &burst),
        burst: between(&burst, &end),
    }
}

fn look(scene: &Scene, crew: &Crew<Member>) -> (Sums, Reading) {
    (crew.sums(), scene.observer.read())
}

/// When all is at rest: everybody who is there has heard everything, and every message was acknowledged.
fn audit(plan: &Plan, ended: &mut Ended<Member>) {
    let faults = &mut ended.tally.faults;
    for seat in ended.seats.iter().filter(|seat| seat.fate == Fate::Open) {
        let Member { heard, sent, acknowledged, .. } = seat.player;
        if u64::from(heard) != plan.all() {
            faults.note(Fault::MessageMissed, || {
                format!("member {}: heard {heard} of {}", seat.index, plan.all())
            });
        }
        if sent != acknowledged {
            faults.note(Fault::Unanswered, || {
                format!("member {}: {acknowledged} of {sent} messages", seat.index)
            });
        }
    }
}

/// Milliseconds until 99 % of the members have heard a message; of all messages that were sent alone, the middle one.
/// What holds the machine up for a moment is in a few of them.
fn middle_p99_ms(by_message: &[Vec<u32>]) -> Option<f64> {
    let p99 = |times: &Vec<u32>| {
        let mut times = times.clone();
        times.sort_unstable();
        times.get((times.len() * 99).div_ceil(100).checked_sub(1)?).copied()
    };
    let mut all: Vec<u32> = by_message.iter().filter_map(p99).collect();
    all.sort_unstable();
    Some(f64::from(*all.get(all.len() / 2)?) / 1000.0)
}

fn figures(scene: &mut Scene, costs: Option<&Costs>, ended: &Ended<Member>) {
    let report = &mut scene.report;
    report.section("messages, from being sent to each member");
    report.count("messages_heard", ended.tally.updates);
    report.count("message_bytes", ended.tally.frame_bytes);
    report.latency("message_latency", &ended.tally.latency.percentiles());
    let middle = middle_p99_ms(&ended.tally.by_message);
    report.number_if_known("middle_message_latency_p99_ms", middle);
    report.latency("burst_latency", &ended.tally.burst.percentiles());
    let put_off = ended.seats.iter().map(|seat| u64::from(seat.player.put_off)).sum();
    report.count("joins_put_off", put_off);
    report.count("pulses_heard", ended.tally.pulses);
    let Some(costs) = costs else { return };
    let named = [("quiet", &costs.quiet), ("single", &costs.single), ("burst", &costs.burst)];
    for (name, measured) in named {
        report.section(name);
        report.number(&format!("{name}_s"), measured.seconds);
        report.count(&format!("{name}_heard"), measured.updates);
        report.cpu(&format!("{name}_server"), measured.server);
        report.cpu(&format!("{name}_swarm"), measured.swarm);
        report.number_if_known(&format!("{name}_server_socket_writes"), measured.socket_writes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(senders: u32, messages: u32, burst: u32) -> Plan {
        Plan {
            to: "team:0000000000000001".into(),
            cookies: Vec::new(),
            first: 0,
            senders,
            messages,
            burst,
            quiet_us: 1_000_000,
            interval_us: 500_000.0,
            filler: "xx".into(),
            seed: 7,
            epoch_us: 1_000,
            began_us: AtomicU32::new(0),
            offsets: (0..messages + burst).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    #[test]
    fn senders_share_all_messages_and_send_none_twice() {
        for (senders, messages, burst) in [(1, 5, 3), (3, 7, 4), (4, 2, 4), (5, 0, 3), (2, 6, 0)] {
            let plan = plan(senders, messages, burst);
            let mut numbers: Vec<u32> = (0..senders)
                .flat_map(|me| {
                    let plan = &plan;
                    (0..).map_while(move |sent| plan.next_of(me, sent))
                })
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..messages + burst).collect::<Vec<_>>());
        }
    }

    #[test]
    fn single_messages_come_one_after_the_other_and_the_others_at_once() {
        let plan = plan(2, 2, 2);
        let due = [0, 1, 2, 3].map(|number| plan.due_us(number));
        assert_eq!(due, [1_000_000, 1_500_000, 3_000_000, 3_000_000]);
    }

    #[test]
    fn one_message_that_was_held_up_does_not_move_the_middle_one() {
        let message = |most: u32| (1..=100).map(|part| most * part / 100).collect::<Vec<_>>();
        let all = [message(10_000), message(20_000), message(900_000)];
        assert_eq!(middle_p99_ms(&all), Some(19.8));
        assert_eq!(middle_p99_ms(&[vec![5_000]]), Some(5.0));
        assert_eq!(middle_p99_ms(&[]), None);
    }

    #[test]
    fn a_message_is_at_one_place_for_all() {
        let plan = plan(1, 1, 1);
        assert!(plan.hear(0, 5) && plan.hear(0, 5));
        assert!(!plan.hear(0, 6) && !plan.hear(2, 7));
    }

    #[test]
    fn what_is_sent_is_an_envelope_with_its_number_and_time() {
        let text = plan(1, 1, 0).message(0, 5);
        let envelope: Envelope<'_> = serde_json::from_str(&text).unwrap();
        let data = envelope.data.unwrap();
        assert_eq!((envelope.kind, data.n, data.at), ("message", Some(0), Some(1_005)));
    }
}
