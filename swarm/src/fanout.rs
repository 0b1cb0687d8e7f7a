//! `swarm fanout`: checks at a steady rate before many listeners. How long until each check is on every screen, and
//! whether it came to each exactly once.

use std::sync::Arc;

use anyhow::Result;

use crate::args::FanoutArgs;
use crate::board::Bitmap;
use crate::books::{Books, Heard, PlainView, TILE_BOXES};
use crate::client::{Next, Player};
use crate::crew::{Desk, Ended, Stage, Sums};
use crate::faults::{Fault, Faults};
use crate::scene::{Measured, Scene};
use crate::seat::Fate;
use crate::shuffle::mix64;
use crate::watch::WatchView;
use crate::wire::{Message, Outgoing};

const STAGE_LOOK_US: u32 = 5_000;

/// A listener; those with a `checker` check boxes too. Boxed where only few need it: there may be 20,000.
#[derive(Debug)]
pub(crate) struct Listener {
    ears: Ears,
    checker: Option<Box<Checker>>,
    heard: u64,
}

#[derive(Debug)]
enum Ears {
    /// Hears everything.
    Plain(PlainView),
    /// Hears of some tiles; `asked` once it has asked for them.
    Watching { view: Box<WatchView>, asked: bool },
}

impl Player for Listener {
    fn v2(&self) -> bool {
        matches!(self.ears, Ears::Watching { .. })
    }

    #[inline]
    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        let tally = &mut desk.tally;
        let heard = match &mut self.ears {
            Ears::Plain(view) => view.update(total, id, &desk.run.books, &mut tally.faults),
            Ears::Watching { view, .. } => {
                match view.update(total, id, &desk.run.books, &mut tally.faults) {
                    Some(sent_us) => Heard::Update(sent_us),
                    None => Heard::Nonsense,
                }
            }
        };
        match heard {
            Heard::Update(sent_us) => {
                self.heard += 1;
                tally.updates += 1;
                if sent_us > 0 {
                    tally.latency.record(desk.now_us.saturating_sub(sent_us));
                }
            }
            Heard::Answer => self.answered(total, id, desk),
            Heard::Nonsense => {}
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        let tally = &mut desk.tally;
        match (&mut self.ears, message) {
            (Ears::Plain(view), Message::Total(total)) => view.total(total, &mut tally.faults),
            (Ears::Watching { view, .. }, Message::Total(total)) => {
                view.hello(total, &mut tally.faults)
            }
            (Ears::Watching { view, .. }, Message::Pulse { total }) => {
                tally.pulses += 1;
                view.total(total, &mut tally.faults);
            }
            (Ears::Watching { view, .. }, Message::Range { first, mask }) => {
                tally.resyncs += u64::from(view.answer(first, mask, &mut tally.faults));
            }
            (_, Message::Range { first, .. }) => {
                tally.faults.note(Fault::BadRange, || format!("unasked, from {first}"))
            }
            (_, Message::Refused { id, .. }) => {
                tally.faults.note(Fault::UnaskedAnswer, || format!("id {id} refused"))
            }
            (_, Message::Pulse { .. } | Message::Other | Message::Update { .. }) => {}
        }
    }

    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        if let Some(checker) = &mut self.checker {
            return checker.fill(desk, out);
        }
        if let Ears::Watching { view, asked } = &mut self.ears
            && view.greeted()
            && !std::mem::replace(asked, true)
        {
            view.ranges().for_each(|(first, last)| out.range(first, last));
        }
        Next::Read
    }

    fn settled(&self, desk: &Desk) -> bool {
        let books = &desk.run.books;
        match (&self.ears, desk.run.stage()) {
            (Ears::Plain(view), Stage::Opening) => view.greeted(),
            (Ears::Plain(view), _) => view.told() >= books.highest(),
            (Ears::Watching { view, .. }, Stage::Opening) => view.all_answered(),
            (Ears::Watching { view, .. }, _) => view.caught_up(books),
        }
    }
}

impl Listener {
    /// Hears everything.
    pub(crate) fn plain() -> Self {
        Self { ears: Ears::Plain(PlainView::default()), checker: None, heard: 0 }
    }

    /// Hears everything, and checks boxes.
    pub(crate) fn checking(checker: Checker) -> Self {
        Self { checker: Some(Box::new(checker)), ..Self::plain() }
    }

    /// Hears of the tiles of `view`.
    pub(crate) fn watching(view: WatchView) -> Self {
        let ears = Ears::Watching { view: Box::new(view), asked: false };
        Self { ears, ..Self::plain() }
    }

    /// How many updates it has heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// When all is at rest: whether connection `index` has heard everything, if it is still `open`.
    pub(crate) fn audit(&self, index: usize, open: bool, books: &Books, faults: &mut Faults) {
        match &self.ears {
            Ears::Plain(view) if open && view.told() < books.highest() => {
                let (told, highest) = (view.told(), books.highest());
                faults
                    .note(Fault::Behind, || format!("connection {index}: at {told} of {highest}"));
            }
            // Strangers' updates may fall between our first look at the total and a listener's registration.
            // One that joins late builds on what it is answered after that.
            Ears::Watching { view, .. } if open && (books.exclusive || view.is_late()) => {
                view.audit(books, faults)
            }
            Ears::Plain(_) | Ears::Watching { .. } => {}
        }
    }

    /// The last total again: right only as the answer to an own check of a box that somebody else had checked before.
    #[cold]
    fn answered(&self, total: u32, id: u32, desk: &mut Desk) {
        let books = &desk.run.books;
        let on_board = (1..=books.shuffle.boxes()).contains(&id);
        let mine = on_board
            && self
                .checker
                .as_ref()
                .is_some_and(|checker| checker.is_mine(books.shuffle.place(id)));
        if books.exclusive || !mine || books.acknowledge(id).is_err() {
            desk.tally
                .faults
                .note(Fault::UnaskedAnswer, || format!("total {total} again, id {id}"));
        }
    }
}

/// Checks boxes at its share of the rate. Checker `me` of `all` takes the places `me`, `me + all`, … of the shuffle.
#[derive(Debug)]
pub(crate) struct Checker {
    me: u32,
    all: u32,
    next_place: u64,
    places_end: u64,
    taken: Option<Arc<Bitmap>>,
    interval_us: f64,
    sent: u64,
    began_us: Option<u32>,
    /// The furthest it was ever behind its schedule, because the server did not read or this program was slow.
    late_us_max: u32,
}

impl Checker {
    /// Checker `me` of `all`, which together check `rate` boxes a second.
    pub(crate) fn new(
        me: u32,
        all: u32,
        rate: f64,
        places_end: u64,
        taken: Option<Arc<Bitmap>>,
    ) -> Self {
        Self {
            me,
            all,
            next_place: u64::from(me),
            places_end,
            taken,
            interval_us: f64::from(all) * 1e6 / rate,
            sent: 0,
            began_us: None,
            late_us_max: 0,
        }
    }

    pub(crate) fn is_mine(&self, place: u32) -> bool {
        place % self.all == self.me
    }

    /// How many it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// How late it was at worst.
    pub(crate) fn late_us_max(&self) -> u32 {
        self.late_us_max
    }

    pub(crate) fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next {
        match desk.run.stage() {
            Stage::Opening => return Next::At(desk.now_us + STAGE_LOOK_US),
            Stage::Running => {}
            Stage::Draining | Stage::Over => return Next::Read,
        }
        let books = &desk.run.books;
        let began_us = *self.began_us.get_or_insert(desk.now_us);
        loop {
            // Checkers take turns within an interval instead of all checking at once.
            let share = f64::from(self.me) / f64::from(self.all);
            let due_us =
                began_us.saturating_add(((self.sent as f64 + share) * self.interval_us) as u32);
            if due_us > desk.now_us {
                return Next::At(due_us);
            }
            let Some((place, id)) = self.take_place(books) else { return Next::Read };
            self.late_us_max = self.late_us_max.max(desk.now_us - due_us);
            books.send(place, desk.now_us);
            out.check(id);
            self.sent += 1;
        }
    }

    fn take_place(&mut self, books: &Books) -> Option<(u32, u32)> {
        while self.next_place < self.places_end {
            let place = self.next_place as u32;
            self.next_place += u64::from(self.all);
            let id = books.shuffle.id(place);
            if !self.taken.as_ref().is_some_and(|taken| taken.get(id)) {
                return Some((place, id));
            }
        }
        None
    }
}

pub(crate) async fn run(args: FanoutArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let places_end = scene.places(args.rate, args.warmup + args.seconds, args.checkers).await?;
    let crew = scene.gather(listeners(&args, &scene, places_end)).await?;
    let run = Arc::clone(&scene.run);
    let line = |sums: &Sums| {
        let sent = run.books.sent();
        format!("{sent} checks, {} updates delivered, {} connections lost", sums.updates, sums.lost)
    };
    let measured = scene.load(&crew, args.warmup, args.seconds, |_| false, line).await?;
    scene.drain(&crew, |books| books.ours_announced() + books.answered() >= books.sent()).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    audit(&run.books, &mut ended, args.checkers);
    scene.verify(&mut ended.tally.faults).await;
    if args.v2 && !run.books.exclusive {
        scene
            .report
            .note("on a shared board, what v2 listeners missed or got twice cannot be judged");
    }
    figures(&mut scene, &measured, &ended);
    Ok((scene, ended.tally.faults))
}

/// Makes the player of each connection: the first `checkers` check, the others only listen.
fn listeners(
    args: &FanoutArgs,
    scene: &Scene,
    places_end: u64,
) -> impl Fn(usize) -> Listener + Send + Sync + 'static {
    let (all, v2, watch) = (args.checkers, args.v2, u32::from(args.watch));
    let rate = args.rate;
    let taken = scene.taken.clone();
    let boxes = scene.common.boxes;
    let seed = scene.common.seed.unwrap_or_default();
    move |index| {
        let me = index as u32;
        if me < all {
            return Listener::checking(Checker::new(me, all, rate, places_end, taken.clone()));
        }
        if v2 {
            let tiles = tiles_of(seed, me, watch, boxes);
            return Listener::watching(WatchView::new(tiles, boxes));
        }
        Listener::plain()
    }
}

/// The tiles that listener `me` watches.
pub(crate) fn tiles_of(seed: u64, me: u32, count: u32, boxes: u32) -> Vec<u32> {
    random_tiles(mix64(seed ^ u64::from(me)), count, boxes.div_ceil(TILE_BOXES))
}

/// `count` distinct tiles, or all if there are fewer.
fn random_tiles(mut random: u64, count: u32, tiles: u32) -> Vec<u32> {
    let mut chosen = Vec::new();
    while chosen.len() < count.min(tiles) as usize {
        random = mix64(random);
        let tile = (random % u64::from(tiles)) as u32;
        if !chosen.contains(&tile) {
            chosen.push(tile);
        }
    }
    chosen
}

/// When all is at rest: whose checks were acknowledged, and whether everybody heard everything. The
/// first `checkers` seats are those who check.
pub(crate) fn audit(books: &Books, ended: &mut Ended<Listener>, checkers: u32) {
    for seat in &ended.seats {
        if let (Ears::Plain(view), Some(checker)) = (&seat.player.ears, &seat.player.checker) {
            let places = (checker.me..checker.next_place as u32).step_by(checker.all as usize);
            books.acknowledge_up_to(places, view.told());
        }
        seat.player.audit(seat.index, seat.fate == Fate::Open, books, &mut ended.tally.faults);
    }
    for sent in books.all_sent().filter(|sent| !sent.acknowledged) {
        let checker = books.shuffle.place(sent.id) % checkers;
        if ended.seats[checker as usize].fate == Fate::Open {
            ended
                .tally
                .faults
                .note(Fault::Unanswered, || format!("id {} of connection {checker}", sent.id));
        }
    }
}

fn figures(scene: &mut Scene, measured: &Measured, ended: &Ended<Listener>) {
    let checkers = || ended.seats.iter().filter_map(|seat| seat.player.checker.as_ref());
    let late = checkers().map(|checker| checker.late_us_max).max().unwrap_or(0);
    let sent = checkers().map(|checker| checker.sent).sum();
    let report = &mut scene.report;
    report.section("updates, over the measured time");
    report.number("measured_s", measured.seconds);
    report.count("updates_delivered", measured.updates);
    report.number("updates_per_s", measured.updates as f64 / measured.seconds);
    report.number("mib_per_s", measured.bytes as f64 / measured.seconds / f64::from(1 << 20));
    report.latency("update_latency", &ended.tally.latency.percentiles());
    let per_update = |seconds: f64| seconds * 1e6 / measured.updates.max(1) as f64;
    report.number_if_known(
        "server_cpu_us_per_update",
        measured.server.map(|cpu| per_update(cpu.total_s())),
    );
    report.number_if_known(
        "swarm_cpu_us_per_update",
        measured.swarm.map(|cpu| per_update(cpu.total_s())),
    );
    report.section("in all, with warm-up and settling");
    report.count("checks_sent_in_all", sent);
    report.number("checks_late_max_ms", f64::from(late) / 1000.0);
    report.count("updates_delivered_in_all", ended.tally.updates);
    report.count("bytes_read", ended.tally.bytes);
    report.count("pulses_heard", ended.tally.pulses);
    report.count("resyncs", ended.tally.resyncs);
    scene.costs(measured);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watched_tiles_are_distinct_and_on_the_board() {
        for (count, tiles) in [(4, 10_000), (16, 16), (16, 3), (1, 1)] {
            let mut chosen = random_tiles(7, count, tiles);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len() as u32, count.min(tiles));
            assert!(chosen.iter().all(|tile| *tile < tiles));
        }
    }
}
