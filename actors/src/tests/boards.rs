//! Several boards in one node: each is played, read, reset, drained and closed by itself.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::{Client, FREELY, TestStore, eventually, run_node, settings};
use crate::{
    board::BoxId,
    node::Node,
    protocol::{Close, Refusal, Version},
    rules::{Free, ReadOnly, Rules},
    store::Store as _,
    table::{OpenError, Table},
    worker::Worker,
};

const SMALL: u32 = 1000;
const LARGE: u32 = 300_000;

/// Has a small main board, and opens a larger one beside it.
fn two_boards<F: Future>(
    test: impl FnOnce(Rc<Worker>, Arc<Table>, Arc<TestStore>) -> F,
) -> F::Output {
    let (small, large) =
        (TestStore::new(SMALL, 1, FREELY), TestStore::named("large", LARGE, 3, FREELY));
    run_node(settings(), &small, async |worker| {
        let opened = worker.node.open(large.clone(), Arc::new(Free)).await;
        test(worker, opened.expect("it opens"), large).await
    })
}

/// The boxes that an export of the board has.
async fn exported(table: &Table) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for tile in 0..table.board.tiles() {
        let first = table.board.tile(tile).expect("a tile").first().get();
        let bits = table.read_tile(tile).await.expect("its shard is there");
        let set = |at: u32| bits[at as usize / 8] >> (at % 8) & 1 == 1;
        ids.extend((0..bits.len() as u32 * 8).filter(|at| set(*at)).map(|at| first + at));
    }
    ids
}

#[test]
fn what_happens_on_one_board_leaves_the_other_alone() {
    two_boards(async |worker, large, store| {
        let main = worker.node.main().clone();
        let mut here = Client::connect(&worker.desk(&main), Version::Plain).await;
        let mut there = Client::connect(&worker.desk(&large), Version::Plain).await;
        here.send(&[7]).await;
        assert_eq!(here.ids(1).await, [7]);
        for id in [7, 9, LARGE] {
            there.send(&[id]).await;
        }
        // In the order of their shards, which speak for themselves.
        let told: BTreeSet<u32> = there.ids(3).await.into_iter().collect();
        assert_eq!(told, BTreeSet::from([7, 9, LARGE]));

        // Ranges, exports, overviews and counts.
        here.send(&[1, 16]).await;
        assert_eq!(here.frame().await[4..], [0b0100_0000, 0, 0, 0, 0]);
        there.send(&[1, 16]).await;
        assert_eq!(there.frame().await[4..], [0b0100_0000, 1, 0, 0, 0]);
        assert_eq!(exported(&main).await, BTreeSet::from([7]));
        assert_eq!(exported(&large).await, BTreeSet::from([7, 9, LARGE]));
        assert_eq!((main.stats.announced.get(), large.stats.announced.get()), (1, 3));
        assert_eq!((main.stats.connections_now(), large.stats.connections_now()), (1, 1));
        assert_eq!(worker.node.connections_now(), 2);
        assert_eq!(large.overview().encode().len(), 16 + 3 * 3, "three tiles");

        // A reset.
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        feed.reset().await;
        assert_eq!(there.frame().await[..2], 1012_u16.to_be_bytes());
        assert_eq!((main.stats.announced.get(), large.stats.announced.get()), (1, 0));
        here.send(&[8]).await;
        assert_eq!(here.ids(1).await, [8]);

        // A box of the larger board is none of the smaller one's.
        here.send(&[LARGE]).await;
        assert_eq!(here.frame().await[..2], 1008_u16.to_be_bytes());
    });
}

#[test]
fn a_board_is_closed_while_the_other_one_is_played() {
    two_boards(async |worker, large, store| {
        let (node, main) = (worker.node.clone(), worker.node.main().clone());
        let mut here = Client::connect(&worker.desk(&main), Version::V2).await;
        let mut there = Client::connect(&worker.desk(&large), Version::Plain).await;
        store.permits.forget_permits(FREELY);
        there.send(&[5]).await;
        eventually("a commit is in flight", || large.stats.shard_queue.get() == 1).await;
        let closing = actix::spawn({
            let node = node.clone();
            async move { node.close("large", Close::GOING_AWAY).await }
        });
        eventually("nobody finds it any more", || node.table("large").is_none()).await;
        let again = node.open(store.clone(), Arc::new(Free)).await.map(|_| ());
        assert!(matches!(again, Err(OpenError::Taken(_))), "its name is taken until it is closed");
        here.send(&[3]).await;
        assert_eq!(here.ids(1).await, [3], "others play on");
        store.permits.add_permits(FREELY);
        assert_eq!(there.ids(1).await, [5], "what was accepted is kept and told");
        assert_eq!(there.frame().await[..2], 1001_u16.to_be_bytes());
        assert!(closing.await.expect("it goes on").expect("all is saved"));
        assert!(node.metrics.connections.get(&[("board", "large".into())]).is_none());
        here.send(&[4]).await;
        assert_eq!(here.ids(1).await, [4]);
        assert_eq!(node.fatal.get(), None, "nothing ended that should not have");
        assert!(
            !node.close("test", Close::GOING_AWAY).await.expect("nothing is lost"),
            "main stays"
        );
        assert!(!node.close("large", Close::GOING_AWAY).await.expect("nothing is lost"), "is gone");
    });
}

/// Threads of this process with the names that arbiters have.
fn arbiters() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| {
        let path = task.ok()?.path().join("comm");
        std::fs::read_to_string(path).ok()
    });
    names.filter(|name| name.contains("actix-rt")).count()
}

#[test]
fn boards_come_and_go_under_load_and_leave_nothing_behind() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        let node: Arc<Node> = worker.node.clone();
        let mut player = Client::connect(&worker.desk(node.main()), Version::Plain).await;
        let mut closed: Vec<Weak<Table>> = Vec::new();
        for round in 0..100 {
            let store = TestStore::named(&format!("sale-{round}"), SMALL, 2, FREELY);
            let table = node.open(store.clone(), Arc::new(Free)).await.expect("it opens");
            let mut buyer = Client::connect(&worker.desk(&table), Version::V2).await;
            for id in 1..=5 {
                buyer.send(&[id]).await;
                player.send(&[round * 5 + id]).await;
            }
            assert_eq!(buyer.ids(5).await, [1, 2, 3, 4, 5]);
            assert_eq!(player.ids(5).await, (1..=5).map(|id| round * 5 + id).collect::<Vec<_>>());
            closed.push(Arc::downgrade(&table));
            let name = table.board.name().to_owned();
            drop(table);
            assert!(node.close(&name, Close::GOING_AWAY).await.expect("all is saved"));
            assert_eq!(buyer.frame().await[..2], 1001_u16.to_be_bytes());
            assert_eq!(store.asked.load(Ordering::SeqCst), 5);
        }
        eventually("nothing is left of them", || {
            closed.iter().all(|table| table.strong_count() == 0)
        })
        .await;
        assert_eq!(node.tables().len(), 1);
        assert_eq!(node.fatal.get(), None);
    });
}

#[test]
fn a_further_board_adds_no_thread() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        // Other tests beside this one have threads, too, so only the difference counts, and only if it is
        // the same twice.
        let opened = async |name: &str| {
            let before = arbiters();
            let store = TestStore::named(name, SMALL, 4, FREELY);
            let table = worker.node.open(store, Arc::new(Free)).await.expect("it opens");
            worker.desk(&table);
            arbiters() as i64 - before as i64
        };
        let mut added = Vec::new();
        for name in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
            added.push(opened(name).await);
        }
        added.sort_unstable();
        assert_eq!(added[4], 0, "the middle one of {added:?}");
    });
}

/// Boxes that are set aside.
#[derive(Debug)]
struct Golden(BTreeSet<u32>);

impl Rules for Golden {
    fn refuses(&self, id: BoxId) -> Option<Refusal> {
        self.0.contains(&id.get()).then_some(Refusal::Reserved)
    }
}

#[test]
fn the_rules_of_a_board_are_asked_before_a_check_leaves_its_session() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        let golden = TestStore::named("golden", SMALL, 1, FREELY);
        let rules = Arc::new(Golden(BTreeSet::from([7])));
        let golden_table = worker.node.open(golden.clone(), rules).await.expect("it opens");
        let over = TestStore::named("over", SMALL, 1, FREELY);
        let over_table =
            worker.node.open(over.clone(), Arc::new(ReadOnly)).await.expect("it opens");

        let mut client = Client::connect(&worker.desk(&golden_table), Version::V2).await;
        client.send(&[7]).await;
        assert_eq!(client.frame().await, [7, 0, 0, 0, 5], "reserved, and it stays");
        client.send(&[8]).await;
        assert_eq!(client.ids(1).await, [8]);
        let mut plain = Client::connect(&worker.desk(&golden_table), Version::Plain).await;
        plain.send(&[7]).await;
        let close = plain.frame().await;
        assert_eq!((&close[..2], &close[2..]), (&1008_u16.to_be_bytes()[..], &b"reserved box"[..]));
        assert_eq!(golden_table.stats.refusals.get("reserved"), 2);
        assert_eq!(golden.asked.load(Ordering::SeqCst), 1, "the store has not heard of it");

        let mut reader = Client::connect(&worker.desk(&over_table), Version::V2).await;
        reader.send(&[1]).await;
        assert_eq!(reader.frame().await, [1, 0, 0, 0, 3], "read-only");
        reader.send(&[1, 8]).await;
        assert_eq!(reader.frame().await[4..], [0; 5], "reading goes on");
        assert_eq!(over.commits.load(Ordering::SeqCst), 0);
        assert_eq!(over.board().name(), "over");
    });
}
