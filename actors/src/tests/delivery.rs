//! Who hears of what, and in which order, whichever way it takes to the socket.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Client, FREELY, TestStore, eventually, run, settings};
use crate::{
    board::{Offset, ShardIndex},
    broadcaster::{batch::Batch, census::Pulse},
    link::ToSession,
    messages::{
        CheckBoxes, Drain, EndSessions, FlushBatch, LearnBoxes, PulseMade, ReadTile, ReadWords,
    },
    protocol::{Close, Version, total_frame},
    stats::Tally,
    worker::{desk::Desk, downlink::Told},
};

/// The numbers of a frame.
fn words(frame: &[u8]) -> Vec<u32> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four"));
    frame.chunks_exact(4).map(word).collect()
}

/// The boxes with these ids, on a board of one shard, are durable.
async fn learn(store: &Arc<TestStore>, ids: impl Iterator<Item = u32>) {
    let feed = store.feed.lock().expect("unpoisoned").clone().expect("the node has started");
    feed.learned(ShardIndex(0), ids.map(|id| Offset(id - 1)).collect()).await;
}

#[test]
fn a_v2_session_hears_of_what_it_looks_at_and_of_its_own_checks() {
    let store = TestStore::new(400_000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut watcher = Client::connect(&desk, Version::V2).await;
        let mut elsewhere = Client::connect(&desk, Version::V2).await;
        let mut plain = Client::connect(&desk, Version::Plain).await;
        watcher.send(&[100_001, 200_000]).await;
        assert_eq!(words(&watcher.frame().await)[0], 100_001);
        elsewhere.send(&[1, 8]).await;
        assert_eq!(words(&elsewhere.frame().await)[0], 1);
        for id in [100_000, 100_001, 200_000, 200_001, 399_999] {
            learn(&store, [id].into_iter()).await;
            assert_eq!(plain.ids(1).await, [id]);
        }
        watcher.send(&[400_000]).await;
        assert_eq!(plain.ids(1).await, [400_000]);
        assert_eq!(watcher.ids(3).await, [100_001, 200_000, 400_000]);
        // In the same tile, but out of the range that it looks at.
        learn(&store, [9, 8].into_iter()).await;
        assert_eq!(words(&elsewhere.frame().await), [8, 8]);
    });
}

#[test]
fn what_is_out_of_view_is_not_told_any_more() {
    let store = TestStore::new(2_000_000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut watcher = Client::connect(&desk, Version::V2).await;
        for tile in 0..17 {
            watcher.send(&[tile * 100_000 + 1, tile * 100_000 + 40]).await;
            assert_eq!(words(&watcher.frame().await)[0], tile * 100_000 + 1);
        }
        learn(&store, [2, 100_002, 1_600_002].into_iter()).await;
        assert_eq!(watcher.ids(2).await, [100_002, 1_600_002], "the first range is given up");
    });
}

#[test]
fn sessions_that_end_are_forgotten() {
    let store = TestStore::new(1_000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut stays = Client::connect(&desk, Version::V2).await;
        stays.send(&[1, 100]).await;
        stays.frame().await;
        for version in [Version::V2, Version::Plain] {
            let mut leaves = Client::connect(&desk, version).await;
            leaves.send(&[1, 100]).await;
            leaves.frame().await;
            drop(leaves);
        }
        eventually("they have ended", || desk.table.stats.connections.get() == 1).await;
        learn(&store, [7].into_iter()).await;
        assert_eq!(stays.ids(1).await, [7]);
        drop(stays);
        eventually("all have ended", || desk.table.stats.connections.get() == 0).await;
        assert!(desk.roster.find(|| vec![0], 1_000_000).is_empty(), "nobody looks there");
    });
}

/// Announces everything up to box `last` in batches of 500, as far as it was not.
async fn announce(desk: &Rc<Desk>, store: &Arc<TestStore>, last: u32) {
    let stats = &desk.table.stats;
    loop {
        let announced = u32::try_from(stats.announced.get()).expect("few");
        if announced >= last {
            return;
        }
        learn(store, announced + 1..=(announced + 500).min(last)).await;
        eventually("the batch", || stats.announced.get() > i64::from(announced)).await;
    }
}

/// Batches that are written at once, that wait in the outbox and that wait in the mailbox, in turns.
#[test]
fn a_client_that_falls_behind_hears_everything_in_its_order() {
    let store = TestStore::new(200_000, 1, FREELY);
    let mut settings = settings();
    settings.session.outbox_bytes = 10_000_000;
    settings.session.mailbox = 4096;
    settings.session.send_buffer_bytes = 32_768;
    run(settings, &store, async |desk| {
        let mut slow = Client::connect(&desk, Version::Plain).await;
        let mut told = 0;
        for last in [100, 30_000, 30_100, 60_000] {
            announce(&desk, &store, last).await;
            // The first time nothing waits, then most of it does.
            while told < last {
                told += 1;
                assert_eq!(words(&slow.frame().await), [told, told]);
            }
        }
        assert_eq!(desk.table.stats.lags.get(), 0);
    });
}

#[test]
fn a_v2_client_that_lagged_is_told_the_total_of_now() {
    let store = TestStore::new(200_000, 1, FREELY);
    let mut settings = settings();
    settings.session.outbox_bytes = 20_000;
    settings.session.send_buffer_bytes = 4096;
    run(settings, &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut slow = Client::connect(&desk, Version::V2).await;
        slow.send(&[1, 100_000]).await;
        let mut frame = slow.frame().await;
        assert_eq!(frame.len(), 12_504);
        let mut last = 0;
        while stats.lags.get() == 0 {
            last += 500;
            announce(&desk, &store, last).await;
        }
        // Out of its view, so that it hears nothing of these.
        learn(&store, 150_001..=150_500).await;
        let total = last + 500;
        eventually("all are announced", || stats.announced.get() == i64::from(total)).await;
        let mut told = 0;
        loop {
            frame = slow.frame().await;
            let now = words(&frame)[0];
            match frame.len() {
                8 => assert_eq!(now, told + 1),
                4 => break assert_eq!(now, total, "the total of now"),
                length => panic!("a frame of {length} bytes"),
            }
            told = now;
        }
        assert_eq!(slow.frame().await.len(), 12_504, "its range again");
        learn(&store, [90_000].into_iter()).await;
        assert_eq!(words(&slow.frame().await), [total + 1, 90_000]);
    });
}

#[test]
fn the_time_to_screens_is_that_of_checks_of_this_node_and_holds_the_whole_commit() {
    let store = TestStore::new(1_000, 1, 0);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        let times = &desk.table.stats.to_screens;
        // One flush begins when the one before has landed.
        for id in [1, 2, 3] {
            learn(&store, [id].into_iter()).await;
            assert_eq!(client.ids(1).await, [id]);
        }
        assert_eq!(times.take(), None, "other nodes time theirs");
        client.send(&[4]).await;
        eventually("the commit has begun", || store.commits.load(Ordering::Acquire) == 1).await;
        let committing = Instant::now();
        // An answer to something else is on its way meanwhile.
        client.send(&[1, 40]).await;
        client.frame().await;
        let held = committing.elapsed();
        store.permits.add_permits(1);
        assert_eq!(client.ids(1).await, [4]);
        let taken = std::cell::Cell::new(None);
        eventually("the flush has landed", || {
            taken.set(times.take());
            taken.get().is_some()
        })
        .await;
        let (median, slowest) = taken.get().expect("it has landed");
        assert!(held <= median && median == slowest, "{held:?} {median:?} {slowest:?}");
    });
}

/// What the hub tells it itself makes room for more checks, and has to have the session look.
#[test]
fn a_client_is_read_again_when_its_checks_are_answered() {
    let store = TestStore::new(1_000, 1, FREELY);
    let mut settings = settings();
    settings.session.checks_outstanding = 3;
    settings.shards.queue_checks = 1_000;
    run(settings, &store, async |desk| {
        let mut client = Client::connect(&desk, Version::V2).await;
        for id in 1..=200 {
            client.send(&[id]).await;
        }
        let mut told = client.ids(200).await;
        told.sort_unstable();
        assert_eq!(told, (1..=200).collect::<Vec<_>>());
    });
}

#[test]
fn a_pulse_goes_along_with_a_batch_and_is_told_once() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let writes = || desk.table.stats.socket_writes.get();
        let mut looks = Client::connect(&desk, Version::V2).await;
        let mut idles = Client::connect(&desk, Version::V2).await;
        let mut checks = Client::connect(&desk, Version::Plain).await;
        looks.send(&[1, 8]).await;
        assert_eq!(looks.frame().await.len(), 9);
        // It counts a box whose update is still to come.
        let pulse = Pulse { sequence: 1, total: 1, players: 1, tiles: vec![(2, 1)] };
        desk.hub.pulses.send(PulseMade(Arc::new(pulse))).await.expect("the hub is there");

        let before = writes();
        checks.send(&[5]).await;
        assert_eq!(looks.frame().await, [1, 0, 0, 0, 5, 0, 0, 0], "the update is told first");
        let rides = looks.frame().await;
        assert_eq!(rides[5], 1, "the pulse with the total of the batch: {rides:?}");
        // Its slot is after the other's.
        assert_eq!(idles.frame().await, rides, "whom the batch does not concern has it, too");
        assert_eq!(checks.frame().await.len(), 8);
        assert_eq!(writes() - before, 3, "one for each of them");
        checks.send(&[6]).await;
        assert_eq!(looks.frame().await, [2, 0, 0, 0, 6, 0, 0, 0], "and not a second time");
    });
}

/// Both are handled before the walk takes its first step.
#[test]
fn no_pulse_overtakes_the_batch_that_it_counts() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut looks = Client::connect(&desk, Version::V2).await;
        let mut idles = Client::connect(&desk, Version::V2).await;
        looks.send(&[1, 8]).await;
        assert_eq!(looks.frame().await.len(), 9);
        let batch = FlushBatch(Arc::new(Batch::encode(0, vec![5])));
        let pulse = Pulse { sequence: 1, total: 1, players: 1, tiles: vec![(2, 1)] };
        let walked = desk.hub.batches.send(batch);
        desk.hub.pulses.try_send(PulseMade(Arc::new(pulse))).expect("there is room");
        walked.await.expect("the hub is there");
        assert_eq!(looks.frame().await, [1, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(looks.frame().await[5], 1, "and the pulse after it");
        assert_eq!(idles.frame().await[5], 1);
    });
}

#[test]
fn a_frame_for_one_comes_to_that_one_behind_what_waits_for_it() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut one = Client::connect(&desk, Version::V2).await;
        let mut other = Client::connect(&desk, Version::V2).await;
        one.send(&[1, 8]).await;
        assert_eq!(one.frame().await.len(), 9);
        let found = desk.roster.find(|| vec![0], 1_000_000);
        let [downlink] = found.as_slice() else { panic!("one looks there") };
        let (mut picked, mut tally) = (Vec::new(), Tally::default());
        let mut tell = |total| {
            assert!(downlink.tell(Told::Frame(&total_frame(total)), &mut picked, &mut tally));
        };
        let before = desk.table.stats.socket_writes.get();
        tell(7);
        assert_eq!(words(&one.frame().await), [7]);
        assert_eq!(desk.table.stats.socket_writes.get(), before, "straight to the socket");
        downlink.say(total_frame(8));
        tell(9);
        tell(10);
        for total in [8, 9, 10] {
            assert_eq!(words(&one.frame().await), [total]);
        }
        other.send(&[1, 8]).await;
        assert_eq!(other.frame().await.len(), 9, "nothing of it came here");
    });
}

/// The test keeps the thread of the hub, so that no flush is handed out.
#[test]
fn a_broadcaster_that_falls_behind_fills_the_gates_of_the_shards() {
    let store = TestStore::new(1000, 1, FREELY);
    let mut settings = settings();
    settings.broadcaster.mailbox = 1;
    settings.broadcaster.batch_updates = 1;
    run(settings, &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        let mut taken = 0;
        let mut last = Instant::now();
        while last.elapsed() < Duration::from_millis(500) && taken < 200 {
            let (shard, offset) = (ShardIndex(0), Offset(taken));
            match desk.courier.carry(shard, offset, &client.1) {
                Ok(()) => (taken, last) = (taken + 1, Instant::now()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        // Four places, a few in flushes and messages that were handed over before.
        assert!((4..20).contains(&taken), "{taken} checks were taken");
        assert_eq!(desk.table.stats.shard_queue.get(), 4, "each of them has its place");
        assert_eq!(client.ids(taken as usize).await, (1..=taken).collect::<Vec<_>>());
        eventually("all places are free", || desk.table.stats.shard_queue.get() == 0).await;
    });
}

/// Nothing of a session runs while the test does not wait, so that its mailbox fills.
#[test]
fn a_full_mailbox_marks_the_session_as_lagging() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let stats = &desk.table.stats;
        let fill = |client: &Client| {
            let fits = (0..1000).take_while(|_| client.1.try_tell(ToSession::LookAround)).count();
            assert_eq!(fits, settings().session.mailbox, "its bound");
            assert!(client.1.has_overflowed());
        };
        let mut scoped = Client::connect(&desk, Version::V2).await;
        scoped.send(&[1, 8]).await;
        assert_eq!(scoped.frame().await.len(), 9);
        fill(&scoped);
        desk.table.billboard().set(total_frame(77), true);
        assert_eq!(scoped.frame().await, [0; 4], "the total of now");
        assert_eq!(words(&scoped.frame().await), [77], "the notice that it may have missed");
        assert_eq!(scoped.frame().await.len(), 9, "and its range again");
        assert_eq!((stats.lags.get(), stats.resyncs.get(), stats.lagging.get()), (1, 1, 0));

        let mut plain = Client::connect(&desk, Version::Plain).await;
        fill(&plain);
        let close = plain.frame().await;
        assert_eq!((&close[..2], &close[2..]), (&1013_u16.to_be_bytes()[..], &b"lagging"[..]));
        assert_eq!((stats.lags.get(), stats.resyncs.get()), (2, 1));
    });
}

/// The end of all sessions used to wait in the mailbox, and for a second if that was full.
#[test]
fn a_session_whose_mailbox_is_full_ends_as_it_is_told_to() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        for version in [Version::Plain, Version::V2] {
            let mut client = Client::connect(&desk, version).await;
            (0..=settings().session.mailbox).for_each(|_| client.1.nudge());
            desk.hub.end.try_send(EndSessions(Close::BOARD_RESET)).expect("there is room");
            assert_eq!(client.frame().await[..2], 1012_u16.to_be_bytes());
        }
        assert_eq!(desk.table.stats.lags.get(), 0);
    });
}

/// Each recipient has room for one message more than the capacity leaves: a set of them is made once for each
/// actor, so that this stays the bound.
#[test]
fn a_mailbox_is_bounded_by_its_capacity_and_its_one_set_of_recipients() {
    let store = TestStore::new(1000, 1, FREELY);
    store.blocking.store(true, Ordering::SeqCst);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        client.send(&[1]).await;
        // From here on the shard's thread is held.
        eventually("a commit", || store.commits.load(Ordering::SeqCst) == 1).await;
        let shard = desk.table.shard(ShardIndex(0));
        let empty = || CheckBoxes(Vec::new());
        let taken = (0..1000).take_while(|_| shard.checks.try_send(empty()).is_ok()).count();
        assert_eq!(taken, settings().shards.mailbox);
        let tile = desk.table.board.tile(0).expect("the board has a tile");
        let one_more = || {
            [
                shard.words.try_send(ReadWords).is_ok(),
                shard.tiles.try_send(ReadTile(tile)).is_ok(),
                shard.learned.try_send(LearnBoxes(Vec::new())).is_ok(),
                shard.drain.try_send(Drain).is_ok(),
            ]
        };
        assert_eq!(one_more(), [true; 4]);
        assert_eq!(one_more(), [false; 4]);
        store.blocking.store(false, Ordering::SeqCst);
        assert_eq!(client.ids(1).await, [1]);

        // Of a hub, which runs when this test waits; its set has one recipient for each kind of message.
        let pulse = || {
            let (sequence, tiles) = (1, Vec::new());
            PulseMade(Arc::new(Pulse { sequence, total: 1, players: 1, tiles }))
        };
        let taken = (0..1000).take_while(|_| desk.hub.pulses.try_send(pulse()).is_ok()).count();
        assert_eq!(taken, settings().hub.mailbox);
        let one_more = || desk.hub.end.try_send(EndSessions(Close::GOING_AWAY)).is_ok();
        assert_eq!((one_more(), one_more()), (true, false));
    });
}
