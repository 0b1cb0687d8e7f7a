//! The channels against a real Redis Cluster.

use std::sync::atomic::{AtomicU32, Ordering};

use actors::channels::KEPT_MS;
use redis::cluster_async::ClusterConnection;

use super::*;
use crate::store::{
    channels_contract::{draft, next, user},
    cluster::tests::{access_to, cluster},
};

/// A name of a board that no other test uses.
fn own_board() -> String {
    static BOARDS: AtomicU32 = AtomicU32::new(0);
    format!("talk-{}", BOARDS.fetch_add(1, Ordering::Relaxed))
}

/// The channels of a node of this board, once it hears everything.
async fn channels_of(board: &str) -> Arc<RedisChannels> {
    let channels = Arc::new(RedisChannels::new(access_to(cluster()), board));
    tokio::spawn(channels.run());
    channels.until_heard().await;
    channels
}

async fn own() -> Arc<dyn Channels> {
    channels_of(&own_board()).await
}

crate::channels_contract_tests!(own());

async fn redis() -> ClusterConnection {
    let client = access_to(cluster()).cluster().expect("a client");
    client.get_async_connection().await.expect("a connection")
}

#[tokio::test]
async fn every_node_hears_what_any_has_published() {
    let board = own_board();
    let (one, other) = tokio::join!(channels_of(&board), channels_of(&board));
    let mut heard = [one.listen(), other.listen()];
    for (id, from) in [&one, &other, &one].into_iter().enumerate() {
        let group = Group::Room(id as u64);
        let published = from.publish(draft(group, "x", "y")).await.expect("it is there");
        for heard in &mut heard {
            let message = next(heard).await;
            assert_eq!((message.group, message.position), (group, published.position));
        }
    }
}

#[tokio::test]
async fn who_is_present_is_known_to_every_node_and_forgotten_with_its_node() {
    let board = own_board();
    let (one, other) = tokio::join!(channels_of(&board), channels_of(&board));
    let (group, mut heard) = (Group::Team(9), other.listen());
    let present = one.present(group, vec![user(2), user(1), user(2)]).await;
    assert_eq!(present.expect("it is there"), [user(1), user(2)]);
    let changed = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Heard::Presence(changed) = heard.recv().await.expect("it lasts") {
                return changed;
            }
        }
    });
    assert_eq!(changed.await.expect("in time"), group);
    let present = other.present(group, vec![user(2), user(3)]).await.expect("it is there");
    assert_eq!(present, [user(1), user(2), user(3)]);
    assert_eq!(one.present(group, vec![]).await.expect("it is there"), [user(2), user(3)]);
    // As if what that node has said were over.
    let (_, part) = one.0.part(group);
    let key = part.key("present", group);
    let said: Vec<String> =
        redis::cmd("HVALS").arg(&key).query_async(&mut redis().await).await.expect("a hash");
    let (_, those) = said[0].split_once(' ').expect("until when, and whom");
    let over = format!("1 {those}");
    let _: () = redis::cmd("HSET")
        .arg(&key)
        .arg(&other.0.name)
        .arg(&over)
        .query_async(&mut redis().await)
        .await
        .expect("written");
    assert_eq!(one.present(group, vec![user(4)]).await.expect("it is there"), [user(4)]);
}

/// What a failover does that loses the last writes.
async fn take_back(channels: &RedisChannels, group: Group, messages: u64) {
    let (_, part) = channels.0.part(group);
    let mut redis = redis().await;
    let by = -i64::try_from(messages).expect("few");
    for (key, field) in [(part.state.clone(), "count"), (part.key("group", group), "last")] {
        let _: i64 = redis::cmd("HINCRBY")
            .arg(&key)
            .arg(field)
            .arg(by)
            .query_async(&mut redis)
            .await
            .expect("a number");
    }
}

#[tokio::test]
async fn a_node_that_has_seen_more_than_there_is_has_the_numbering_begin_again() {
    let channels = channels_of(&own_board()).await;
    let group = Group::Room(1);
    let mut places = Vec::new();
    for id in ["a", "b", "c"] {
        let published = channels.publish(draft(group, id, id)).await.expect("it is there");
        places.push(published.position);
    }
    take_back(&channels, group, 1).await;
    let next = channels.publish(draft(group, "d", "d")).await.expect("it is there").position;
    assert!(next.offset == 1 && next.epoch != places[2].epoch, "no place is given twice: {next:?}");
    let history = channels.history(group, Some(places[1])).await.expect("it is there");
    assert_eq!((history.last, history.is_complete, history.messages.len()), (next, false, 1));
}

/// A failover took back a message that one node has heard, and another message has its offset and count by the time that
/// this node looks: its members have heard the one, those of the other node the other.
#[tokio::test]
async fn offsets_that_were_given_twice_never_go_on_however_far_they_have_come() {
    let board = own_board();
    let (one, other) = tokio::join!(channels_of(&board), channels_of(&board));
    let group = Group::Room(1);
    let (number, part) = one.0.part(group);
    let mut heard = [one.listen(), other.listen()];
    let first = one.publish(draft(group, "a", "a")).await.expect("it is there").position;
    let keys = [&part.state, &part.links, &part.key("group", group), &part.key("kept", group)];
    let replica = dump(&keys).await;
    one.publish(draft(group, "b", "b")).await.expect("it is there");
    for heard in &mut heard {
        for expected in ["a", "b"] {
            assert_eq!(&next(heard).await.payload[..], expected.as_bytes());
        }
    }
    restore(&keys, &replica).await;
    // A node that has seen none of this writes on, while nobody else listens.
    let third = RedisChannels::new(access_to(cluster()), &board);
    for (id, offset) in [("c", 2), ("d", 3)] {
        let place = third.publish(draft(group, id, id)).await.expect("it is there").position;
        if place.epoch != first.epoch {
            // A look of the others was faster.
            break;
        }
        assert_eq!(place.offset, offset);
    }
    let history = one.history(group, Some(first)).await.expect("it is there");
    assert_ne!(history.last.epoch, first.epoch, "the numbering began again");
    assert!(!history.is_complete);
    for heard in &mut heard {
        let missed = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Heard::Missed(part) = heard.recv().await.expect("it lasts") {
                    return part;
                }
            }
        });
        assert_eq!(missed.await.expect("in time"), number, "and every node reads that");
    }
}

/// Keys as a replica may have them.
async fn dump(keys: &[&String]) -> Vec<Vec<u8>> {
    let (mut redis, mut values) = (redis().await, Vec::new());
    for key in keys {
        let value = redis::cmd("DUMP").arg(key).query_async(&mut redis).await;
        values.push(value.expect("it is there"));
    }
    values
}

/// All of them at a time, as when that replica takes over.
async fn restore(keys: &[&String], values: &[Vec<u8>]) {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for (key, value) in keys.iter().zip(values) {
        pipeline.cmd("RESTORE").arg(key).arg(0).arg(value).arg("REPLACE").ignore();
    }
    let _: () = pipeline.query_async(&mut redis().await).await.expect("written");
}

#[tokio::test]
async fn a_node_that_has_missed_something_is_told_so() {
    let board = own_board();
    let (one, other) = tokio::join!(channels_of(&board), channels_of(&board));
    let group = Group::Room(1);
    one.publish(draft(group, "a", "a")).await.expect("it is there");
    let mut heard = other.listen();
    // Published, and sent to nobody.
    let (number, part) = one.0.part(group);
    let mut pipeline = redis::pipe();
    pipeline.hincr(&part.state, "count", 1).ignore();
    pipeline.hset(&part.state, "link", "cafe").ignore();
    pipeline.rpush(&part.links, "cafe").ignore();
    let _: () = pipeline.query_async(&mut redis().await).await.expect("written");
    let missed = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Heard::Missed(missed) = heard.recv().await.expect("it lasts") {
                return missed;
            }
        }
    });
    assert_eq!(missed.await.expect("in time"), number);
}

#[tokio::test]
async fn nothing_is_kept_for_ever() {
    let channels = channels_of(&own_board()).await;
    let group = Group::Room(1);
    channels.publish(draft(group, "a", "a")).await.expect("it is there");
    channels.present(group, vec![user(1)]).await.expect("it is there");
    let (_, part) = channels.0.part(group);
    let known = format!("{}:{}:a", part.key("known", group), user(1));
    for (key, longest) in [
        (part.key("kept", group), KEPT_MS),
        (known, KEPT_MS),
        (part.key("present", group), PRESENT_MS),
        (part.key("group", group), 7 * 86_400_000),
    ] {
        let left: i64 =
            redis::cmd("PTTL").arg(&key).query_async(&mut redis().await).await.expect("a number");
        assert!((1..=longest as i64).contains(&left), "{key}: {left}");
    }
}
