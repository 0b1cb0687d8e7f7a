//! Several boards in one node: each is played, read, reset, drained and closed by itself.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use futures_util::FutureExt as _;

use super::{Client, FREELY, TestStore, eventually, run_node, settings, somebody};
use crate::{
    board::{BoxId, Offset},
    node::Node,
    protocol::{Close, Version},
    rules::{Forbidden, Free, ReadOnly, Rules},
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

/// It used to find room when the others were answered, and its answer to come behind the Close.
#[test]
fn a_check_that_waits_for_room_when_its_board_is_closed_is_not_taken() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        let node: Arc<Node> = worker.node.clone();
        for version in [Version::Plain, Version::V2] {
            let store = TestStore::named("sale", SMALL, 1, 0);
            let table = node.open(store.clone(), Arc::new(Free)).await.expect("it opens");
            let mut buyer = Client::connect(&worker.desk(&table), version).await;
            for id in 1..=5 {
                buyer.send(&[id]).await;
            }
            let stats = table.stats.clone();
            let waits = || stats.shard_queue.get() == 4 && stats.sessions_paused.get() == 1;
            eventually("four have their places, and the fifth has none", waits).await;
            let closing = actix::spawn({
                let node = node.clone();
                async move { node.close("sale", Close::GOING_AWAY).await }
            });
            eventually("nobody is read any more", || table.is_draining()).await;
            store.permits.add_permits(FREELY);
            assert_eq!(buyer.ids(4).await, [1, 2, 3, 4]);
            assert_eq!(buyer.frame().await[..2], 1001_u16.to_be_bytes());
            assert!(closing.await.expect("it goes on").expect("all is saved"));
            assert_eq!(store.asked.load(Ordering::SeqCst), 4);
        }
    });
}

#[test]
fn boards_come_and_go_under_load_and_leave_nothing_behind() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        let node: Arc<Node> = worker.node.clone();
        let mut player = Client::connect(&worker.desk(node.main()), Version::Plain).await;
        let (mut closed, mut stores) = (Vec::new(), Vec::new());
        for round in 0..100 {
            let store = TestStore::named(&format!("sale-{round}"), SMALL, 2, FREELY);
            let table = node.open(store.clone(), Arc::new(Free)).await.expect("it opens");
            let mut buyer = Client::connect(&worker.desk(&table), Version::V2).await;
            for id in 1..=5 {
                player.send(&[round * 5 + id]).await;
            }
            // Closed while these are on their way.
            for id in 1..=5 {
                buyer.send(&[id]).await;
            }
            assert_eq!(buyer.ids(1).await, [1]);
            let name = table.board.name().to_owned();
            closed.push(Arc::downgrade(&table.stats));
            drop(table);
            assert!(node.close(&name, Close::GOING_AWAY).await.expect("all is saved"));
            let mut told = 1;
            let close = loop {
                let frame = buyer.frame().await;
                match frame.len() {
                    8 => told += 1,
                    _ => break frame,
                }
            };
            assert_eq!(close[..2], 1001_u16.to_be_bytes());
            assert_eq!(store.asked.load(Ordering::SeqCst), told, "what was taken was told");
            stores.push(store);
            assert_eq!(player.ids(5).await, (1..=5).map(|id| round * 5 + id).collect::<Vec<_>>());
        }
        // Every actor of a board has its counters, and shards and table have its store.
        eventually("nothing is left of them", || {
            closed.iter().all(|stats| stats.strong_count() == 0)
                && stores.iter().all(|store| Arc::strong_count(store) == 1)
        })
        .await;
        assert_eq!(node.tables().len(), 1);
        assert_eq!(node.fatal.get(), None);
    });
}

#[test]
fn a_board_that_cannot_be_opened_leaves_its_name_and_no_counters() {
    let small = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &small, async |worker| {
        let node = &worker.node;
        let store = TestStore::named("sale", SMALL, 1, FREELY);
        let words = std::mem::replace(&mut store.words.lock().expect("unpoisoned")[0], vec![0; 1]);
        let failed = node.open(store.clone(), Arc::new(Free)).await.map(|_| ());
        assert!(matches!(failed, Err(OpenError::Misfit(0, _))), "{failed:?}");
        let counted = || node.metrics.connections.get(&[("board", "sale".into())]).is_some();
        assert!(!counted());
        // Nor does one that nobody waits for any more.
        let opening = node.open(store.clone(), Arc::new(Free));
        assert!(opening.now_or_never().is_none_or(|opened| opened.is_err()));
        assert!(!counted());
        store.words.lock().expect("unpoisoned")[0] = words;
        let closed = node.open(store, Arc::new(Free)).await.expect("its name is free");
        assert!(counted());

        // Who comes to it when it is closed already finds nobody, and does not get into the way of the next one.
        assert!(node.close("sale", Close::GOING_AWAY).await.expect("nothing is lost"));
        let next = TestStore::named("sale", SMALL, 1, FREELY);
        let next = node.open(next, Arc::new(Free)).await.expect("its name is free again");
        let desk = worker.desk(&next);
        let late = Client::start(&worker.desk(&closed), Version::Plain, somebody()).await;
        late.expect_end().await;
        assert!(Rc::ptr_eq(&desk, &worker.desk(&next)));
    });
}

#[test]
fn a_board_is_closed_to_its_end_though_nobody_waits_and_before_the_node_stops() {
    two_boards(async |worker, large, store| {
        let node = worker.node.clone();
        let mut there = Client::connect(&worker.desk(&large), Version::Plain).await;
        store.permits.forget_permits(FREELY);
        there.send(&[5]).await;
        eventually("a commit is in flight", || large.stats.shard_queue.get() == 1).await;
        assert!(node.close("large", Close::GOING_AWAY).now_or_never().is_none(), "it waits");
        assert!(node.table("large").is_none());
        assert_eq!(node.connections_now(), 1, "whose session is still there");
        node.begin_draining();
        let late = node.open(TestStore::named("late", SMALL, 1, FREELY), Arc::new(Free)).await;
        assert!(matches!(late.map(|_| ()), Err(OpenError::Stopping)));
        let mut stopping = Box::pin(node.stop());
        assert!((&mut stopping).now_or_never().is_none(), "it waits for the board");
        store.permits.add_permits(FREELY);
        assert_eq!(there.ids(1).await, [5]);
        stopping.await.expect("all is saved");
        assert_eq!(there.frame().await[..2], 1001_u16.to_be_bytes());
        assert_eq!(node.tables().len(), 1, "the main one");
    });
}

/// Boxes that are set aside.
#[derive(Debug)]
struct Golden(BTreeSet<u32>);

impl Rules for Golden {
    fn forbid(&self, id: BoxId) -> Option<Forbidden> {
        self.0.contains(&id.get()).then_some(Forbidden::Reserved)
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
        let mut plain = Client::connect(&worker.desk(&over_table), Version::Plain).await;
        plain.send(&[1]).await;
        let close = plain.frame().await;
        assert_eq!(
            (&close[..2], &close[2..]),
            (&1008_u16.to_be_bytes()[..], &b"read-only board"[..])
        );
        assert_eq!(over.commits.load(Ordering::SeqCst), 0);

        // A player who may not check, on a board that takes checks.
        for version in [Version::V2, Version::Plain] {
            let (mut player, seat) = somebody();
            player.rights.check = false;
            let desk = worker.desk(worker.node.main());
            let mut looker = Client::connect_as(&desk, version, (player, seat)).await;
            looker.send(&[1, 8]).await;
            assert_eq!(looker.frame().await[4..], [0; 5]);
            looker.send(&[1]).await;
            match version {
                Version::V2 => assert_eq!(looker.frame().await, [1, 0, 0, 0, 3]),
                Version::Plain => assert_eq!(looker.frame().await[..2], 1008_u16.to_be_bytes()),
            }
        }
        assert_eq!(small.commits.load(Ordering::SeqCst), 0);
        assert_eq!(over.board().name(), "over");
    });
}

/// Checks that were accepted before are told, later ones are refused, and after it was said nothing is acknowledged.
#[test]
fn a_board_that_becomes_read_only_answers_what_it_had_and_refuses_what_comes() {
    let store = TestStore::new(LARGE, 3, FREELY);
    run_node(settings(), &store, async |worker| {
        let main = worker.node.main().clone();
        let mut scoped = Client::connect(&worker.desk(&main), Version::V2).await;
        let mut plain = Client::connect(&worker.desk(&main), Version::Plain).await;
        store.permits.forget_permits(FREELY);
        scoped.send(&[5]).await;
        eventually("a commit is in flight", || main.stats.shard_queue.get() == 1).await;
        let turning = actix::spawn({
            let main = main.clone();
            async move { main.set_read_only(true).await }
        });
        eventually("it is read-only", || main.is_read_only()).await;
        scoped.send(&[6]).await;
        assert_eq!(scoped.frame().await, [6, 0, 0, 0, 3]);
        assert!(!turning.is_finished(), "a check is still under way");
        store.permits.add_permits(FREELY);
        turning.await.expect("it turned");
        assert_eq!((scoped.ids(1).await, plain.ids(1).await), (vec![5], vec![5]));
        // What another node has checked is learned all the same.
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        feed.learned(main.board.shard_indexes().next().expect("one"), vec![Offset(7)]).await;
        assert_eq!(plain.ids(1).await, [8]);
        plain.send(&[9]).await;
        assert_eq!(plain.frame().await[..2], 1008_u16.to_be_bytes());
        assert_eq!(store.asked.load(Ordering::SeqCst), 1);
        assert_eq!(main.stats.refusals.get("read_only"), 2);
        main.set_read_only(false).await;
        scoped.send(&[6]).await;
        assert_eq!(scoped.ids(1).await, [6]);
    });
}

/// A check that has passed its session's rules when the board becomes read-only does not pass its shard.
#[test]
fn a_check_on_its_way_to_a_shard_that_becomes_read_only_is_refused_there() {
    let store = TestStore::new(SMALL, 1, FREELY);
    run_node(settings(), &store, async |worker| {
        let main = worker.node.main().clone();
        for (version, id) in [(Version::V2, 1), (Version::Plain, 3)] {
            let mut client = Client::connect(&worker.desk(&main), version).await;
            store.blocking.store(true, Ordering::SeqCst);
            client.send(&[id]).await;
            eventually("the shard's thread is held up", || {
                store.commits.load(Ordering::SeqCst) == 1
            })
            .await;
            client.send(&[id + 1]).await;
            eventually("two are on their way", || main.stats.shard_queue.get() == 2).await;
            let turning = actix::spawn({
                let main = main.clone();
                async move { main.set_read_only(true).await }
            });
            eventually("it is read-only", || main.is_read_only()).await;
            store.blocking.store(false, Ordering::SeqCst);
            turning.await.expect("it turned");
            match version {
                Version::V2 => {
                    let frames = [client.frame().await, client.frame().await];
                    assert!(frames.contains(&vec![2, 0, 0, 0, 3]), "{frames:?}");
                }
                Version::Plain => loop {
                    let frame = client.frame().await;
                    if frame.len() != 8 {
                        break assert_eq!(frame[..2], 1008_u16.to_be_bytes());
                    }
                },
            }
            main.set_read_only(false).await;
            store.commits.store(0, Ordering::SeqCst);
        }
    });
}
