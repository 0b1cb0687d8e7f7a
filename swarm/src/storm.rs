//! `swarm storm`: everybody is cut off in the same moment and comes back at once, again and again. How long until all
//! are back, whether a handshake fails, what it costs the server, and whether those who stayed notice.
//!
//! Two crews play in the same books: `stayers` check boxes from the first to the last moment; the crowd is a new crew
//! for each time that it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::args::StormArgs;
use crate::crew::{Crew, Ended, Pace, Run, Stage, Sums, Tally};
use crate::fanout::{Checker, Listener, audit, tiles_of};
use crate::faults::Faults;
use crate::observer::Waited;
use crate::scene::{Measured, Scene};
use crate::seat::Fate;
use crate::usage::Memory;
use crate::watch::WatchView;

/// How a crowd came.
#[derive(Debug)]
struct Arrival {
    /// From the cut, or for the first from the first handshake, until each was greeted.
    seconds: f64,
    open: u64,
}

/// What is kept of all crowds.
struct Crowds {
    arrivals: Vec<Arrival>,
    /// Of those who came back; the first arrival is at a pace of its own.
    returned: Tally,
    /// Fewest updates that one of those who were there at the end has heard.
    heard_min: Option<u64>,
    faults: Faults,
}

pub(crate) async fn run(args: StormArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let longest = f64::from(args.cuts + 1) * (args.hold + args.patience) + scene.common.settle;
    let places_end = scene.places(args.rate, longest, args.checkers).await?;
    let stayers = gather_stayers(&args, &mut scene, places_end).await?;
    scene.run.books.measure_from(scene.run.clock.us());
    scene.run.enter(Stage::Running);
    let before = (stayers.sums(), scene.observer.read());

    let mut crowds = Crowds {
        arrivals: Vec::new(),
        returned: Tally::new(),
        heard_min: None,
        faults: Faults::default(),
    };
    let mut steady = None;
    let (mut crowd, mut stage) = arrive(&args, &mut scene, &mut crowds, Instant::now()).await?;
    for _ in 0..args.cuts {
        hold(&args, &mut scene, &crowd).await;
        if scene.observer.interrupted() {
            scene.report.note("interrupted: there were fewer cuts");
            break;
        }
        steady = steady.or_else(|| begin_peak(&scene));
        let cut_at = Instant::now();
        let ended = crowd.finish()?;
        muster_out(&mut scene, &mut crowds, ended, false);
        (crowd, stage) = arrive(&args, &mut scene, &mut crowds, cut_at).await?;
    }
    hold(&args, &mut scene, &crowd).await;
    let peak = scene.observer.memory();
    let measured =
        Measured::between((&before.0, &before.1), (&stayers.sums(), &scene.observer.read()));

    stage.enter(Stage::Draining);
    let all_heard = || crowd.sums().unsettled == Some(0);
    scene
        .drain(&stayers, |books| {
            books.ours_announced() + books.answered() >= books.sent() && all_heard()
        })
        .await?;
    let mut ended = stayers.finish()?;
    let crowd = crowd.finish()?;
    scene.muster_out(&mut ended);
    audit(&scene.run.books, &mut ended, args.checkers);
    muster_out(&mut scene, &mut crowds, crowd, true);
    ended.tally.faults.merge(std::mem::take(&mut crowds.faults));
    scene.verify(&mut ended.tally.faults).await;
    figures(&mut scene, &args, &crowds, &ended);
    memory_figures(&mut scene, steady, peak);
    scene.costs(&measured);
    Ok((scene, ended.tally.faults))
}

async fn gather_stayers(
    args: &StormArgs,
    scene: &mut Scene,
    places_end: u64,
) -> Result<Crew<Listener>> {
    let (all, rate, taken) = (args.checkers, args.rate, scene.taken.clone());
    let (target, few) = (scene.target.clone(), all as usize);
    let pace = Pace { connections: few, threads: 1, ..scene.pace.clone() };
    let make = move |index: usize| {
        Listener::checking(Checker::new(index as u32, all, rate, places_end, taken.clone()))
    };
    scene.gather_at(&target, &pace, "stayers", make).await
}

/// Lets everybody come; returns when all are there and ready, or patience is at its end.
async fn arrive(
    args: &StormArgs,
    scene: &mut Scene,
    crowds: &mut Crowds,
    since: Instant,
) -> Result<(Crew<Listener>, Arc<Run>)> {
    let run = Run::beside(&scene.run);
    let back = !crowds.arrivals.is_empty();
    let threads = scene.pace.threads;
    let mut pace = Pace {
        connections: args.listeners as usize,
        insists: true,
        goodbye: args.by,
        ..scene.pace.clone()
    };
    if back {
        pace.connect_rate = f64::INFINITY;
        pace.at_once = (args.at_once as usize).div_ceil(threads);
    }
    let (v2, seed) = (args.v2, scene.common.seed.unwrap_or_default());
    let (first, boxes) = (args.checkers, scene.common.boxes);
    let make = move |index: usize| {
        if !v2 {
            return Listener::plain();
        }
        let tiles = tiles_of(seed, first + index as u32, 1, boxes);
        Listener::watching(WatchView::late(tiles, boxes))
    };
    let crew = Crew::muster(&run, &scene.target, &pace, make)?;
    let opening = if back { 0.0 } else { pace.connections as f64 / pace.connect_rate };
    let limit = Duration::from_secs_f64(args.patience + opening);
    let line = || format!("{} of {} are there", crew.sums().open, pace.connections);
    let waited = scene.observer.wait(limit, || crew.sums().unsettled == Some(0), line).await;
    if waited == Waited::TimedOut {
        let left = crew.sums().unsettled;
        scene.report.note(format!("{left:?} connections were not there in time"));
    }
    crowds
        .arrivals
        .push(Arrival { seconds: since.elapsed().as_secs_f64(), open: crew.sums().open });
    run.enter(Stage::Running);
    Ok((crew, run))
}

/// Lets all play for a while, and at least until one more check is heard of.
async fn hold(args: &StormArgs, scene: &mut Scene, crowd: &Crew<Listener>) {
    let books = Arc::clone(&scene.run.books);
    let line = |sums: Sums| format!("holding {}, {} lost", sums.open, sums.lost);
    let heard = books.highest();
    let hold = Duration::from_secs_f64(args.hold);
    scene.observer.wait(hold, || false, || line(crowd.sums())).await;
    let settle = Duration::from_secs_f64(scene.common.settle);
    scene.observer.wait(settle, || books.highest() > heard, || line(crowd.sums())).await;
}

/// The server's memory before the first cut. From here on its high water counts anew, if we may say so.
fn begin_peak(scene: &Scene) -> Option<Memory> {
    let pid = scene.common.pid?;
    let memory = Memory::of(pid)?;
    Memory::forget_high_water(pid).then_some(memory)
}

/// What a crowd leaves behind; at the `end` everybody has to have heard everything.
fn muster_out(scene: &mut Scene, crowds: &mut Crowds, mut ended: Ended<Listener>, end: bool) {
    scene.muster_out(&mut ended);
    for seat in ended.seats.iter().filter(|_| end) {
        let open = seat.fate == Fate::Open;
        seat.player.audit(seat.index, open, &scene.run.books, &mut ended.tally.faults);
        let heard = seat.player.heard();
        crowds.heard_min = Some(crowds.heard_min.map_or(heard, |least| least.min(heard)));
    }
    crowds.faults.merge(std::mem::take(&mut ended.tally.faults));
    // The crowd that is mustered out is the last that arrived.
    if crowds.arrivals.len() > 1 {
        crowds.returned.merge(ended.tally);
    }
}

fn figures(scene: &mut Scene, args: &StormArgs, crowds: &Crowds, stayers: &Ended<Listener>) {
    let report = &mut scene.report;
    report.section("the storm");
    report.count("cuts", crowds.arrivals.len() as u64 - 1);
    report.count("handshakes_at_once_max", u64::from(args.at_once.min(args.listeners)));
    let (first, back) = crowds.arrivals.split_at(1);
    report.number("all_there_s", first[0].seconds);
    report.count("there", first[0].open);
    for (number, arrival) in back.iter().enumerate() {
        report.number(&format!("all_back_after_cut_{}_s", number + 1), arrival.seconds);
    }
    let most = back.iter().map(|arrival| arrival.seconds).fold(0.0, f64::max);
    report.number("all_back_max_s", most);
    report.count("back_min", back.iter().map(|arrival| arrival.open).min().unwrap_or(0));
    report.count("turned_away", crowds.returned.turned_away);
    if let Some(why) = &crowds.returned.turned_away_by {
        report.note(format!("turned away with {why}"));
    }
    report.latency("handshake", &crowds.returned.handshake.percentiles());
    report.count("updates_to_those_who_came_back", crowds.returned.updates);
    report.count("updates_heard_min", crowds.heard_min.unwrap_or(0));
    report.section("those who stayed");
    report.latency("update_latency", &stayers.tally.latency.percentiles());
}

/// Kibibytes before the first cut, the most until now, and the one by the other.
fn memory_figures(scene: &mut Scene, steady: Option<Memory>, peak: Option<Memory>) {
    let Some((steady, peak)) = steady.zip(peak) else {
        return scene.report.note("without --pid, or the right to it, memory was not measured");
    };
    let report = &mut scene.report;
    report.number("server_rss_steady_kib", steady.resident_kib as f64);
    report.number("server_rss_storm_peak_kib", peak.high_water_kib as f64);
    let share = peak.high_water_kib as f64 / steady.resident_kib as f64;
    report.number("server_rss_peak_to_steady", share);
}
