//! `swarm ranges`: asks for ranges as fast as they are answered, and checks the form of each answer.

use std::collections::VecDeque;

use anyhow::Result;

use crate::args::RangesArgs;
use crate::board::{check_answer, tile_range};
use crate::books::{PlainView, TILE_BOXES};
use crate::client::{Next, Player};
use crate::crew::{Desk, Stage};
use crate::faults::{Fault, Faults};
use crate::scene::Scene;
use crate::shuffle::mix64;
use crate::wire::{Message, Outgoing};

/// How often a player that may not ask yet looks whether it may.
const STAGE_LOOK_US: u32 = 5_000;

/// Keeps some requests unanswered.
#[derive(Debug)]
struct Asker {
    v2: bool,
    outstanding: usize,
    per_range: u32,
    random: u64,
    view: PlainView,
    /// What was asked, in order, and when.
    asked: VecDeque<(u32, u32, u32)>,
}

impl Player for Asker {
    fn v2(&self) -> bool {
        self.v2
    }

    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        desk.tally.updates += 1;
        if !self.v2 {
            self.view.update(total, id, &desk.run.books, &mut desk.tally.faults);
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        let faults = &mut desk.tally.faults;
        match message {
            Message::Total(total) if !self.v2 || !self.view.greeted() => {
                self.view.total(total, faults)
            }
            Message::Total(_) | Message::Other => {}
            Message::Pulse { .. } => desk.tally.pulses += 1,
            Message::Range { first, mask } => self.answered(first, mask, desk),
            Message::Refused { id, .. } | Message::Update { id, .. } => {
                faults.note(Fault::UnaskedAnswer, || format!("id {id}"));
            }
        }
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        match desk.run.stage() {
            Stage::Opening => return Next::At(desk.now_us + STAGE_LOOK_US),
            Stage::Running => {}
            Stage::Draining | Stage::Over => return Next::Read,
        }
        let boxes = desk.run.books.shuffle.boxes();
        while self.asked.len() < self.outstanding {
            self.random = mix64(self.random);
            let (first, end) =
                tile_range((self.random % u64::from(boxes.div_ceil(TILE_BOXES))) as u32, boxes);
            let last = end.min(first + (self.per_range - 1));
            out.range(first, last);
            self.asked.push_back((first, last, desk.now_us));
        }
        Next::Read
    }

    fn settled(&self, desk: &Desk) -> bool {
        match desk.run.stage() {
            Stage::Opening => self.view.greeted(),
            _ => self.asked.is_empty(),
        }
    }
}

impl Asker {
    fn answered(&mut self, first: u32, mask: &[u8], desk: &mut Desk) {
        let tally = &mut desk.tally;
        let Some((asked_first, asked_last, asked_us)) = self.asked.pop_front() else {
            tally.faults.note(Fault::BadRange, || format!("unasked, from {first}"));
            return;
        };
        tally.ranges += 1;
        if let Err(fault) = check_answer((asked_first, asked_last), first, mask) {
            tally.faults.note(Fault::BadRange, || fault);
        }
        if desk.run.books.is_measured(asked_us) {
            tally.latency.record(desk.now_us - asked_us);
        }
    }
}

pub(crate) async fn run(args: RangesArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let seed = scene.common.seed.unwrap_or_default();
    let RangesArgs { v2, outstanding, per_range, .. } = args;
    let crew = scene
        .gather(move |index| Asker {
            v2,
            outstanding: outstanding as usize,
            per_range,
            random: mix64(seed ^ index as u64),
            view: PlainView::default(),
            asked: VecDeque::new(),
        })
        .await?;
    let line = |sums: &crate::crew::Sums| {
        format!("asking: {} answers, {} connections lost", sums.ranges, sums.lost)
    };
    let measured = scene.load(&crew, args.warmup, args.seconds, |_| false, line).await?;
    scene.drain(&crew, |_| true).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    for seat in &ended.seats {
        let unanswered = seat.player.asked.len();
        if unanswered > 0 && seat.fate == crate::seat::Fate::Open {
            ended.tally.faults.note(Fault::Unanswered, || {
                format!("connection {}: {unanswered} ranges", seat.index)
            });
        }
    }
    let report = &mut scene.report;
    report.section("ranges, over the measured time");
    report.count("answers", measured.ranges);
    report.number("answers_per_s", measured.ranges as f64 / measured.seconds);
    report.number("mib_per_s", measured.bytes as f64 / measured.seconds / f64::from(1 << 20));
    report.latency("range_latency", &ended.tally.latency.percentiles());
    report.number_if_known(
        "server_cpu_us_per_answer",
        measured.server.map(|cpu| cpu.total_s() * 1e6 / measured.ranges.max(1) as f64),
    );
    report.count("answers_in_all", ended.tally.ranges);
    scene.costs(&measured);
    Ok((scene, ended.tally.faults))
}
