//! What every implementation of the channels promises, as tests that any of them can run.

use std::{sync::Arc, time::Duration};

use actors::{
    channels::{Channels, Draft, Epoch, Group, Heard, KEPT_MESSAGES, Message, Position},
    player::UserId,
};
use bytes::Bytes;
use tokio::{sync::broadcast::Receiver, time::timeout};

/// Declares one test per promise; `$channels` makes channels that know of no group, ready to be listened to.
#[macro_export]
macro_rules! channels_contract_tests {
    ($channels:expr) => {
        $crate::channels_contract_tests!($channels;
            messages_of_a_group_have_offsets_without_gaps
            what_is_published_is_heard_in_order
            a_message_is_published_once
            what_is_kept_is_the_end
            what_came_after_a_position_is_read
            a_position_of_another_numbering_is_not_continued
            groups_have_nothing_in_common
            payloads_come_as_they_were_given
        );
    };
    ($channels:expr; $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::channels_contract::$name($channels.await).await;
        })*
    };
}

pub fn user(number: u64) -> UserId {
    UserId::new(number).expect("not 0")
}

pub fn draft(group: Group, id: &str, payload: &str) -> Draft {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Draft { group, sender: user(1), id: id.to_owned(), payload }
}

/// The next message that is heard, past whatever else is.
pub async fn next(heard: &mut Receiver<Heard>) -> Arc<Message> {
    let next = async {
        loop {
            if let Heard::Message(message) = heard.recv().await.expect("it lasts") {
                return message;
            }
        }
    };
    timeout(Duration::from_secs(30), next).await.expect("a message in time")
}

const GROUP: Group = Group::Room(0xabc);

async fn publish(channels: &dyn Channels, count: usize) -> Vec<Position> {
    let mut places = Vec::new();
    for id in 0..count {
        let published = channels.publish(draft(GROUP, &format!("m{id}"), &id.to_string())).await;
        places.push(published.expect("it is there").position);
    }
    places
}

pub async fn messages_of_a_group_have_offsets_without_gaps(channels: Arc<dyn Channels>) {
    let before = channels.history(GROUP, None).await.expect("it is there");
    assert_eq!((before.last.offset, before.messages.len(), before.is_complete), (0, 0, true));
    let places = publish(&*channels, 5).await;
    for (at, place) in places.iter().enumerate() {
        assert_eq!(*place, Position { offset: at as u64 + 1, ..before.last });
    }
    let after = channels.history(GROUP, Some(before.last)).await.expect("it is there");
    assert_eq!((after.last, after.is_complete), (places[4], true));
}

pub async fn what_is_published_is_heard_in_order(channels: Arc<dyn Channels>) {
    let mut heard = channels.listen();
    let places = publish(&*channels, 50).await;
    for place in places {
        assert_eq!(next(&mut heard).await.position, place);
    }
}

pub async fn a_message_is_published_once(channels: Arc<dyn Channels>) {
    let mut heard = channels.listen();
    let first = channels.publish(draft(GROUP, "same", "a")).await.expect("it is there");
    let again = channels.publish(draft(GROUP, "same", "b")).await.expect("it is there");
    assert_eq!(
        (again.position, first.is_duplicate, again.is_duplicate),
        (first.position, false, true)
    );
    let by_another = Draft { sender: user(2), ..draft(GROUP, "same", "c") };
    assert!(!channels.publish(by_another).await.expect("it is there").is_duplicate);
    let elsewhere = channels.publish(draft(Group::Room(1), "same", "d")).await;
    assert!(!elsewhere.expect("it is there").is_duplicate);
    let payloads = [next(&mut heard).await, next(&mut heard).await, next(&mut heard).await];
    let mut payloads = payloads.map(|message| message.payload.clone());
    // Groups of different parts may overtake each other.
    payloads.sort_unstable();
    assert_eq!(payloads, ["a", "c", "d"]);
}

pub async fn what_is_kept_is_the_end(channels: Arc<dyn Channels>) {
    let places = publish(&*channels, KEPT_MESSAGES + 7).await;
    let history = channels.history(GROUP, None).await.expect("it is there");
    assert!(!history.is_complete, "the first are gone");
    let kept: Vec<_> = history.messages.iter().map(|message| message.position).collect();
    assert_eq!(kept, places[7..]);
    let far_back = channels.history(GROUP, Some(places[5])).await.expect("it is there");
    assert!(!far_back.is_complete);
    let just = channels.history(GROUP, Some(places[6])).await.expect("it is there");
    assert!(just.is_complete && just.messages.len() == KEPT_MESSAGES);
}

pub async fn what_came_after_a_position_is_read(channels: Arc<dyn Channels>) {
    let places = publish(&*channels, 9).await;
    for (at, place) in places.iter().enumerate() {
        let history = channels.history(GROUP, Some(*place)).await.expect("it is there");
        let read: Vec<_> = history.messages.iter().map(|message| message.position).collect();
        assert_eq!((read, history.is_complete), (places[at + 1..].to_vec(), true));
        assert!(history.messages.iter().all(|message| message.group == GROUP && message.at_ms > 0));
    }
}

pub async fn a_position_of_another_numbering_is_not_continued(channels: Arc<dyn Channels>) {
    let places = publish(&*channels, 3).await;
    for wrong in [
        Position { epoch: Epoch(places[0].epoch.0 ^ 1), offset: 1 },
        Position { offset: 4, ..places[0] },
        Position { offset: u64::MAX, ..places[0] },
    ] {
        let history = channels.history(GROUP, Some(wrong)).await.expect("it is there");
        assert!(!history.is_complete, "{wrong:?}");
        assert_eq!(history.last, places[2]);
    }
}

pub async fn groups_have_nothing_in_common(channels: Arc<dyn Channels>) {
    publish(&*channels, 3).await;
    let last = channels.history(GROUP, None).await.expect("it is there").last;
    for other in [Group::Team(0xabc), Group::User(user(0xabc)), Group::Tile(3)] {
        let history = channels.history(other, None).await.expect("it is there");
        assert!(history.last.offset == 0 && history.last.epoch != last.epoch, "{other}");
    }
}

pub async fn payloads_come_as_they_were_given(channels: Arc<dyn Channels>) {
    let mut heard = channels.listen();
    for (id, payload) in ["", "\n", "a\nb \0 κόσμε", "1 2 3"].iter().enumerate() {
        channels.publish(draft(GROUP, &id.to_string(), payload)).await.expect("it is there");
        assert_eq!(next(&mut heard).await.payload, payload);
    }
    let history = channels.history(GROUP, None).await.expect("it is there");
    assert_eq!(history.messages[2].payload, "a\nb \0 κόσμε");
}
