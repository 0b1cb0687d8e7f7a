//! Checks that the store does not take: answered, counted and asked for once each, however many they are.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use super::{Client, FREELY, TestStore, eventually, run, settings};
use crate::{
    limits::rate::Rate,
    protocol::{Close, Version},
    settings::NodeSettings,
    worker::desk::Desk,
};

/// Shards of the board.
const SHARDS: u32 = 4;

/// Room for so many checks of one client. Its mailbox has place for 16 messages.
fn roomy(checks: usize) -> NodeSettings {
    let mut settings = settings();
    settings.session.checks_outstanding = checks + 1;
    settings.shards.queue_checks = checks + 1;
    settings.shards.mailbox = checks + 1;
    settings.shards.commit_checks = 64;
    settings
}

fn refused(desk: &Desk, reason: &'static str) -> u64 {
    desk.table.stats.refusals.get(reason)
}

fn closed(desk: &Desk, close: Close) -> u64 {
    desk.table.stats.connections_closed.get(close.label())
}

/// More refusals than its mailbox holds made a session lag, and a lagging one asked for every unanswered check
/// again. All of those were refused again, so that 10,000 checks became a hundred thousand.
#[test]
fn each_refused_check_is_answered_counted_and_asked_for_once() {
    for checks in [1, 10, 100, 1000, 10_000] {
        let store = TestStore::new(SHARDS * 100_000, SHARDS, 0);
        store.failing.store(true, Ordering::SeqCst);
        run(roomy(checks), &store, async |desk| {
            let stats = desk.table.stats.clone();
            let mut client = Client::connect(&desk, Version::V2).await;
            let mut waits: BTreeSet<u32> = (0..checks as u32)
                .map(|check| 1 + check % SHARDS * 100_000 + check / SHARDS)
                .collect();
            for id in &waits {
                client.send(&[*id]).await;
            }
            eventually("all of them to be with the shards", || {
                stats.shard_queue.get() == checks as i64
            })
            .await;
            store.permits.add_permits(FREELY);
            while !waits.is_empty() {
                let frame = client.frame().await;
                assert_eq!((frame.len(), frame[4]), (5, 1), "refused: storage");
                let id = u32::from_le_bytes(frame[..4].try_into().expect("four"));
                assert!(waits.remove(&id), "{id} is answered twice, or was never asked for");
            }
            // Whatever came behind the last refusal would be before this.
            client.send(&[1, 8]).await;
            assert_eq!(client.frame().await.len(), 9);
            assert_eq!(refused(&desk, "storage"), checks as u64);
            assert_eq!((stats.lags.get(), stats.resyncs.get()), (0, 0));
            assert_eq!(store.asked.load(Ordering::SeqCst), checks, "asked for once each");
        });
    }
}

#[test]
fn a_plain_client_whose_checks_are_refused_is_one_refusal_and_one_close() {
    let store = TestStore::new(SHARDS * 100_000, SHARDS, 0);
    store.failing.store(true, Ordering::SeqCst);
    run(roomy(100), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut client = Client::connect(&desk, Version::Plain).await;
        for id in 1..=100 {
            client.send(&[id * 3999]).await;
        }
        eventually("all of them to be with the shards", || stats.shard_queue.get() == 100).await;
        store.permits.add_permits(FREELY);
        assert_eq!(client.frame().await[2..], b"storage unavailable"[..]);
        eventually("all of them to be refused", || stats.shard_queue.get() == 0).await;
        assert_eq!((refused(&desk, "storage"), closed(&desk, Close::STORAGE)), (1, 1));
    });
}

#[test]
fn a_check_that_found_no_room_or_came_too_fast_is_counted_once() {
    let store = TestStore::new(1000, 1, 0);
    let mut settings = settings();
    settings.live.shard_wait_timeout = std::time::Duration::from_millis(50);
    settings.live.checks = Rate::new(0.001, 5);
    run(settings, &store, async |desk| {
        let mut client = Client::connect(&desk, Version::V2).await;
        for id in 1..=7 {
            client.send(&[id]).await;
        }
        assert_eq!(client.frame().await, [5, 0, 0, 0, 2], "busy: the gate has four places");
        for id in [6, 7] {
            assert_eq!(client.frame().await, [id, 0, 0, 0, 4], "over the rate");
        }
        assert_eq!((refused(&desk, "busy"), refused(&desk, "rate")), (1, 2));
    });
}
