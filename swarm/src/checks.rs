//! `swarm checks`: each connection keeps a window of unacknowledged checks. How many become durable per second.

use std::sync::Arc;

use anyhow::Result;

use crate::args::ChecksArgs;
use crate::board::Bitmap;
use crate::books::{Heard, Misanswered, PlainView};
use crate::client::{Next, Player};
use crate::crew::{Desk, Stage, Sums};
use crate::faults::{Fault, Faults};
use crate::scene::Scene;
use crate::seat::Fate;
use crate::wire::{Message, Outgoing};

const STAGE_LOOK_US: u32 = 5_000;
/// After a refusal, how long to check nothing: a refused check that is replaced at once would be a busy loop.
const REFUSED_PAUSE_US: u32 = 10_000;

/// Keeps a window of checks unacknowledged. Connection `me` of `all` checks the boxes at places `me`, `me + all`, … of
/// the shuffle, so that any id says whose check it was.
#[derive(Debug)]
struct Driver {
    v2: bool,
    me: u32,
    all: u32,
    next_place: u64,
    places_end: u64,
    taken: Option<Arc<Bitmap>>,
    window: u32,
    pipeline: u32,
    outstanding: u32,
    paused_until_us: u32,
    view: PlainView,
    told: u32,
}

impl Driver {
    fn is_mine(&self, id: u32, desk: &Desk) -> bool {
        let shuffle = &desk.run.books.shuffle;
        (1..=shuffle.boxes()).contains(&id) && shuffle.place(id) % self.all == self.me
    }

    fn acknowledged(&mut self, id: u32, desk: &mut Desk) {
        match desk.run.books.acknowledge(id) {
            Ok(sent_us) => {
                self.outstanding -= 1;
                desk.tally.acknowledged += 1;
                if desk.run.books.is_measured(sent_us) {
                    desk.tally.latency.record(desk.now_us - sent_us);
                }
            }
            Err(why) => self.misanswered(id, why, desk),
        }
    }

    fn refused(&mut self, id: u32, reason: u8, desk: &mut Desk) {
        desk.tally.refused[usize::from(reason).min(5)] += 1;
        self.paused_until_us = desk.now_us + REFUSED_PAUSE_US;
        if !self.is_mine(id, desk) {
            return self.misanswered(id, Misanswered::NeverAsked, desk);
        }
        match desk.run.books.refuse(id) {
            Ok(_) => self.outstanding -= 1,
            Err(why) => self.misanswered(id, why, desk),
        }
    }

    #[cold]
    fn misanswered(&self, id: u32, why: Misanswered, desk: &mut Desk) {
        let fault = match why {
            Misanswered::NeverAsked => Fault::UnaskedAnswer,
            Misanswered::Twice => Fault::AnsweredTwice,
        };
        desk.tally.faults.note(fault, || format!("connection {}, id {id}", self.me));
    }

    /// A v2 connection that asked for no range hears of its own checks only.
    fn update_v2(&mut self, total: u32, id: u32, desk: &mut Desk) {
        if total < self.told {
            desk.tally
                .faults
                .note(Fault::TotalFell, || format!("total {total} after {}", self.told));
        }
        self.told = total;
        if self.is_mine(id, desk) {
            self.acknowledged(id, desk);
        } else {
            desk.tally.faults.note(Fault::OutsideWatch, || {
                format!("connection {}: total {total}, id {id}", self.me)
            });
        }
    }

    /// The place to check next, skipping boxes that were checked before the run.
    fn take_place(&mut self, desk: &Desk) -> Option<(u32, u32)> {
        while self.next_place < self.places_end {
            let place = self.next_place as u32;
            self.next_place += u64::from(self.all);
            let id = desk.run.books.shuffle.id(place);
            if !self.taken.as_ref().is_some_and(|taken| taken.get(id)) {
                return Some((place, id));
            }
        }
        None
    }
}

impl Player for Driver {
    fn v2(&self) -> bool {
        self.v2
    }

    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        desk.tally.updates += 1;
        if self.v2 {
            return self.update_v2(total, id, desk);
        }
        match self.view.update(total, id, &desk.run.books, &mut desk.tally.faults) {
            Heard::Update(_) if self.is_mine(id, desk) => {
                // On a shared board a stranger may have been faster with this box, before we ever check it.
                if desk.run.books.was_sent(id) {
                    self.acknowledged(id, desk);
                }
            }
            Heard::Answer if self.is_mine(id, desk) => self.acknowledged(id, desk),
            Heard::Answer => self.misanswered(id, Misanswered::NeverAsked, desk),
            Heard::Update(_) | Heard::Nonsense => {}
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        match message {
            Message::Total(total) | Message::Pulse { total } if self.v2 && self.view.greeted() => {
                if total < self.told {
                    desk.tally
                        .faults
                        .note(Fault::TotalFell, || format!("total {total} after {}", self.told));
                }
                self.told = total;
            }
            Message::Total(total) => {
                self.told = total;
                self.view.total(total, &mut desk.tally.faults);
            }
            Message::Refused { id, reason } => self.refused(id, reason, desk),
            Message::Range { first, .. } => {
                desk.tally.faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            }
            Message::Pulse { .. } | Message::Other | Message::Update { .. } => {}
        }
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        match desk.run.stage() {
            Stage::Opening => return Next::At(desk.now_us + STAGE_LOOK_US),
            Stage::Running if desk.now_us < self.paused_until_us => {
                return Next::At(self.paused_until_us);
            }
            Stage::Running => {}
            Stage::Draining | Stage::Over => return Next::Read,
        }
        let room = (self.window - self.outstanding).min(self.pipeline);
        for _ in 0..room {
            let Some((place, id)) = self.take_place(desk) else { return Next::Read };
            desk.run.books.send(place, desk.now_us);
            out.check(id);
            self.outstanding += 1;
        }
        // More room than one write may fill: come back at once.
        if self.outstanding < self.window { Next::At(desk.now_us) } else { Next::Read }
    }

    fn settled(&self, desk: &Desk) -> bool {
        match desk.run.stage() {
            Stage::Opening => self.view.greeted(),
            _ => self.outstanding == 0,
        }
    }
}

pub(crate) async fn run(args: ChecksArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let checks = args.max_checks.min(scene.common.boxes.saturating_sub(scene.run.books.base));
    let places_end = u64::from(scene.find_unchecked(checks).await?);
    let ChecksArgs { plain, window, pipeline, connections: all, .. } = args;
    let taken = scene.taken.clone();
    let make = move |index| Driver {
        v2: !plain,
        me: index as u32,
        all,
        next_place: index as u64,
        places_end,
        taken: taken.clone(),
        window,
        pipeline,
        outstanding: 0,
        paused_until_us: 0,
        view: PlainView::default(),
        told: 0,
    };
    let crew = scene.gather(make).await?;
    let run = Arc::clone(&scene.run);
    // Connections run out of boxes at about the same time; the last window of each may be still under way.
    let exhausted = |sums: &Sums| {
        run.books.sent() >= u64::from(checks) && sums.acknowledged >= u64::from(checks)
    };
    let line = |sums: &Sums| {
        format!("checking: {} acknowledged, {} connections lost", sums.acknowledged, sums.lost)
    };
    let measured = scene.load(&crew, args.warmup, args.seconds, exhausted, line).await?;
    scene.drain(&crew, |_| true).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    for seat in &ended.seats {
        let unanswered = seat.player.outstanding;
        if unanswered > 0 && seat.fate == Fate::Open {
            ended.tally.faults.note(Fault::Unanswered, || {
                format!("connection {}: {unanswered} checks", seat.index)
            });
        }
    }
    scene.verify(&mut ended.tally.faults).await;
    let report = &mut scene.report;
    report.section("checks, over the measured time");
    report.count("acknowledged", measured.acknowledged);
    report.number("acknowledged_per_s", measured.acknowledged as f64 / measured.seconds);
    report.latency("ack_latency", &ended.tally.latency.percentiles());
    report.number_if_known(
        "server_cpu_us_per_check",
        measured.server.map(|cpu| cpu.total_s() * 1e6 / measured.acknowledged.max(1) as f64),
    );
    report.count("updates_delivered", measured.updates);
    report.number("updates_per_s", measured.updates as f64 / measured.seconds);
    for (reason, count) in
        ended.tally.refused.into_iter().enumerate().filter(|(_, count)| *count > 0)
    {
        report.count(&format!("refused_for_reason_{reason}"), count);
    }
    scene.costs(&measured);
    Ok((scene, ended.tally.faults))
}
