//! Tickets: how a connection that is open already becomes somebody's.

use serde_json::{Value, json};

use crate::harness::{
    client::{Client, Told},
    person::Person,
    server::Setup,
};

/// The next envelope of a connection.
fn envelope(socket: &mut Client) -> Value {
    loop {
        match socket.any() {
            Told::Text(envelope) => return envelope,
            Told::Closed(code, reason) => panic!("closed: {code} {reason}"),
            Told::Cut => panic!("cut"),
            _ => {}
        }
    }
}

/// What a connection is answered to this.
fn ask(socket: &mut Client, data: &Value) -> Value {
    socket.say(&json!({ "type": "identify", "data": data }));
    envelope(socket)
}

/// A ticket of somebody for a connection.
fn ticket(person: &mut Person, connection: &str) -> String {
    let answer = person.post("/me", &json!({ "connection": connection }));
    assert_eq!(answer.status, 200, "{answer:?}");
    let me: Value = serde_json::from_str(&answer.body).expect("JSON");
    me["ticket"].as_str().expect("a ticket").to_owned()
}

#[test]
fn an_open_connection_becomes_its_owners_by_a_ticket_and_no_other_does() {
    let server = Setup::new(1000, 1).start();
    let mut alice = Person::new(server.address);
    let (mut hers, mut other) = (server.client_v2(), server.client_v2());
    let welcome = ask(&mut hers, &Value::Null);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    assert_eq!(welcome["data"]["user"], Value::Null);
    let connection = welcome["data"]["connection"].as_str().expect("an id").to_owned();
    let ticket = ticket(&mut alice, &connection);
    let user = alice.user();
    let refused = ask(&mut other, &json!({ "ticket": ticket }));
    assert_eq!(
        (&refused["type"], &refused["data"]["code"]),
        (&json!("error"), &json!("bad_ticket"))
    );
    for wrong in ["", "x", &ticket[1..], alice.cookie.as_deref().expect("hers")] {
        let refused = ask(&mut hers, &json!({ "ticket": wrong }));
        assert_eq!(refused["data"]["code"], "bad_ticket", "{wrong:?}: {refused}");
    }
    let welcome = ask(&mut hers, &json!({ "ticket": ticket }));
    assert_eq!((&welcome["type"], &welcome["data"]["user"]), (&json!("welcome"), &json!(user)));
    // A connection that begins with the cookie is hers from the start.
    let mut second = alice.connect("/ws?v=2");
    assert_eq!(ask(&mut second, &Value::Null)["data"]["user"], json!(user));
}

#[test]
fn a_ticket_of_somebody_who_has_signed_out_since_is_worth_nothing() {
    let server = Setup::new(1000, 1).start();
    let mut alice = Person::new(server.address);
    alice.user();
    let mut socket = server.client_v2();
    let welcome = ask(&mut socket, &Value::Null);
    let connection = welcome["data"]["connection"].as_str().expect("an id").to_owned();
    let ticket = crate::harness::eventually("it has read what was revoked", || {
        let known = alice.post("/me", &json!({})).status == 200;
        known.then(|| ticket(&mut alice, &connection))
    });
    assert_eq!(alice.post("/me/logout", &json!({})).status, 204);
    let refused = ask(&mut socket, &json!({ "ticket": ticket }));
    assert_eq!(refused["data"]["code"], "bad_ticket", "{refused}");
}
