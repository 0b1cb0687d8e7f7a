//! A collector beside a real store in a file, and a sink whose database can be away.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actors::{
    board::{Board, Offset, ShardIndex},
    store::{
        Store as _,
        batch::{Checks, OpenBatch},
        credits::ChangedCredits,
    },
};

use super::*;
use crate::store::embedded::{EmbeddedStore, Options};

const MONDAY: Today = || Day(100);
const TUESDAY: Today = || Day(101);
const WEDNESDAY: Today = || Day(102);

/// Takes credits as SQL would: the greater count wins.
#[derive(Default)]
struct Books {
    taken: Mutex<BTreeMap<(u32, CreditKey), u64>>,
    is_away: AtomicBool,
}

impl Sink for Books {
    fn take(&self, credits: Arc<[Credit]>) -> BoxFuture<Result<(), Away>> {
        if self.is_away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Away("this test wants it".into())) });
        }
        let mut taken = self.taken.lock().expect("unpoisoned");
        for Credit { range, user, day, count } in credits.iter().copied() {
            let known = taken.entry((range.0, CreditKey { day, user })).or_default();
            *known = count.max(*known);
        }
        Box::pin(async { Ok(()) })
    }
}

impl Books {
    fn counts(&self) -> Vec<(u32, u64, u64)> {
        let taken = self.taken.lock().expect("unpoisoned");
        taken.iter().map(|((_, key), count)| (key.day.0, key.user.get(), *count)).collect()
    }
}

struct Scene {
    folder: tempfile::TempDir,
    store: Arc<EmbeddedStore>,
    books: Arc<Books>,
    stats: CreditStats,
    collector: Collector,
}

fn open(folder: &tempfile::TempDir, today: Today) -> Arc<EmbeddedStore> {
    let board = Board::new("collected", 100_000, 1).expect("a legal board");
    let options = Options { today, ..Options::new(folder.path(), board) };
    Arc::new(EmbeddedStore::open(options).expect("a sound folder"))
}

impl Scene {
    fn new(today: Today) -> Self {
        Self::with(tempfile::tempdir().expect("a temporary folder"), today, Arc::default())
    }

    fn with(folder: tempfile::TempDir, today: Today, books: Arc<Books>) -> Self {
        let (store, stats) = (open(&folder, today), CreditStats::default());
        let collector = Collector::new(store.clone(), books.clone(), today, stats.clone());
        Self { folder, store, books, stats, collector }
    }

    /// The next process, on another day.
    async fn restart(self, today: Today) -> Self {
        self.store.close().await.expect("all is saved");
        Self::with(self.folder, today, self.books)
    }

    async fn check(&self, offset: u32, number: u64) {
        let mut checks = Checks::default();
        checks.push(Offset(offset), UserId::new(number));
        let commit = self.store.commit(ShardIndex(0), OpenBatch::new(checks));
        commit.await.expect("the store is up");
    }

    async fn round(&mut self) {
        self.collector.round(Instant::now()).await;
    }
}

#[tokio::test]
async fn what_has_changed_is_handed_over_with_its_latest_count() {
    let mut scene = Scene::new(MONDAY);
    scene.round().await;
    assert_eq!((scene.books.counts(), scene.stats.sweeps.get()), (vec![], 1));
    scene.check(1, 7).await;
    scene.check(2, 7).await;
    scene.check(3, 8).await;
    scene.round().await;
    assert_eq!(scene.books.counts(), [(100, 7, 2), (100, 8, 1)]);
    scene.round().await;
    assert_eq!(scene.stats.handed_over.get(), 2, "nothing has changed");
    scene.check(4, 8).await;
    scene.round().await;
    assert_eq!(scene.books.counts(), [(100, 7, 2), (100, 8, 2)]);
    assert_eq!((scene.stats.handed_over.get(), scene.stats.sweeps.get()), (3, 1));
}

#[tokio::test]
async fn credits_wait_as_long_as_the_sink_is_away() {
    let mut scene = Scene::new(MONDAY);
    scene.round().await;
    scene.books.is_away.store(true, Ordering::SeqCst);
    scene.check(1, 7).await;
    scene.round().await;
    scene.check(2, 7).await;
    scene.check(3, 8).await;
    scene.round().await;
    assert_eq!((scene.books.counts(), scene.stats.failures.get()), (vec![], 2));
    assert_eq!(scene.stats.waiting.get(), 1, "what came since is remembered by the store");
    scene.books.is_away.store(false, Ordering::SeqCst);
    scene.round().await;
    scene.round().await;
    assert_eq!(scene.books.counts(), [(100, 7, 2), (100, 8, 1)]);
    assert_eq!((scene.stats.failures.get(), scene.stats.waiting.get()), (2, 0));
}

#[tokio::test]
async fn the_first_sweep_finds_what_a_killed_process_has_not_handed_over() {
    let scene = Scene::new(MONDAY);
    for offset in 0..20 {
        scene.check(offset, 1 + u64::from(offset) / 4).await;
    }
    let mut scene = scene.restart(MONDAY).await;
    assert_eq!(scene.store.changed_credits(), ChangedCredits::default());
    scene.round().await;
    let expected: Vec<_> = (1..=5).map(|number| (100, number, 4)).collect();
    assert_eq!(scene.books.counts(), expected);
}

/// More counters were changed than are remembered.
#[tokio::test]
async fn what_nobody_remembers_is_found_by_a_sweep_of_its_own() {
    let mut scene = Scene::new(MONDAY);
    scene.round().await;
    scene.check(1, 7).await;
    scene.store.changed_credits();
    scene.round().await;
    assert_eq!(scene.books.counts(), [], "it was forgotten");
    scene.collector.is_sweep_needed = true;
    scene.round().await;
    assert_eq!((scene.books.counts(), scene.stats.sweeps.get()), (vec![(100, 7, 1)], 2));
}

#[tokio::test]
async fn counters_are_forgotten_two_days_later_and_not_before_the_sink_has_them() {
    let scene = Scene::new(MONDAY);
    scene.check(1, 7).await;
    let mut scene = scene.restart(TUESDAY).await;
    scene.check(2, 8).await;
    scene.round().await;
    assert_eq!(scene.stats.forgotten.get(), 0, "of yesterday");
    let mut scene = scene.restart(WEDNESDAY).await;
    scene.books.is_away.store(true, Ordering::SeqCst);
    scene.round().await;
    assert_eq!(scene.stats.forgotten.get(), 0, "nobody has taken them");
    scene.books.is_away.store(false, Ordering::SeqCst);
    scene.round().await;
    assert_eq!(scene.stats.forgotten.get(), 1);
    assert_eq!(scene.books.counts(), [(100, 7, 1), (101, 8, 1)]);
    let left = scene.store.all_credits(CreditRange(0), CreditCursor::default()).await;
    let left = left.expect("the store is up").counted;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0.day, Day(101));
}

/// The page is read to its end though a round reads only some pages.
#[tokio::test]
async fn a_sweep_of_many_pages_goes_on_in_the_next_rounds() {
    let scene = Scene::new(MONDAY);
    let mut checks = Checks::default();
    let users = (PAGES as u32 + 10) * 1024;
    (0..users).for_each(|user| checks.push(Offset(user), UserId::new(1 + u64::from(user))));
    let commit = scene.store.commit(ShardIndex(0), OpenBatch::new(checks));
    commit.await.expect("the store is up");
    let mut scene = scene.restart(MONDAY).await;
    scene.round().await;
    assert_eq!(scene.stats.sweeps.get(), 0, "it is under way");
    scene.round().await;
    assert_eq!((scene.stats.sweeps.get(), scene.books.counts().len()), (1, users as usize));
}

#[tokio::test]
async fn what_is_left_at_the_end_is_handed_over() {
    let Scene { folder, store, books, stats: _, collector } = Scene::new(MONDAY);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(collector.run(async move { _ = stopped.await }));
    let mut checks = Checks::default();
    checks.push(Offset(5), UserId::new(9));
    store.commit(ShardIndex(0), OpenBatch::new(checks)).await.expect("the store is up");
    stop.send(()).expect("it runs");
    running.await.expect("no panic");
    assert_eq!(books.counts(), [(100, 9, 1)]);
    store.close().await.expect("all is saved");
    drop(folder);
}
