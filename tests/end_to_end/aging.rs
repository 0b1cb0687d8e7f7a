//! What becomes of a server over time: an even load, with people who come and go, and the server's own
//! account of what it uses. Five minutes beside all other tests, or an hour in the long form.

use crate::harness::{long, server::Setup, swarm};

/// Small, so that memory does not grow because the board fills; tiles for those who watch some.
const BOXES: u32 = 1_600_000;

/// Minutes of warming up and measuring, and how many play. The short form takes a twentieth of a core:
/// 10 flushes a second to 90 who hear everything, at 20 µs on both sides of each socket, and 4
/// handshakes.
fn load() -> [&'static str; 14] {
    let [warmup, minutes, listeners, passers, churn, checkers, rate] = if long() {
        ["120", "58", "1000", "1000", "100", "4", "20"]
    } else {
        ["20", "4.5", "60", "60", "4", "2", "10"]
    };
    [
        "--warmup",
        warmup,
        "--minutes",
        minutes,
        "--listeners",
        listeners,
        "--passers",
        passers,
        "--churn",
        churn,
        "--checkers",
        checkers,
        "--rate",
        rate,
    ]
}

/// `swarm` compares the medians of the first and the last quarter, and the descriptors before all came
/// with those after all have gone; the books of who stays are exact.
#[test]
fn memory_and_descriptors_stay_the_same_while_people_come_and_go() {
    let server = Setup::new(BOXES, 4).start();
    let output = swarm::command()
        .args(["soak", "--url", &format!("ws://{}", server.address)])
        .args(["--admin", &server.admin.to_string(), "--pid", &server.pid().to_string()])
        .args(["--boxes", &BOXES.to_string(), "--exclusive", "true", "--threads", "1"])
        .args(load())
        .output()
        .expect("swarm can be run");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}{errors}\n{}", server.log());
    assert_eq!(server.metric("billion_panics_total "), 0.0);
    let opened = server.metric("billion_connections_opened_total ");
    assert!(opened > 500.0, "people came and went: {opened}");
}
