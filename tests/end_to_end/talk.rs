//! What players say to each other in text, over real sockets: on one node, and on two that share a Redis Cluster.

use serde_json::{Value, json};

use crate::harness::{
    client::{Client, Told},
    cluster::shared,
    eventually,
    person::{Person, at_tile, somebody},
    server::Setup,
};

/// Two tiles.
const BOXES: u32 = 200_000;

fn setup() -> Setup {
    Setup::new(BOXES, 2).with("PEOPLE__MESSAGES", "off")
}

fn message(to: &str, id: &str) -> Value {
    json!({ "type": "message", "id": id, "to": to, "data": { "text": id } })
}

/// Says something, and waits until it has its place; past what others say meanwhile, and itself.
fn send(client: &mut Client, to: &str, id: &str) -> Value {
    client.say(&message(to, id));
    loop {
        let answer = client.text();
        match answer["type"].as_str() {
            Some("sent") if answer["data"]["of"] == id => return answer["data"].clone(),
            Some("message") => {}
            _ => panic!("{id} has no place: {answer}"),
        }
    }
}

/// The next message that is heard.
fn hear(client: &mut Client) -> Value {
    loop {
        let heard = client.text();
        match heard["type"].as_str() {
            Some("message") => return heard,
            Some("sent") => {}
            _ => panic!("unexpected: {heard}"),
        }
    }
}

#[test]
fn players_who_look_at_one_tile_hear_each_other() {
    let server = setup().start();
    let (one, user) = somebody(&server);
    let (two, _) = somebody(&server);
    let (mut one, mut two) = (at_tile(&one), at_tile(&two));
    let mut elsewhere = server.client_v2();
    elsewhere.range(100_001, 200_000, &mut vec![]);
    let sent = send(&mut one, "tile:0", "a");
    let heard = hear(&mut two);
    assert_eq!((&heard["id"], &heard["to"]), (&json!("a"), &json!("tile:0")));
    assert_eq!(heard["from"], format!("user:{user}"));
    assert_eq!((&heard["offset"], &heard["epoch"]), (&sent["offset"], &sent["epoch"]));
    for id in ["b", "c"] {
        two.say(&message("tile:0", id));
    }
    // Its own, too, and each of them before the answer or after it.
    let (sent, heard): (Vec<_>, Vec<_>) =
        (0..4).map(|_| two.text()).partition(|said| said["type"] == "sent");
    let offsets = heard.iter().map(|heard| heard["offset"].clone()).collect::<Vec<_>>();
    assert_eq!(offsets, [json!(2), json!(3)]);
    let answers = sent.iter().map(|sent| sent["data"]["of"].clone()).collect::<Vec<_>>();
    assert_eq!(answers, [json!("b"), json!("c")]);
    two.say(&message("tile:1", "d"));
    assert_eq!(two.text()["data"]["code"], "forbidden", "nobody looks there from here");
    // It looks on, and hears no text.
    one.check(150_000);
    assert!(matches!(elsewhere.next(), Told::Update { id: 150_000, .. }));
    assert_eq!(server.metric("billion_messages_published_total{to=\"tile\"}"), 3.);
    // A thread counts what it has delivered after it has written it.
    let delivered = || server.metric("billion_messages_delivered_total") == 6.;
    eventually("both to have three messages", || delivered().then_some(()));
}

#[test]
fn what_cannot_be_done_is_answered_and_the_connection_plays_on() {
    let server = setup().start();
    let (person, _) = somebody(&server);
    let mut nobody = server.client_v2();
    nobody.say(&message("tile:0", "a"));
    let refused = nobody.text();
    assert_eq!((&refused["type"], &refused["from"]), (&json!("error"), &json!("server")));
    assert_eq!(refused["data"]["code"], "not_identified");
    let mut client = person.connect("/ws?v=2");
    for (said, code) in [
        (json!(7), "bad_json"),
        (json!({ "type": [] }), "bad_envelope"),
        (json!({ "type": "sing", "id": "x" }), "unknown_type"),
        (json!({ "type": "join", "to": "moon:1" }), "bad_address"),
        (json!({ "type": "join", "to": "room:0123456789abcdef" }), "forbidden"),
        (json!({ "type": "message", "to": "team:0123456789abcdef" }), "forbidden"),
    ] {
        client.say(&said);
        let answer = client.text();
        assert_eq!(answer["data"]["code"], code, "{said}: {answer}");
        assert_eq!(answer["data"]["of"], said.get("id").cloned().unwrap_or(Value::Null));
    }
    client.check(7);
    assert!(matches!(client.next(), Told::Update { id: 7, .. }));
}

#[test]
fn text_ends_a_connection_where_the_protocol_says_so() {
    let server = setup().start();
    let mut plain = server.client();
    plain.say(&json!({ "type": "identify" }));
    assert_eq!(plain.closed(), (1003, "text not accepted".to_owned()));
    let long = "x".repeat(1024 - r#"{"a":""}"#.len());
    let mut client = server.client_v2();
    client.say(&json!({ "a": long }));
    assert_eq!(client.text()["data"]["code"], "bad_envelope", "1,024 bytes are read");
    client.say(&json!({ "a": format!("{long}x") }));
    assert_eq!(client.closed(), (1009, "message too big".to_owned()));
    let mut client = server.client_v2();
    client.send_raw(&[0x81, 0x81, 0, 0, 0, 0, 0xFF]);
    assert_eq!(client.closed(), (1007, "not UTF-8".to_owned()));
}

#[test]
fn text_over_its_rate_is_refused_and_boxes_are_checked_on() {
    let server = setup().with("PEOPLE__MESSAGES", "4-H burst 3").start();
    let (person, _) = somebody(&server);
    let mut client = at_tile(&person);
    for id in ["a", "b", "c"] {
        send(&mut client, "tile:0", id);
    }
    client.say(&message("tile:0", "d"));
    let refused = loop {
        let said = client.text();
        if said["type"] == "error" {
            break said["data"].clone();
        }
    };
    assert_eq!((&refused["code"], &refused["of"]), (&json!("rate"), &json!("d")));
    assert!(refused["retry_after_ms"].as_u64().expect("a time") > 60_000, "{refused}");
    client.check(7);
    // Its own last message may still be on its way.
    let next = loop {
        match client.next() {
            Told::Text(own) if own["type"] == "message" => {}
            next => break next,
        }
    };
    assert!(matches!(next, Told::Update { id: 7, .. }), "{next:?}");
}

#[test]
fn what_was_missed_is_recovered_and_what_is_sent_again_is_the_same() {
    let server = setup().start();
    let (one, _) = somebody(&server);
    let (two, _) = somebody(&server);
    let (mut writer, mut reader) = (at_tile(&one), at_tile(&two));
    let first = send(&mut writer, "tile:0", "a");
    assert_eq!(hear(&mut reader)["id"], "a");
    drop(reader);
    send(&mut writer, "tile:0", "b");
    // As if the answer had not come.
    let again = send(&mut writer, "tile:0", "b");
    assert_eq!((&again["duplicate"], &again["offset"]), (&json!(true), &json!(2)));
    send(&mut writer, "tile:0", "c");
    let mut back = at_tile(&two);
    let place = json!({ "offset": 1, "epoch": first["epoch"] });
    back.say(&json!({ "type": "recover", "to": "tile:0", "data": place }));
    let heard = [hear(&mut back), hear(&mut back)].map(|heard| heard["id"].clone());
    assert_eq!(heard, [json!("b"), json!("c")]);
    let recovered = back.text();
    assert_eq!(recovered["type"], "recovered");
    let data = &recovered["data"];
    assert_eq!(
        (&data["recovered"], &data["messages"], &data["offset"]),
        (&json!(true), &json!(2), &json!(3))
    );
    let unknown = json!({ "offset": 1, "epoch": "00000000000000aa" });
    back.say(&json!({ "type": "recover", "to": "tile:0", "data": unknown }));
    let data = back.text()["data"].take();
    assert_eq!((&data["recovered"], &data["messages"]), (&json!(false), &json!(0)));
}

#[test]
fn a_client_that_does_not_read_loses_messages_and_is_told_how_many() {
    const MESSAGES: u64 = 1500;
    let server = setup()
        .with("SESSION__OUTBOX_BYTES", 200_000)
        .with("SESSION__SEND_BUFFER_BYTES", 8192)
        .with("LIMITS__ADDRESS", "off")
        .start();
    let (one, _) = somebody(&server);
    let (two, _) = somebody(&server);
    let (mut writer, mut slow) = (at_tile(&one), at_tile(&two));
    let text = "x".repeat(800);
    for number in 0..MESSAGES {
        let data = json!({ "text": text });
        writer.say(&json!({ "type": "message", "to": "tile:0", "data": data }));
        let number = number + 1;
        // It hears its own, and is answered.
        let both = [writer.text(), writer.text()];
        assert!(both.iter().any(|said| said["offset"] == number), "{both:?}");
    }
    // The kernel may take some in between: then it is told more than once.
    let (mut at, mut lost) = (0, 0);
    while at + lost < MESSAGES {
        let said = slow.text();
        if said["type"] == "lost" {
            lost += said["data"]["messages"].as_u64().expect("a number");
            continue;
        }
        at += 1;
        assert_eq!(said["offset"], at + lost, "as many are missing as it was told, and there");
    }
    assert!(lost > 0, "all of it fits into the buffers");
    assert_eq!(server.metric("billion_messages_lost_total{reason=\"lagging\"}") as u64, lost);
    assert_eq!(server.metric("billion_lags_total") as u64, 0, "it has lost no box");
    send(&mut writer, "tile:0", "again");
    assert_eq!(hear(&mut slow)["id"], "again");
}

#[test]
fn a_message_comes_with_what_its_sender_is_called() {
    let server = setup().start();
    let (mut one, two) = (Person::new(server.address), somebody(&server).0);
    let registered = one.post("/me/register", &json!({ "name": "Ann", "password": "open sesame" }));
    assert_eq!(registered.status, 200, "{}", registered.body);
    let (mut ann, mut nobody) = (at_tile(&one), at_tile(&two));
    // Nobody is called what they say in their message.
    let lie = json!({ "text": "hi", "name": "Eve" });
    nobody.say(&json!({ "type": "message", "to": "tile:0", "data": lie, "name": "Eve" }));
    let heard = hear(&mut ann);
    assert_eq!((heard.get("name"), &heard["data"]["text"]), (None, &json!("hi")));
    let team = one.post("/teams", &json!({ "name": "Foxes", "colour": "#cc3311" }));
    assert_eq!(team.status, 200, "{}", team.body);
    send(&mut ann, "tile:0", "a");
    let heard = loop {
        let heard = hear(&mut nobody);
        if heard["id"] == "a" {
            break heard;
        }
    };
    assert_eq!((&heard["name"], &heard["colour"]), (&json!("Ann"), &json!("#cc3311")));
}

#[test]
fn listed_words_are_not_shown_and_the_list_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("words.txt");
    std::fs::write(&path, "heck\n").expect("room");
    let server = setup().with("PEOPLE__WORDS_FILE", path.display()).start();
    let (one, user) = somebody(&server);
    let (two, _) = somebody(&server);
    let (mut writer, mut reader) = (at_tile(&one), at_tile(&two));
    let mut shown = |to: &str, text: &str| {
        writer.say(&json!({ "type": "message", "to": to, "data": { "text": text } }));
        let listener = if to == "tile:0" { &mut reader } else { &mut writer };
        loop {
            // The writer hears its own in the place, too.
            let heard = hear(listener);
            if heard["to"] == to {
                break heard["data"]["text"].clone();
            }
        }
    };
    assert_eq!(shown("tile:0", "What the HECK, darn"), "What the ****, darn");
    assert_eq!(shown(&format!("user:{user}"), "heck"), "heck", "it is for one alone");
    std::fs::write(&path, "darn\n").expect("room");
    eventually("the list to be read again", || {
        server.log().contains("people.words_file: 1 word in force now").then_some(())
    });
    assert_eq!(shown("tile:0", "heck, darn"), "heck, ****");
    std::fs::write(&path, "two words\n").expect("room");
    eventually("the list to be refused", || {
        server.log().contains("line 1 is not one word").then_some(())
    });
    assert_eq!(shown("tile:0", "heck, darn"), "heck, ****", "it stays as it was");
}

#[test]
fn in_slow_mode_one_message_is_heard_in_each_place_and_the_next_one_later() {
    let server = setup().with("PEOPLE__SLOW_MODE_S", 3600).start();
    let (one, user) = somebody(&server);
    let mut client = at_tile(&one);
    send(&mut client, "tile:0", "a");
    let again = send(&mut client, "tile:0", "a");
    assert_eq!(again["duplicate"], json!(true), "the same is no second one");
    client.say(&message("tile:0", "b"));
    let refused = loop {
        let said = client.text();
        if said["type"] == "error" {
            break said["data"].clone();
        }
    };
    assert_eq!((&refused["code"], &refused["of"]), (&json!("rate"), &json!("b")));
    assert!(refused["retry_after_ms"].as_u64().expect("a time") > 3_500_000, "{refused}");
    for id in ["c", "d"] {
        send(&mut client, &format!("user:{user}"), id);
    }
}

#[test]
fn players_on_different_nodes_hear_each_other_and_a_killed_node_takes_nobody_along() {
    let node = || Setup::on(shared(), "talk", BOXES, 2).with("PEOPLE__MESSAGES", "off").start();
    let (first, mut second) = (node(), node());
    for node in [&first, &second] {
        eventually("it hears", || (node.metric("billion_talk_subscriptions") == 16.).then_some(()));
    }
    let (one, _) = somebody(&first);
    let (mut two, user) = somebody(&first);
    // The same cookie on the other node.
    two.to = second.address;
    assert_eq!(two.user(), user);
    let (mut one, mut two) = (at_tile(&one), at_tile(&two));
    for round in 0..20 {
        let (from, id) = (if round % 2 == 0 { &mut one } else { &mut two }, format!("m{round}"));
        let sent = send(from, "tile:0", &id);
        assert_eq!(sent["offset"], round + 1, "one order for all");
    }
    // What each has said itself, it has heard before it was told so, or after.
    send(&mut one, &format!("user:{user}"), "to-you");
    let to_you = loop {
        let heard = hear(&mut two);
        if heard["to"] != "tile:0" {
            break heard;
        }
    };
    assert_eq!(to_you["id"], "to-you");
    second.kill();
    send(&mut one, "tile:0", "alone");
    let third = node();
    let mut late = third.client_v2();
    late.say(&json!({ "type": "recover", "to": "tile:0" }));
    assert_eq!(late.text()["data"]["code"], "not_identified");
    one.say(&json!({ "type": "recover", "to": "tile:0" }));
    let recovered = loop {
        let said = one.text();
        if said["type"] == "recovered" {
            break said["data"].clone();
        }
    };
    assert_eq!((&recovered["messages"], &recovered["offset"]), (&json!(21), &json!(21)));
}
