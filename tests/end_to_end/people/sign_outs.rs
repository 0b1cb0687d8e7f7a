//! Signing out, here and everywhere: what a kept copy of a cookie is worth after that, and what becomes of connections.

use std::time::{Duration, Instant};

use serde_json::json;

use xtask::mariadb::MariaDb;

use crate::harness::{
    client::{Client, Told},
    cluster::shared,
    eventually,
    person::Person,
    server::{Server, Setup},
    within,
};

/// A connection hears that its user has signed out.
const SIGNED_OUT: (u16, &str) = (1008, "signed out");

/// Somebody, once the server takes identities: it has read then what was revoked.
pub fn knows(server: &Server) -> Person {
    let mut somebody = Person::new(server.address);
    somebody.user();
    eventually("it has read what was revoked", || {
        (somebody.post("/me", &json!({})).status == 200).then_some(())
    });
    somebody
}

/// The next word of a connection that is not about the board.
fn ended(socket: &mut Client) -> (u16, String) {
    loop {
        match socket.any() {
            Told::Closed(code, reason) => return (code, reason),
            Told::Cut => panic!("cut without a Close"),
            _ => {}
        }
    }
}

#[test]
fn a_cookie_that_was_signed_out_is_nobodys_however_often_it_comes_again() {
    let setup = Setup::new(1000, 1);
    let mut server = setup.start();
    let mut alice = knows(&server);
    let user = alice.user();
    let (mut copy, mut socket) = (alice.clone(), alice.connect("/ws"));
    let bystander = knows(&server);
    let mut other_socket = bystander.connect("/ws");
    let answer = alice.post("/me/logout", &json!({}));
    assert_eq!((answer.status, alice.cookie.clone()), (204, None), "{answer:?}");
    assert_eq!(ended(&mut socket), (SIGNED_OUT.0, SIGNED_OUT.1.to_owned()));
    assert_ne!(copy.clone().user(), user, "somebody new");
    other_socket.check(7);
    assert_eq!(other_socket.next(), Told::Update { total: 1, id: 7 }, "others go on");
    // What was revoked survives the server.
    server.kill();
    let server = setup.start();
    let mut somebody = knows(&server);
    assert_ne!(somebody.user(), user);
    copy.to = server.address;
    assert_ne!(copy.user(), user);
    let answer = Person::new(server.address).post("/me/logout", &json!({ "everywhere": true }));
    assert_eq!(answer.status, 204, "nobody signs out");
}

#[test]
fn signing_out_everywhere_ends_all_sign_ins_on_all_nodes_within_a_second() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mariadb = MariaDb::start(folder.path()).expect("MariaDB starts");
    mariadb.create("people").expect("room");
    let setup = || {
        let setup = Setup::on(shared(), "sign-outs", 1000, 1);
        setup.with("DATABASE__URL", mariadb.url("people"))
    };
    let (one, other) = (setup().start(), setup().start());
    let mut alice = knows(&one);
    let user = alice.user();
    knows(&other);
    let mut elsewhere = Person { to: other.address, ..alice.clone() };
    assert_eq!(elsewhere.user(), user, "one key for both");
    let mut sockets = [alice.connect("/ws"), elsewhere.connect("/ws")];
    let began = Instant::now();
    let answer = alice.post("/me/logout", &json!({ "everywhere": true }));
    assert_eq!(answer.status, 204, "{answer:?}");
    for socket in &mut sockets {
        assert_eq!(ended(socket), (SIGNED_OUT.0, SIGNED_OUT.1.to_owned()));
    }
    // By the bus at once; by SQL within half a second and what a busy machine adds.
    within(Duration::from_secs(5), "the other node knows", || {
        (elsewhere.clone().user() != user).then_some(())
    });
    println!("both nodes knew after {:?}", began.elapsed());
}

#[test]
fn without_the_database_nobody_signs_out_and_rights_stay_as_they_were() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mariadb = MariaDb::start(folder.path()).expect("MariaDB starts");
    mariadb.create("people").expect("room");
    let setup = Setup::new(1000, 1).with("DATABASE__URL", mariadb.url("people"));
    let mut server = setup.start();
    let (mut alice, mut bob) = (knows(&server), knows(&server));
    let user = alice.user();
    let mut old = bob.clone();
    let gone = bob.user();
    assert_eq!(bob.post("/me/logout", &json!({})).status, 204);
    mariadb.kill();
    assert_eq!(alice.user(), user, "she is who she was");
    assert_ne!(old.clone().user(), gone, "and he is nobody");
    let answer = eventually("it is found to be away", || {
        let answer = alice.clone().post("/me/logout", &json!({}));
        (answer.status == 503).then_some(answer)
    });
    assert!(answer.head.contains("retry-after:"), "{answer:?}");
    let mut socket = alice.connect("/ws");
    socket.check(7);
    assert_eq!(socket.next(), Told::Update { total: 1, id: 7 }, "the board plays on");
    // A node that starts meanwhile knows nothing, and takes nobody for signed in.
    server.kill();
    let server = setup.start();
    for person in [&mut alice, &mut old] {
        person.to = server.address;
        let answer = person.clone().post("/me", &json!({}));
        assert_eq!((answer.status, answer.cookies.len()), (503, 0), "{answer:?}");
    }
    let mut socket = alice.connect("/ws");
    socket.check(8);
    assert_eq!(socket.next(), Told::Update { total: 2, id: 8 }, "as anybody");
    mariadb.start_again().expect("MariaDB starts again");
    eventually("she is known again", || {
        let answer = alice.clone().post("/me", &json!({}));
        (answer.status == 200).then_some(())
    });
    assert_eq!(alice.user(), user);
    assert_ne!(old.user(), gone);
}
