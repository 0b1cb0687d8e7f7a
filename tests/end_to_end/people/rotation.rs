//! Keys rotate on several nodes, one after the other, while people come and go.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use serde_json::json;

use super::{cookies::KeysFile, sign_outs::knows};
use crate::harness::{
    Over,
    cluster::shared,
    eventually,
    person::Person,
    server::{Server, Setup},
};

/// People who ask all the time, each at one node after the other.
const PEOPLE: usize = 6;

#[test]
fn a_rotation_on_three_nodes_under_load_throws_nobody_out() {
    let [old, new] = ["33", "44"].map(|byte| byte.repeat(32));
    let node = || {
        let setup = Setup::on(shared(), "rotation", 1000, 1);
        let file = KeysFile(setup.folder().join("keys"));
        file.write(&[&old]);
        let server = setup.with("PEOPLE__KEYS_FILE", file.0.display()).start();
        (server, file)
    };
    let nodes = [node(), node(), node()];
    let addresses = [0, 1, 2].map(|at: usize| nodes[at].0.address);
    let (over, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let over_at_the_end = Over(&over);
        for number in 0..PEOPLE {
            let mut person = knows(&nodes[number % 3].0);
            let (over, asked) = (&over, &asked);
            scope.spawn(move || {
                let user = person.user();
                let mut at = number;
                while !over.load(Ordering::Relaxed) {
                    at += 1;
                    person.to = addresses[at % 3];
                    assert_eq!(person.user(), user, "at node {}", at % 3);
                    // Somebody who has just come, sealed by whatever this node seals with.
                    let mut newcomer = Person::new(person.to);
                    let who = newcomer.user();
                    newcomer.to = addresses[(at + 1) % 3];
                    let again = newcomer.post("/me", &json!({}));
                    assert!(again.body.contains(&who), "{again:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let in_force = |server: &Server, times: usize| {
            let lines = || server.log().matches("people.keys_file: ").count();
            eventually("the keys are in force", || (lines() == times).then_some(()));
        };
        for (step, keys) in [[&*old, &*new], [&*new, &*old]].iter().enumerate() {
            for (server, file) in &nodes {
                file.write(keys);
                in_force(server, step + 1);
                // Between two nodes people are at all of them.
                let before = asked.load(Ordering::Relaxed);
                eventually("they have asked", || {
                    (asked.load(Ordering::Relaxed) > before + 20).then_some(())
                });
            }
        }
        drop(over_at_the_end);
    });
}
