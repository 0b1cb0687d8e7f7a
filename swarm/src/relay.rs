//! `swarm relay`: checks go to one server of a board, and the updates of another one are listened to. How long until a
//! check is known there, and whether it came exactly once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::args::{Common, RelayArgs};
use crate::books::{Books, Heard, Misanswered, PlainView};
use crate::client::{Next, Player};
use crate::crew::{Desk, Ended, Pace, Stage, Sums};
use crate::fanout::Checker;
use crate::faults::{Fault, Faults};
use crate::scene::{Measured, Scene};
use crate::seat::Fate;
use crate::target::Target;
use crate::wire::{Message, Outgoing};

/// Checks boxes at a steady rate and hears of nothing else.
#[derive(Debug)]
struct Sender {
    checker: Checker,
    greeted: bool,
    /// The last total of its server, which numbers updates in an order of its own.
    told: u32,
    answered: u64,
}

impl Sender {
    fn total(&mut self, total: u32, desk: &mut Desk) {
        if total < self.told {
            let told = self.told;
            desk.tally.faults.note(Fault::TotalFell, || format!("total {total} after {told}"));
        }
        self.told = total;
    }

    #[cold]
    fn misanswered(&self, id: u32, why: Misanswered, desk: &mut Desk) {
        let fault = match why {
            Misanswered::NeverAsked => Fault::UnaskedAnswer,
            Misanswered::Twice => Fault::AnsweredTwice,
        };
        desk.tally.faults.note(fault, || format!("id {id}"));
    }
}

impl Player for Sender {
    fn v2(&self) -> bool {
        true
    }

    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        self.total(total, desk);
        let shuffle = &desk.run.books.shuffle;
        if !(1..=shuffle.boxes()).contains(&id) || !self.checker.is_mine(shuffle.place(id)) {
            return self.misanswered(id, Misanswered::NeverAsked, desk);
        }
        match desk.run.books.acknowledge(id) {
            Ok(sent_us) => {
                self.answered += 1;
                desk.tally.acknowledged += 1;
                if desk.run.books.is_measured(sent_us) {
                    desk.tally.latency.record(desk.now_us - sent_us);
                }
            }
            Err(why) => self.misanswered(id, why, desk),
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        match message {
            Message::Total(total) | Message::Pulse { total } => {
                self.greeted = true;
                self.total(total, desk);
            }
            Message::Refused { id, reason } => {
                desk.tally.refused[usize::from(reason).min(5)] += 1;
                match desk.run.books.refuse(id) {
                    Ok(_) => self.answered += 1,
                    Err(why) => self.misanswered(id, why, desk),
                }
            }
            Message::Range { first, .. } => {
                desk.tally.faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            }
            Message::Other | Message::Update { .. } => {}
        }
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        self.checker.fill(desk, out)
    }

    fn settled(&self, desk: &Desk) -> bool {
        match desk.run.stage() {
            Stage::Opening => self.greeted,
            _ => self.answered >= self.checker.sent(),
        }
    }
}

/// Hears everything the other server tells.
#[derive(Debug, Default)]
struct Listener(PlainView);

impl Player for Listener {
    fn v2(&self) -> bool {
        false
    }

    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        let tally = &mut desk.tally;
        match self.0.update(total, id, &desk.run.books, &mut tally.faults) {
            Heard::Update(sent_us) => {
                tally.updates += 1;
                if sent_us > 0 {
                    tally.latency.record(desk.now_us.saturating_sub(sent_us));
                }
            }
            Heard::Answer => {
                tally.faults.note(Fault::UnaskedAnswer, || format!("total {total}, id {id}"));
            }
            Heard::Nonsense => {}
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        let faults = &mut desk.tally.faults;
        match message {
            Message::Total(total) => self.0.total(total, faults),
            Message::Range { first, .. } => {
                faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            }
            Message::Refused { id, .. } => {
                faults.note(Fault::UnaskedAnswer, || format!("id {id} refused"));
            }
            Message::Pulse { .. } | Message::Other | Message::Update { .. } => {}
        }
    }

    fn fill(&mut self, _desk: &mut Desk, _out: &mut Outgoing) -> Next {
        Next::Read
    }

    fn settled(&self, desk: &Desk) -> bool {
        match desk.run.stage() {
            Stage::Opening => self.0.greeted(),
            _ => self.0.told() >= desk.run.books.highest(),
        }
    }
}

/// The books are those of the listeners' server: its totals are what they hear, and its board is read.
pub(crate) async fn run(
    args: RelayArgs,
    common: Common,
    pace: Pace,
    from: Target,
) -> Result<(Scene, Faults)> {
    let RelayArgs { listeners, checkers: all, rate, .. } = args;
    let to = Target::resolve(&args.to, None, common.sources, listeners as usize)?;
    let mut scene = Scene::set("relay", crate::parameters(&args)?, common, pace, to).await?;
    let places_end = scene.places(rate, args.warmup + args.seconds, all).await?;

    let at_to = Pace { connections: listeners as usize, ..scene.pace.clone() };
    let at_from = Pace { connections: all as usize, ..scene.pace.clone() };
    let to = scene.target.clone();
    let hearing = scene.gather_at(&to, &at_to, "listeners", |_| Listener::default()).await?;
    let taken = scene.taken.clone();
    let make = move |index| Sender {
        checker: Checker::new(index as u32, all, rate, places_end, taken.clone()),
        greeted: false,
        told: 0,
        answered: 0,
    };
    let sending = scene.gather_at(&from, &at_from, "checkers", make).await?;

    let run = Arc::clone(&scene.run);
    let line = |sums: &Sums| {
        let sent = run.books.sent();
        format!("{sent} checks, {} updates delivered, {} connections lost", sums.updates, sums.lost)
    };
    let measured = scene.load(&hearing, args.warmup, args.seconds, |_| false, line).await?;
    let everywhere = |books: &Books| {
        books.ours_announced() >= books.sent() && sending.sums().unsettled == Some(0)
    };
    scene.drain(&hearing, everywhere).await?;
    let (mut hearing, mut sending) = (hearing.finish()?, sending.finish()?);
    scene.muster_out(&mut hearing);
    scene.muster_out(&mut sending);
    let mut faults = std::mem::take(&mut hearing.tally.faults);
    faults.merge(std::mem::take(&mut sending.tally.faults));
    audit(&run.books, &hearing, &sending, &mut faults);
    scene.verify(&mut faults).await;
    figures(&mut scene, &measured, &hearing, &sending);
    Ok((scene, faults))
}

/// When all is at rest: every check was answered, and every acknowledged one came to every listener.
fn audit(books: &Books, hearing: &Ended<Listener>, sending: &Ended<Sender>, faults: &mut Faults) {
    for seat in hearing.seats.iter().filter(|seat| seat.fate == Fate::Open) {
        let (told, highest) = (seat.player.0.told(), books.highest());
        if told < highest {
            faults.note(Fault::Behind, || {
                format!("connection {}: at {told} of {highest}", seat.index)
            });
        }
    }
    for seat in sending.seats.iter().filter(|seat| seat.fate == Fate::Open) {
        let unanswered = seat.player.checker.sent().saturating_sub(seat.player.answered);
        if unanswered > 0 {
            faults.note(Fault::Unanswered, || {
                format!("connection {}: {unanswered} checks", seat.index)
            });
        }
    }
    for sent in books.all_sent().filter(|sent| sent.acknowledged && sent.total == 0) {
        faults.note(Fault::NotRelayed, || format!("id {}", sent.id));
    }
}

fn figures(
    scene: &mut Scene,
    measured: &Measured,
    hearing: &Ended<Listener>,
    sending: &Ended<Sender>,
) {
    let late = sending.seats.iter().map(|seat| seat.player.checker.late_us_max()).max();
    let report = &mut scene.report;
    report.section("from a check on one server to its update on the other, over the measured time");
    report.number("measured_s", measured.seconds);
    report.number(
        "checks_relayed_per_s",
        measured.updates as f64 / measured.seconds / hearing.seats.len().max(1) as f64,
    );
    report.latency("relay_latency", &hearing.tally.latency.percentiles());
    report.latency("ack_latency", &sending.tally.latency.percentiles());
    report.section("in all, with warm-up and settling");
    report.count("updates_delivered_in_all", hearing.tally.updates);
    report.number(
        "checks_late_max_ms",
        Duration::from_micros(late.unwrap_or_default().into()).as_secs_f64() * 1000.0,
    );
    for (reason, count) in
        sending.tally.refused.into_iter().enumerate().filter(|(_, count)| *count > 0)
    {
        report.count(&format!("refused_for_reason_{reason}"), count);
    }
    scene.costs(measured);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::Tally;
    use crate::shuffle::Shuffle;

    fn nobody<P>() -> Ended<P> {
        Ended { seats: Vec::new(), tally: Tally::new() }
    }

    #[test]
    fn an_acknowledged_check_has_to_come_to_the_other_server() {
        let books = Books::new(Shuffle::new(1000, 1), 0, true);
        let [relayed, lost, refused] = [0, 1, 2].map(|place| books.shuffle.id(place));
        (0..3).for_each(|place| books.send(place, 1));
        books.see(1, relayed).unwrap();
        books.acknowledge(relayed).unwrap();
        books.refuse(refused).unwrap();
        let mut faults = Faults::default();
        audit(&books, &nobody(), &nobody(), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        books.acknowledge(lost).unwrap();
        audit(&books, &nobody(), &nobody(), &mut faults);
        assert_eq!(faults.counts(), [(Fault::NotRelayed, 1)]);
    }
}
