//! A board that takes no checks: on one node, on three, over restarts, and for imports.

use std::{fs, time::Instant};

use serde_json::json;

use super::{audit, change};
use crate::harness::{
    client::Told,
    cluster::{self, wires::Wires},
    eventually,
    server::{Server, Setup, request},
};

const PATH: &str = "/board/read-only";

fn turn_on(server: &Server) {
    let (status, answer) = change(server, "POST", PATH, &json!({"reason": "upgrade"}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["read_only"], &answer["decision"]["by"]),
        (&json!(true), &json!("loopback"))
    );
}

fn turn_off(server: &Server) {
    let (status, answer) = change(server, "DELETE", PATH, &json!(null));
    assert_eq!((status, &answer["read_only"]), (200, &json!(false)), "{answer}");
}

/// Whether a check on a connection of its own is acknowledged; if not, it is refused as read-only.
fn takes_checks(server: &Server, id: u32) -> bool {
    let mut client = server.client_v2();
    client.check(id);
    match client.next() {
        Told::Update { id: told, .. } => assert_eq!(told, id),
        Told::Refused { id: told, reason } => {
            assert_eq!((told, reason), (id, 3));
            return false;
        }
        other => panic!("{other:?}"),
    }
    true
}

#[test]
fn a_read_only_board_refuses_checks_and_imports_and_stays_so_over_a_crash() {
    let setup = Setup::new(1000, 2);
    let mut server = setup.start();
    assert!(takes_checks(&server, 7));
    let copy = setup.folder().join("copy.bxb").display().to_string();
    let from = format!("http://{}", server.admin);
    let ran = Setup::bare().run(&["export", "--from", &from, &copy]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    turn_on(&server);
    assert!(!takes_checks(&server, 8));
    assert_eq!(server.client().range(1, 1000, &mut vec![]), [7], "reading goes on");
    let ran = Setup::bare().run(&["import", "--to", &from, &copy]);
    assert!(ran.code == Some(1) && ran.said.contains("read-only"), "{}", ran.said);
    let shown = setup.run(&["admin", "read-only", "show", "--from", &from]);
    assert!(shown.printed().contains("read-only, by loopback: upgrade"), "{}", shown.printed());
    assert_eq!(audit(&server), ["board.read_only"]);

    server.kill();
    let server = setup.start();
    assert!(!takes_checks(&server, 8), "before it has served anybody");
    assert_eq!(audit(&server), ["board.read_only"], "the line was written before the change");
    let from = format!("http://{}", server.admin);
    let ran = setup.run(&["admin", "read-only", "off", "--from", &from]);
    assert_eq!((ran.code, ran.printed()), (Some(0), "the board takes checks\n"), "{}", ran.said);
    assert!(takes_checks(&server, 8));
    assert_eq!(audit(&server), ["board.read_only", "board.writable"]);
}

/// What was acknowledged before the answer is kept, and nothing is acknowledged after it.
#[test]
fn after_the_answer_no_check_is_acknowledged() {
    let server = Setup::new(100_000, 4).start();
    let mut client = server.client();
    for id in 1..=20_000 {
        client.check(id);
    }
    turn_on(&server);
    let answered = server.metric("billion_announced_boxes");
    // All of those may have been in time. If one was not, the connection has its Close by now.
    client.try_check(20_001);
    let mut seen = 0;
    let close = loop {
        match client.next() {
            Told::Update { total, .. } => seen = total,
            Told::Closed(code, reason) => break (code, reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(close, (1008, "read-only board".to_owned()));
    assert!(f64::from(seen) <= answered, "{seen} were told, {answered} at the time of the answer");
    assert_eq!(server.metric("billion_announced_boxes"), answered);
}

#[test]
fn a_change_that_cannot_be_written_down_is_not_made() {
    let setup = Setup::new(1000, 1);
    let setup = setup.with("ADMIN__AUDIT_FILE", "/proc/nothing/audit.jsonl");
    let server = setup.start();
    let (status, problem) = change(&server, "POST", PATH, &json!({}));
    assert_eq!(status, 507, "{problem}");
    assert!(takes_checks(&server, 7));
    // What is decided cannot be kept: a folder has its file's name.
    let kept = Setup::new(1000, 1);
    let server = kept.start();
    let file = kept.folder().join("data/main.kept.json");
    fs::remove_file(&file).expect("the key that seals identities is kept from the start");
    fs::create_dir(&file).expect("room");
    let (status, problem) = change(&server, "POST", PATH, &json!({}));
    assert_eq!(status, 503, "{problem}");
    assert!(takes_checks(&server, 7));
    assert_eq!(
        audit(&server),
        ["board.read_only", "board.read_only"],
        "what failed is written down, too"
    );
}

#[test]
fn all_nodes_follow_within_a_second_and_one_that_was_cut_off_when_it_is_back() {
    let cluster = cluster::shared();
    let wires = Wires::to(cluster);
    let setup = || Setup::on(cluster, "read-only", 1000, 2);
    let (first, second) = (setup().start(), setup().through(&wires).start());
    let shows = |server: &Server| {
        let answer = request(server.admin, "GET", PATH, &[]);
        answer.body.contains("\"read_only\":true")
    };
    for is_on in [true, false, true] {
        let began = Instant::now();
        if is_on {
            turn_on(&first)
        } else {
            turn_off(&first)
        }
        eventually("the other node to follow", || (shows(&second) == is_on).then_some(()));
        println!("followed after {} ms", began.elapsed().as_millis());
    }
    assert!(!takes_checks(&second, 7));
    let third = setup().start();
    assert!(!takes_checks(&third, 7), "one that starts later");
    // Cut off, a node neither decides nor hears, and keeps to what it knows.
    wires.cut();
    let (status, problem) = change(&second, "DELETE", PATH, &json!(null));
    assert_eq!(status, 503, "{problem}");
    turn_off(&first);
    eventually("those who are there to follow", || (!shows(&third)).then_some(()));
    assert!(shows(&second));
    wires.mend();
    eventually("the one that was away to follow", || (!shows(&second)).then_some(()));
    assert!(takes_checks(&third, 7));
}
