//! How checks come to their shards, and which commit they are part of.

use std::{rc::Rc, sync::atomic::Ordering, time::Duration};

use super::{Client, FREELY, TestStore, eventually, run, settings, somebody};
use crate::{
    player::UserId,
    protocol::{Close, Version},
    settings::NodeSettings,
    store::batch::Share,
    worker::desk::Desk,
};

/// Longer than any test: what is held goes for another reason than the tick.
const NEVER: Duration = Duration::from_secs(3600);

/// Room for many checks.
fn roomy(gather: Duration) -> NodeSettings {
    let mut settings = settings();
    settings.shards.gather = gather;
    settings.shards.queue_checks = 10_000;
    settings.shards.commit_checks = 10_000;
    settings
}

#[test]
fn the_first_check_after_quiet_goes_at_once_and_the_next_ones_wait_for_each_other() {
    let store = TestStore::new(1000, 1, FREELY);
    run(roomy(NEVER), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut client = Client::connect(&desk, Version::Plain).await;
        client.send(&[1]).await;
        assert_eq!(client.ids(1).await, [1]);
        for id in 2..=4 {
            client.send(&[id]).await;
        }
        eventually("three checks are held", || stats.shard_queue.get() == 3).await;
        client.send(&[1, 8]).await;
        assert_eq!(client.frame().await[4], 1, "ranges do not wait, and nothing else is checked");
        assert_eq!(store.commits.load(Ordering::SeqCst), 1);
        // Before a node rests it does what it has accepted.
        let node = desk.node.clone();
        let drained = actix::spawn(async move { node.drain(Close::GOING_AWAY).await });
        assert_eq!(client.ids(3).await, [2, 3, 4]);
        drained.await.expect("it drains");
        assert_eq!(store.commits.load(Ordering::SeqCst), 2, "one commit for the three of them");
    });
}

#[test]
fn checks_of_many_ticks_are_told_once_and_in_order() {
    let store = TestStore::new(1000, 1, FREELY);
    let mut settings = roomy(Duration::from_millis(20));
    settings.broadcaster.interval = Duration::from_millis(20);
    settings.broadcaster.gather = Duration::from_millis(3);
    run(settings, &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        for id in 1..=50 {
            client.send(&[id]).await;
            // Over several ticks.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let expected: Vec<u32> = (1..=50).collect();
        assert_eq!(client.ids(50).await, expected);
        let stats = desk.table.stats.clone();
        eventually("nothing is held", || stats.shard_queue.get() == 0).await;
    });
}

#[test]
fn a_flood_does_not_wait_for_a_tick() {
    let store = TestStore::new(10_000, 1, FREELY);
    run(roomy(NEVER), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        // One at once, 1,024 together, and one that is held.
        for id in 1..=1026 {
            client.send(&[id]).await;
        }
        let expected: Vec<u32> = (1..=1025).collect();
        assert_eq!(client.ids(1025).await, expected);
        let stats = desk.table.stats.clone();
        eventually("the last one is held", || stats.shard_queue.get() == 1).await;
        assert_eq!(store.commits.load(Ordering::SeqCst), 2);
    });
}

/// A client whose boxes 1, 2 and 3 are with the store, which has begun with none of them.
async fn three_of_a_batch(desk: &Rc<Desk>, store: &TestStore) -> Client {
    store.lazy.store(true, Ordering::SeqCst);
    let mut client = Client::connect(desk, Version::V2).await;
    client.send(&[1]).await;
    eventually("the store is asked", || store.commits.load(Ordering::SeqCst) == 1).await;
    client.send(&[2]).await;
    client.send(&[3]).await;
    let stats = &desk.table.stats;
    eventually("all are with the shard", || stats.shard_queue.get() == 3).await;
    // The shard answers this after it has taken the checks before it.
    client.send(&[1, 8]).await;
    assert_eq!(client.frame().await[4], 0);
    client
}

#[test]
fn a_check_joins_the_batch_that_the_store_has_not_begun_with() {
    let store = TestStore::new(1000, 1, 0);
    run(roomy(Duration::ZERO), &store, async |desk| {
        let mut client = three_of_a_batch(&desk, &store).await;
        store.permits.add_permits(1);
        assert_eq!(client.ids(3).await, [1, 2, 3]);
        assert_eq!(store.commits.load(Ordering::SeqCst), 1, "with the one permit there is");
    });
}

#[test]
fn who_has_joined_a_batch_is_refused_with_it() {
    let store = TestStore::new(1000, 1, 0);
    store.failing.store(true, Ordering::SeqCst);
    run(roomy(Duration::ZERO), &store, async |desk| {
        let mut client = three_of_a_batch(&desk, &store).await;
        store.failing.store(false, Ordering::SeqCst);
        store.permits.add_permits(FREELY);
        for id in 1..=3 {
            assert_eq!(client.frame().await, [id, 0, 0, 0, 1]);
        }
        client.send(&[2]).await;
        assert_eq!(client.ids(1).await, [2], "accepted again");
    });
}

#[test]
fn a_reset_forgets_what_is_held() {
    let store = TestStore::new(1000, 1, FREELY);
    run(roomy(NEVER), &store, async |desk| {
        let node = desk.node.clone();
        let mut client = Client::connect(&desk, Version::Plain).await;
        client.send(&[1]).await;
        assert_eq!(client.ids(1).await, [1]);
        client.send(&[2]).await;
        eventually("a check is held", || desk.table.stats.shard_queue.get() == 1).await;
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        feed.reset().await;
        assert_eq!(client.frame().await[..2], 1012_u16.to_be_bytes());
        assert_eq!(desk.table.stats.shard_queue.get(), 0);
        node.drain(Close::GOING_AWAY).await;
        assert_eq!(store.commits.load(Ordering::SeqCst), 1, "it was meant for the old board");
    });
}

/// Has a shard take nothing, and a client send checks to it until one of them finds no room; how many it sent.
async fn overfill(desk: &Desk, store: &TestStore, client: &mut Client) -> u32 {
    store.blocking.store(true, Ordering::SeqCst);
    let mut sent = 0;
    while desk.table.stats.sessions_paused.get() == 0 {
        assert!(sent < 5000, "its mailbox has one place");
        sent += 1;
        client.send(&[sent]).await;
        // Apart, so that there is more than one tick.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    sent
}

/// Two shards with a thread each and next to no mailbox. Ticks are so far apart that each brings something.
fn narrow() -> NodeSettings {
    let mut settings = roomy(Duration::from_millis(10));
    settings.shards.threads = 2;
    settings.shards.mailbox = 1;
    settings
}

#[test]
fn a_shard_that_takes_nothing_keeps_back_its_own_checks_only() {
    let store = TestStore::new(400_000, 2, FREELY);
    run(narrow(), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut stopped = Client::connect(&desk, Version::Plain).await;
        let mut other = Client::connect(&desk, Version::Plain).await;
        let sent = overfill(&desk, &store, &mut stopped).await;
        // This one's shard is on another thread.
        other.send(&[200_001]).await;
        for client in [&mut other, &mut stopped] {
            assert_eq!(client.ids(1).await, [200_001]);
        }
        store.blocking.store(false, Ordering::SeqCst);
        let mut told = stopped.ids(sent as usize).await;
        told.sort_unstable();
        assert_eq!(told, (1..=sent).collect::<Vec<_>>(), "each once");
        eventually("nothing waits", || stats.shard_queue.get() == 0).await;
        assert_eq!(stats.sessions_paused.get(), 0);
    });
}

#[test]
fn a_node_comes_to_rest_though_a_shard_died_with_checks_before_its_door() {
    let store = TestStore::new(400_000, 2, FREELY);
    run(narrow(), &store, async |desk| {
        let mut stopped = Client::connect(&desk, Version::Plain).await;
        let mut other = Client::connect(&desk, Version::Plain).await;
        overfill(&desk, &store, &mut stopped).await;
        store.panicking.store(true, Ordering::SeqCst);
        store.blocking.store(false, Ordering::SeqCst);
        let fatal = tokio::time::timeout(Duration::from_secs(20), desk.node.fatal.wait()).await;
        assert_eq!(fatal.expect("reported"), "shard 0 of board 'test'");
        let drained = desk.node.drain(Close::GOING_AWAY);
        tokio::time::timeout(Duration::from_secs(20), drained).await.expect("it drains");
        // Behind what shard 0 had announced before.
        while other.frame().await.len() == 8 {}
    });
}

#[test]
fn a_check_reaches_the_store_with_the_user_its_player_was_when_it_asked() {
    let store = TestStore::new(1000, 1, FREELY);
    run(roomy(Duration::ZERO), &store, async |desk| {
        let user = |number| UserId::new(number).expect("a legal number");
        let (player, seat) = somebody();
        let mut client = Client::connect_as(&desk, Version::Plain, (player, seat)).await;
        client.send(&[1]).await;
        assert_eq!(client.ids(1).await, [1]);
        for (id, number) in [(2, 7), (3, 7), (4, 8)] {
            client.1.player().set_user(Some(user(number)));
            client.send(&[id]).await;
            assert_eq!(client.ids(1).await, [id]);
        }
        client.1.player().set_user(None);
        client.send(&[5]).await;
        assert_eq!(client.ids(1).await, [5]);
        let shares = store.shares.lock().expect("unpoisoned").clone();
        let expected = [7, 7, 8].map(|number| Share { user: user(number), boxes: 1 });
        assert_eq!(shares, expected, "one for each check of a user, none for the others");
    });
}
