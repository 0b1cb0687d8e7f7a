//! `kill -9` under load: what was acknowledged is there after the restart, and nothing else.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::harness::{
    client::{Client, Told},
    eventually, long, seed,
    server::{Server, Setup},
};

const BOXES: u32 = 3_000_000;

/// At least so many more checks are acknowledged before each kill.
const LOAD: usize = 200;

/// What the players of one board have done, over all crashes.
#[derive(Default)]
struct Ledger {
    sent: BTreeSet<u32>,
    acknowledged: BTreeSet<u32>,
}

/// Checks random boxes as fast as answers come, 32 at a time, until the server is gone.
fn play(mut client: Client, boxes: u32, seed: u64, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut outstanding = 0;
    while !stop.load(Ordering::Relaxed) {
        while outstanding < 32 {
            let id = random.random_range(1..=boxes);
            // Before it is sent: a box that appears was sent by somebody.
            ledger.lock().expect("unpoisoned").sent.insert(id);
            if !client.try_check(id) {
                return;
            }
            outstanding += 1;
        }
        match client.next_within(Duration::from_secs(5)) {
            Some(Told::Update { id, .. }) => {
                ledger.lock().expect("unpoisoned").acknowledged.insert(id);
                outstanding -= 1;
            }
            Some(Told::Cut | Told::Closed(..)) | None => return,
            Some(_) => {}
        }
    }
}

/// All checked boxes, by range requests.
fn whole_board(server: &Server, boxes: u32) -> BTreeSet<u32> {
    let mut client = server.client();
    let mut ids = BTreeSet::new();
    for first in (1..=boxes).step_by(100_000) {
        ids.extend(client.range(first, (first + 99_999).min(boxes), &mut vec![]));
    }
    assert_eq!(client.greeted as usize, ids.len(), "the total is the popcount");
    ids
}

/// Outcome of a series of kills.
pub struct Survived {
    acknowledged: usize,
    slowest_start: Duration,
}

/// Plays, kills, restarts and compares, `kills` times. The error names what was lost or invented.
pub fn play_and_kill(setup: &Setup, kills: usize, seed: u64) -> Result<Survived, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut server = setup.start();
    let mut slowest_start = Duration::ZERO;
    for kill in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let players: Vec<_> = (0..4)
            .map(|_| {
                let (client, ledger, stop) = (server.client_v2(), ledger.clone(), stop.clone());
                let seed = random.random();
                std::thread::spawn(move || play(client, BOXES, seed, &ledger, &stop))
            })
            .collect();
        std::thread::sleep(Duration::from_micros(random.random_range(20_000..600_000)));
        // Long enough that there is something to lose, however busy the machine is.
        let so_far = || ledger.lock().expect("unpoisoned").acknowledged.len();
        eventually("a real load", || (so_far() > LOAD * (kill + 1)).then_some(()));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for player in players {
            player.join().expect("a player plays to the end");
        }
        let began = Instant::now();
        server = setup.start();
        assert_eq!(server.get("/readyz?store=1").status, 200);
        slowest_start = slowest_start.max(began.elapsed());

        let board = whole_board(&server, BOXES);
        let ledger = ledger.lock().expect("unpoisoned");
        let lost: Vec<_> = ledger.acknowledged.difference(&board).take(5).collect();
        if !lost.is_empty() {
            return Err(format!("acknowledged and lost after kill {kill}: {lost:?} …"));
        }
        let invented: Vec<_> = board.difference(&ledger.sent).take(5).collect();
        if !invented.is_empty() {
            return Err(format!("checked after kill {kill} though nobody sent it: {invented:?} …"));
        }
    }
    let acknowledged = ledger.lock().expect("unpoisoned").acknowledged.len();
    Ok(Survived { acknowledged, slowest_start })
}

/// A small log, so that the kills also hit rolling checkpoints; announced at once, so that an
/// acknowledgement too early would be out before its commit is done.
pub fn setup() -> Setup {
    Setup::new(BOXES, 10).with("STORE__LOG_MIB", 1).with("BROADCASTER__INTERVAL_MS", 0)
}

#[test]
fn acknowledged_checks_survive_kill_nine() {
    let seed = seed("acknowledged_checks_survive_kill_nine");
    let kills = if long() { 50 } else { 5 };
    let survived = play_and_kill(&setup(), kills, seed).unwrap_or_else(|loss| panic!("{loss}"));
    let Survived { acknowledged, slowest_start } = survived;
    assert!(acknowledged > LOAD * kills, "the load was real: {acknowledged} acknowledged");
    println!("{kills} kills, {acknowledged} acknowledged, 0 lost, ready in {slowest_start:?}");
}

/// The board of a billion boxes with a bit in every tile and every chunk of the store.
#[test]
fn a_board_of_a_billion_is_ready_again_after_a_kill() {
    let setup = Setup::new(1_000_000_000, 50);
    let mut server = setup.start();
    let mut client = server.client_v2();
    let mut outstanding = 0;
    for tile in 0..10_000 {
        client.check(tile * 100_000 + 1 + tile);
        outstanding += 1;
        while outstanding > 1000 {
            outstanding -= i32::from(matches!(client.next(), Told::Update { .. }));
        }
    }
    while outstanding > 0 {
        outstanding -= i32::from(matches!(client.next(), Told::Update { .. }));
    }
    server.kill();
    let began = Instant::now();
    let server = setup.start();
    assert_eq!(server.get("/readyz?store=1").status, 200);
    let took = began.elapsed();
    println!("ready with a billion boxes in {took:?}");
    assert_eq!(server.client().greeted, 10_000);
    assert_eq!(
        server.client().range(999_900_001, 1_000_000_000, &mut vec![]),
        [9_999 * 100_000 + 1 + 9_999]
    );
}
