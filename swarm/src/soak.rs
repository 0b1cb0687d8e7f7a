//! `swarm soak`: the same moderate load for a long time, with people who come and go. Whether the server's memory,
//! descriptors, threads and connections stay what they were, while the books of those who stay are exact.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::args::SoakArgs;
use crate::client::{Next, Player};
use crate::crew::{Crew, Desk, Ended, Stage, Sums};
use crate::fanout::{Checker, Listener, audit, tiles_of};
use crate::faults::{Fault, Faults};
use crate::observer::Waited;
use crate::scene::{Measured, Scene};
use crate::seat::Left;
use crate::shuffle::mix64;
use crate::vitals::{Vitals, judge_rest, trends};
use crate::watch::WatchView;
use crate::wire::{Message, Outgoing};

/// Samples of a run, whatever its length: 60 in each quarter.
const SAMPLES: u32 = 240;
/// Tiles that who watches looks at.
const WATCHED_TILES: u32 = 2;
/// Of so many who leave, one breaks off.
const BREAKS_OFF_ONE_IN: u64 = 4;
/// Longest absence.
const AWAY_MS_MAX: u64 = 1000;
/// How often one who waits for the load looks whether it has begun.
const STAGE_LOOK_US: u32 = 500_000;

/// Who plays: a listener, maybe one that comes and goes.
#[derive(Debug)]
struct Guest {
    listener: Listener,
    passing: Option<Box<Passing>>,
}

/// The comings and goings of one connection.
#[derive(Debug)]
struct Passing {
    me: u64,
    seed: u64,
    boxes: u32,
    /// Mean length of a visit.
    stay_us: f64,
    leave_us: Option<u32>,
    visits: u64,
}

impl Passing {
    /// A number for this visit; different `what`s give different ones.
    fn random(&self, what: u64) -> u64 {
        mix64(self.seed ^ mix64(self.me << 32 | self.visits) ^ what)
    }

    /// Who it is this time: they alternate between both protocols.
    fn listener(&self) -> Listener {
        if (self.me + self.visits).is_multiple_of(2) {
            return Listener::plain();
        }
        let tiles = tiles_of(self.random(1), 0, WATCHED_TILES, self.boxes);
        Listener::watching(WatchView::late(tiles, self.boxes))
    }

    fn fill(&mut self, desk: &Desk) -> Next {
        match desk.run.stage() {
            Stage::Opening => return Next::At(desk.now_us + STAGE_LOOK_US),
            Stage::Running => {}
            Stage::Draining | Stage::Over => return Next::Read,
        }
        // From half to one and a half of the mean.
        let stay_us = self.stay_us * (0.5 + (self.random(2) % 1000) as f64 / 1000.0);
        let leave_us = *self.leave_us.get_or_insert(desk.now_us.saturating_add(stay_us as u32));
        if desk.now_us < leave_us {
            return Next::At(leave_us);
        }
        if self.random(3).is_multiple_of(BREAKS_OFF_ONE_IN) { Next::BreakOff } else { Next::Leave }
    }
}

impl Player for Guest {
    fn v2(&self) -> bool {
        self.listener.v2()
    }

    #[inline]
    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        self.listener.update(total, id, desk);
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        self.listener.message(message, desk);
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        let next = self.listener.fill(desk, out);
        self.passing.as_mut().map_or(next, |passing| passing.fill(desk))
    }

    fn settled(&self, desk: &Desk) -> bool {
        self.listener.settled(desk)
    }

    fn again(&mut self, _desk: &Desk) -> Option<Duration> {
        let passing = self.passing.as_mut()?;
        passing.visits += 1;
        passing.leave_us = None;
        self.listener = passing.listener();
        Some(Duration::from_millis(passing.random(4) % AWAY_MS_MAX))
    }
}

pub(crate) async fn run(args: SoakArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let seconds = args.warmup + 60.0 * args.minutes;
    let places_end = scene.places(args.rate, seconds, args.checkers).await?;
    let before = Vitals::ask(&args.admin).await.context("--admin")?;
    let crew = scene.gather(guests(&args, &scene, places_end)).await?;
    let (samples, missed, measured) = play(&args, &mut scene, &crew).await;
    scene.drain(&crew, |books| books.ours_announced() + books.answered() >= books.sent()).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    let visits = ended.seats.iter().filter_map(|seat| Some(seat.player.passing.as_ref()?.visits));
    let visits: u64 = visits.sum();
    let mut ended = listeners(ended);
    audit(&scene.run.books, &mut ended, args.checkers);
    let faults = &mut ended.tally.faults;
    judge(&args, &mut scene, &samples, missed, faults);
    rest(&args, &mut scene, &before, faults).await;
    scene.verify(faults).await;
    figures(&mut scene, &measured, &ended, visits);
    Ok((scene, ended.tally.faults))
}

/// Makes the player of each connection: those who check come first, then those who stay, then those who pass.
fn guests(
    args: &SoakArgs,
    scene: &Scene,
    places_end: u64,
) -> impl Fn(usize) -> Guest + Send + Sync + 'static {
    let (all, rate, stay) = (args.checkers, args.rate, args.listeners);
    let stay_us = f64::from(args.passers) / args.churn * 1e6;
    let (taken, boxes) = (scene.taken.clone(), scene.common.boxes);
    let seed = scene.common.seed.unwrap_or_default();
    move |index| {
        let me = index as u32;
        if me < all {
            let checker = Checker::new(me, all, rate, places_end, taken.clone());
            return Guest { listener: Listener::checking(checker), passing: None };
        }
        if me < all + stay {
            let tiles = tiles_of(seed, me, WATCHED_TILES, boxes);
            let listener = match me.is_multiple_of(2) {
                true => Listener::plain(),
                false => Listener::watching(WatchView::new(tiles, boxes)),
            };
            return Guest { listener, passing: None };
        }
        let me = u64::from(me);
        let passing = Passing { me, seed, boxes, stay_us, leave_us: None, visits: 0 };
        Guest { listener: passing.listener(), passing: Some(Box::new(passing)) }
    }
}

/// Plays and samples; says how many samples were missed.
async fn play(
    args: &SoakArgs,
    scene: &mut Scene,
    crew: &Crew<Guest>,
) -> (Vec<Vitals>, u32, Measured) {
    let run = Arc::clone(&scene.run);
    let warmup = Duration::from_secs_f64(args.warmup);
    run.books.measure_from(run.clock.us() + warmup.as_micros() as u32);
    run.enter(Stage::Running);
    let line = |sums: Sums, what: &str| {
        let sent = run.books.sent();
        format!("{what}: {} there, {} lost, {sent} checks", sums.open, sums.lost)
    };
    scene.observer.wait(warmup, || false, || line(crew.sums(), "warming up")).await;
    let before = (crew.sums(), scene.observer.read());
    let (mut samples, mut missed) = (Vec::new(), 0);
    let began = Instant::now();
    let length = Duration::from_secs_f64(60.0 * args.minutes);
    for number in 1..=SAMPLES {
        let due = (length * number / SAMPLES).saturating_sub(began.elapsed());
        let waited = scene.observer.wait(due, || false, || line(crew.sums(), "measuring")).await;
        match Vitals::ask(&args.admin).await {
            Ok(vitals) => samples.push(vitals),
            Err(_) => missed += 1,
        }
        if waited == Waited::Interrupted {
            scene.report.note("interrupted: the load ended early");
            break;
        }
    }
    let after = (crew.sums(), scene.observer.read());
    let measured = Measured::between((&before.0, &before.1), (&after.0, &after.1));
    (samples, missed, measured)
}

/// The same seats, with what is alike in all of them.
fn listeners(ended: Ended<Guest>) -> Ended<Listener> {
    let plain = |seat: Left<Guest>| Left {
        index: seat.index,
        player: seat.player.listener,
        fate: seat.fate,
    };
    Ended { seats: ended.seats.into_iter().map(plain).collect(), tally: ended.tally }
}

fn judge(args: &SoakArgs, scene: &mut Scene, samples: &[Vitals], missed: u32, faults: &mut Faults) {
    let report = &mut scene.report;
    report.section("the server, medians of the first and the last quarter");
    report.count("samples", samples.len() as u64);
    for trend in trends(samples, args.growth / 100.0) {
        trend.tell(report, faults);
    }
    if missed as usize > samples.len() / 10 || samples.is_empty() {
        faults.note(Fault::NotSampled, || format!("{missed} of {} samples", SAMPLES));
    }
}

/// When all have gone, the server has to hold as many descriptors as before they came.
async fn rest(args: &SoakArgs, scene: &mut Scene, before: &Vitals, faults: &mut Faults) {
    let began = Instant::now();
    let limit = Duration::from_secs_f64(scene.common.settle);
    loop {
        match Vitals::ask(&args.admin).await {
            Ok(after) if after.connections <= before.connections || began.elapsed() >= limit => {
                scene.report.number("server_descriptors_before", before.descriptors);
                scene.report.number("server_descriptors_after", after.descriptors);
                return judge_rest(before, &after, faults);
            }
            Err(error) if began.elapsed() >= limit => {
                return faults.note(Fault::NotSampled, || format!("{error:#}"));
            }
            _ => {}
        }
        let pause = Duration::from_millis(100);
        scene.observer.wait(pause, || false, || "waiting until all have gone".into()).await;
    }
}

fn figures(scene: &mut Scene, measured: &Measured, ended: &Ended<Listener>, visits: u64) {
    let report = &mut scene.report;
    report.section("the load");
    report.number("measured_s", measured.seconds);
    report.count("visits", visits);
    report.count("updates_delivered", measured.updates);
    report.latency("update_latency", &ended.tally.latency.percentiles());
    report.latency("handshake", &ended.tally.handshake.percentiles());
    report.count("pulses_heard", ended.tally.pulses);
    report.count("resyncs", ended.tally.resyncs);
    scene.costs(measured);
}
