//! Players on one node and on several, over real sockets, with the channels of one node and with those in Redis.

mod failures;
mod stage;

use std::sync::Arc;

use actors::channels::{Draft, Group};
use serde_json::{Value, json};

use self::stage::{Stage, TEAM, on_stage, room, user};
use crate::store::embedded::channels::LocalChannels;

#[test]
fn what_cannot_be_heard_is_answered_and_changes_nothing() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let mut nobody = site.connect(None).await;
        for kind in ["message", "join", "leave", "recover"] {
            nobody.say(&json!({ "type": kind, "id": kind, "to": room(1) })).await;
            let answer = nobody.text().await;
            assert_eq!(answer["type"], "error");
            let data = &answer["data"];
            assert_eq!((&data["code"], &data["of"]), (&json!("not_identified"), &json!(kind)));
        }
        let mut somebody = site.connect(Some(1)).await;
        for (said, code) in [
            (json!([]), "bad_json"),
            (json!({ "type": "sing" }), "unknown_type"),
            (json!({ "type": "message", "to": "conn:00000000-1" }), "bad_address"),
            (json!({ "type": "message", "to": "tile:3" }), "forbidden"),
            (json!({ "type": "join", "to": "tile:3" }), "bad_address"),
            (json!({ "type": "join", "to": "room:00000000000000ff" }), "forbidden"),
            (json!({ "type": "message", "to": "room:00000000000000ff" }), "forbidden"),
            (json!({ "type": "recover", "to": "room:00000000000000ff" }), "forbidden"),
            (json!({ "type": "recover", "to": format!("user:{}", user(2)) }), "forbidden"),
        ] {
            somebody.say(&said).await;
            assert_eq!(somebody.text().await["data"]["code"], code, "{said}");
        }
        let count = site.talks.stats.refused.get_or_create(&[("code", "forbidden")]).get();
        assert_eq!(count, 5);
        assert!(!site.node.interest.is_held(Group::Room(0xff)));
    });
}

#[test]
fn from_and_timestamp_are_the_servers() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let (mut one, mut two) = (site.connect(Some(1)).await, site.connect(Some(2)).await);
        two.join(room(1)).await;
        let lie = json!({
            "type": "message", "id": "a", "to": room(1), "data": { "text": "hi" },
            "from": "operator", "timestamp": 5, "offset": 7, "epoch": "00000000000000aa",
        });
        one.say(&lie).await;
        let (sent, heard) = (one.text().await, two.text().await);
        assert_eq!(
            (&heard["from"], &heard["id"]),
            (&json!(format!("user:{}", user(1))), &json!("a"))
        );
        assert!(heard["timestamp"].as_u64().expect("a number") > 1_700_000_000_000);
        assert_eq!((&heard["offset"], &heard["epoch"]), (&json!(1), &sent["data"]["epoch"]));
        assert_eq!(sent["data"]["of"], "a");
        assert_eq!(heard["data"], json!({ "text": "hi" }));
        // Said again, it is the same message.
        one.say(&lie).await;
        let again = one.text().await;
        assert_eq!(
            (&again["data"]["duplicate"], &again["data"]["offset"]),
            (&json!(true), &json!(1))
        );
        one.message(room(1), "b").await;
        assert_eq!(two.text().await["id"], "b", "and was delivered once");
    });
}

#[test]
fn members_on_all_nodes_hear_all_messages_once_and_in_order() {
    on_stage(async |stage: Stage| {
        let sites = [stage.site().await, stage.site().await];
        let mut members = Vec::new();
        for number in 0..6 {
            let mut member = sites[number % 2].connect(Some(number as u64 + 1)).await;
            member.join(room(1)).await;
            members.push(member);
        }
        let mut outside = sites[0].connect(Some(9)).await;
        outside.join(room(2)).await;
        let mut writers = [sites[0].connect(Some(21)).await, sites[1].connect(Some(22)).await];
        for number in 0..60 {
            writers[number % 2].message(room(1), &format!("m{number}")).await;
        }
        for member in &mut members {
            for number in 0..60 {
                let heard = member.text().await;
                assert_eq!(heard["id"], format!("m{number}"));
                assert_eq!(heard["offset"], number + 1);
            }
        }
        writers[0].message(room(2), "elsewhere").await;
        assert_eq!(outside.text().await["id"], "elsewhere", "the first that it hears");
    });
}

#[test]
fn who_was_away_recovers_what_it_missed() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let mut writer = site.connect(Some(1)).await;
        let mut member = site.connect(Some(2)).await;
        let joined = member.join(room(1)).await;
        for id in ["a", "b"] {
            writer.message(room(1), id).await;
            assert_eq!(member.text().await["id"], id);
        }
        drop(member);
        for id in ["c", "d", "e"] {
            writer.message(room(1), id).await;
        }
        let epoch = joined["data"]["epoch"].clone();
        let place = json!({ "offset": 2, "epoch": epoch });
        let mut back = site.connect(Some(2)).await;
        back.say(&json!({ "type": "join", "to": room(1), "data": { "recover": place } })).await;
        for id in ["c", "d", "e"] {
            assert_eq!(back.text().await["id"], id);
        }
        let recovered = back.text().await;
        assert_eq!((&recovered["type"], &recovered["to"]), (&json!("recovered"), &json!(room(1))));
        let expected = json!({ "recovered": true, "messages": 3, "offset": 5, "epoch": epoch });
        assert_eq!(recovered["data"], expected);
        let joined = back.text().await;
        assert_eq!((&joined["type"], &joined["data"]["offset"]), (&json!("joined"), &json!(5)));
        writer.message(room(1), "f").await;
        assert_eq!(back.text().await["offset"], 6, "and hears what comes after it");
        for (place, messages) in [
            (json!({ "offset": 4, "epoch": epoch }), 2),
            (json!({}), 6),
            (json!({ "offset": 6, "epoch": epoch }), 0),
        ] {
            back.say(&json!({ "type": "recover", "to": room(1), "data": place })).await;
            for _ in 0..messages {
                assert_eq!(back.text().await["type"], "message");
            }
            let data = back.text().await["data"].take();
            assert_eq!((&data["recovered"], &data["messages"]), (&json!(true), &json!(messages)));
        }
    });
}

#[test]
fn what_cannot_be_recovered_is_said_to_be_so() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let (mut writer, mut member) = (site.connect(Some(1)).await, site.connect(Some(2)).await);
        let joined = member.join(room(1)).await;
        for number in 0..102 {
            writer.message(room(1), &format!("m{number}")).await;
        }
        let epoch = joined["data"]["epoch"].clone();
        let mut back = site.connect(Some(2)).await;
        for place in [
            json!({ "offset": 1, "epoch": epoch }),
            json!({ "offset": 5, "epoch": "00000000000000aa" }),
            json!({ "offset": 103, "epoch": epoch }),
        ] {
            let join = json!({ "type": "join", "to": room(1), "data": { "recover": place } });
            back.say(&join).await;
            let recovered = back.text().await;
            let expected =
                json!({ "recovered": false, "messages": 0, "offset": 102, "epoch": epoch });
            assert_eq!(recovered["data"], expected, "{place}");
            assert_eq!(back.text().await["type"], "joined", "it has joined all the same");
        }
    });
}

#[test]
fn a_message_to_a_user_comes_to_all_of_its_connections_and_to_nobody_else() {
    on_stage(async |stage: Stage| {
        let sites = [stage.site().await, stage.site().await];
        let mut to = [sites[0].connect(Some(2)).await, sites[1].connect(Some(2)).await];
        let (mut one, mut three) =
            (sites[0].connect(Some(1)).await, sites[1].connect(Some(3)).await);
        let address = format!("user:{}", user(2));
        one.message(&address, "a").await;
        for to in &mut to {
            let heard = to.text().await;
            assert_eq!((&heard["id"], &heard["to"]), (&json!("a"), &json!(address)));
        }
        to[0].say(&json!({ "type": "recover", "to": address })).await;
        assert_eq!(to[0].text().await["id"], "a");
        three.say(&json!({ "type": "sing" })).await;
        assert_eq!(three.text().await["type"], "error", "the first that it hears");
    });
}

#[test]
fn who_leaves_or_is_expelled_hears_no_more() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let (mut one, mut two) = (site.connect(Some(1)).await, site.connect(Some(2)).await);
        let mut writer = site.connect(Some(3)).await;
        one.join(room(1)).await;
        two.join(room(1)).await;
        one.say(&json!({ "type": "leave", "to": room(1) })).await;
        assert_eq!(one.text().await["type"], "left");
        writer.message(room(1), "a").await;
        assert_eq!(two.text().await["id"], "a");
        site.talks.expel(&site.node, user(2), Group::Room(1));
        assert_eq!(two.text().await["type"], "left");
        writer.message(room(1), "b").await;
        for client in [&mut one, &mut two] {
            client.say(&json!({ "type": "sing" })).await;
            assert_eq!(client.text().await["type"], "error", "the first that it hears");
        }
        stage::eventually("nobody follows it", || !site.node.interest.is_held(Group::Room(1)))
            .await;
    });
}

#[test]
fn who_comes_and_goes_is_seen_on_all_nodes() {
    on_stage(async |stage: Stage| {
        // Of one node, because these channels know of no other: those in Redis do.
        let site = stage.site().await;
        let mut watcher = site.connect(Some(1)).await;
        watcher.say(&json!({ "type": "join", "to": TEAM, "data": { "presence": true } })).await;
        assert_eq!(watcher.text().await["type"], "joined");
        let state = watcher.text().await;
        assert_eq!((&state["type"], &state["to"]), (&json!("presence_state"), &json!(TEAM)));
        let one = json!(format!("user:{}", user(1)));
        assert_eq!(state["data"], json!({ "members": [one], "count": 1 }));
        let mut other = site.connect(Some(2)).await;
        other.join(TEAM).await;
        let two = json!(format!("user:{}", user(2)));
        let diff = watcher.text().await;
        assert_eq!(diff["type"], "presence_diff");
        assert_eq!(diff["data"], json!({ "joins": [two], "leaves": [], "count": 2 }));
        let mut again = site.connect(Some(2)).await;
        again.join(TEAM).await;
        drop(other);
        drop(again);
        let diff = watcher.text().await;
        assert_eq!(diff["data"], json!({ "joins": [], "leaves": [two], "count": 1 }));
    });
}

#[test]
fn nobody_is_in_more_groups_than_allowed() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let mut client = site.connect(Some(1)).await;
        for number in 0..actors::talk::GROUPS_MAX as u64 {
            client.join(&room_of(number)).await;
        }
        client.say(&json!({ "type": "join", "to": room_of(200) })).await;
        assert_eq!(client.text().await["data"]["code"], "too_many_groups");
        client.join(&room_of(0)).await;
        client.say(&json!({ "type": "leave", "to": room_of(3) })).await;
        assert_eq!(client.text().await["type"], "left");
        client.join(&room_of(200)).await;
    });
}

fn room_of(number: u64) -> String {
    format!("room:{number:016x}")
}

/// A listener that is too far behind loses what it has not heard: it is read.
#[test]
fn a_node_that_has_fallen_behind_catches_up() {
    on_stage(async |stage: Stage| {
        let site = stage.site().await;
        let mut member = site.connect(Some(1)).await;
        member.join(room(1)).await;
        // More than fit into what waits for a node that is not given the time to listen.
        for number in 0..5000_u64 {
            let group = if number % 100 == 0 { Group::Room(1) } else { Group::Room(2) };
            let payload = super::envelope::payload(
                &number.to_string(),
                user(9),
                None,
                group,
                &serde_json::Map::new(),
            );
            let draft = Draft { group, sender: user(9), id: number.to_string(), payload };
            // Not awaited beyond its first step, which is all there is: nobody else runs in between.
            stage.channels.publish(draft).await.expect("it is there");
        }
        for offset in 1..=50 {
            assert_eq!(member.text().await["offset"], offset);
        }
        assert!(site.talks.stats.caught_up.get() > 0, "some of it was read");
    });
}

/// The channels of one node, which several share here.
fn local() -> Arc<LocalChannels> {
    Arc::new(LocalChannels::default())
}

/// Type and data of an envelope, in short.
fn kind(envelope: &Value) -> &str {
    envelope["type"].as_str().expect("a type")
}
