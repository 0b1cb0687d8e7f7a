//! Somebody hammers at the door: what an attack from one address gets, and what ten honest players from other
//! addresses notice of it.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Programs, line::Line, server::Server};

/// Players, each at an address of their own.
const PLAYERS: u8 = 10;

/// Of whoever attacks.
const BOT: Ipv4Addr = Ipv4Addr::new(127, 0, 6, 1);

/// Threads that attack, and checks they send on each connection.
const THREADS: u32 = 20;
const CHECKS: u32 = 20;

/// Connections a second that they open, together.
const CONNECTS: u32 = 500;

/// How long an attack listens before it closes a connection.
const HEARS: Duration = Duration::from_millis(20);

/// Time between two checks of a player, on average: from half of it to half more. Players who check in step would all
/// be told at once, and whatever else is checked would seem to slow them.
const PACE: Duration = Duration::from_millis(100);

/// How long.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Rounds, each without and with the attack.
    pub rounds: usize,
    /// Seconds of each.
    pub seconds: u64,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` tells.
    pub const FULL: Self = Self { rounds: 5, seconds: 20 };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self { rounds: 1, seconds: 3 };
}

/// One round.
#[derive(Debug)]
pub struct Round {
    /// Milliseconds from a player's check to its update, 99 %, without the attack.
    pub alone_ms: f64,
    /// The same beside it.
    pub beside_ms: f64,
    /// Seconds of the attack.
    pub attack_s: f64,
    /// Handshakes that it tried.
    pub tried: u32,
    /// Handshakes that were accepted.
    pub connected: u32,
    /// Its checks that were accepted, whether or not it heard of that.
    pub accepted: f64,
    /// Checks of players that were refused: none should be.
    pub refused: u32,
}

/// What came out.
#[derive(Debug)]
pub struct Figures(pub Vec<Round>);

/// Boxes that nobody has checked.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Plays with and without the attack, in turn.
pub fn run(programs: &Programs, folder: &Path, scale: &Scale) -> Result<Figures> {
    let mut rounds = Vec::new();
    for round in 0..scale.rounds {
        let folder = folder.join(format!("door-{round}"));
        std::fs::create_dir_all(&folder)?;
        NEXT.store(1, Relaxed);
        let server = Server::start_guarded(programs, &folder, 100_000_000)?;
        let time = Duration::from_secs(scale.seconds);
        let (alone, _) = play(server.address, time, false)?;
        let (beside, attack) = play(server.address, time, true)?;
        // No box was checked twice.
        let accepted = server.metric("billion_announced_boxes")?;
        let p99 = |all: &Answers| percentile(&all.waits, 0.99);
        let told = Round {
            alone_ms: p99(&alone),
            beside_ms: p99(&beside),
            attack_s: scale.seconds as f64,
            tried: attack.tried.load(Relaxed),
            connected: attack.connected.load(Relaxed),
            accepted: accepted - (alone.waits.len() + beside.waits.len()) as f64,
            refused: alone.refused + beside.refused,
        };
        println!("round {}: {told:?}", round + 1);
        rounds.push(told);
        server.stop()?;
    }
    Ok(Figures(rounds))
}

/// What players were told.
#[derive(Default)]
struct Answers {
    waits: Vec<Duration>,
    refused: u32,
}

#[derive(Default)]
struct Attack {
    stop: AtomicBool,
    tried: AtomicU32,
    connected: AtomicU32,
}

fn play(to: SocketAddr, time: Duration, is_attacked: bool) -> Result<(Answers, Attack)> {
    let attack = Attack::default();
    let began = Instant::now();
    let answers = scope(|scope| {
        if is_attacked {
            for thread in 0..THREADS {
                let attack = &attack;
                scope.spawn(move || attack.go_on(to, thread, began));
            }
        }
        let players: Vec<_> = (1..=PLAYERS)
            .map(|last| scope.spawn(move || player(Ipv4Addr::new(127, 0, 5, last), to, time)))
            .collect();
        let mut all = Answers::default();
        let mut failure = None;
        for player in players {
            match player.join().expect("it plays to its end") {
                Ok(answers) => {
                    all.waits.extend(answers.waits);
                    all.refused += answers.refused;
                }
                Err(error) => failure = Some(error),
            }
        }
        attack.stop.store(true, Relaxed);
        failure.map_or(Ok(all), Err)
    })?;
    Ok((answers, attack))
}

/// Checks a box now and then, and waits for its update.
fn player(from: Ipv4Addr, to: SocketAddr, time: Duration) -> Result<Answers> {
    let mut line = Line::connect(from, to, "")?.context("a player was turned away")?;
    let (mut answers, began) = (Answers::default(), Instant::now());
    // The golden ratio spreads evenly, whatever the number of steps; each player begins elsewhere.
    let mut phase = f64::from(from.octets()[3]) / f64::from(PLAYERS);
    while began.elapsed() < time {
        let id = NEXT.fetch_add(1, Relaxed);
        let sent = Instant::now();
        line.check(id)?;
        if line.is_taken(id)? {
            answers.waits.push(sent.elapsed());
        } else {
            answers.refused += 1;
        }
        phase = (phase + 0.618_034).fract();
        sleep(PACE.mul_f64(0.5 + phase).saturating_sub(sent.elapsed()));
    }
    Ok(answers)
}

impl Attack {
    /// Connects at its share of the pace, checks, closes, and again.
    fn go_on(&self, to: SocketAddr, thread: u32, began: Instant) {
        let pace = Duration::from_secs(1) * THREADS / CONNECTS;
        let offset = pace * thread / THREADS;
        let tries = AtomicU64::new(0);
        while !self.stop.load(Relaxed) {
            let due = offset + pace * tries.fetch_add(1, Relaxed) as u32;
            sleep(due.saturating_sub(began.elapsed()));
            self.tried.fetch_add(1, Relaxed);
            let Ok(Some(mut line)) = Line::connect(BOT, to, "") else { continue };
            self.connected.fetch_add(1, Relaxed);
            // Who hammers does not wait for its turn.
            if line.stream.set_read_timeout(Some(HEARS)).is_err() {
                continue;
            }
            let first = NEXT.fetch_add(CHECKS, Relaxed);
            if (first..first + CHECKS).try_for_each(|id| line.check(id)).is_err() {
                continue;
            }
            let _ = (first..first + CHECKS).try_for_each(|id| line.is_taken(id).map(|_| ()));
        }
    }
}

/// In milliseconds.
fn percentile(waits: &[Duration], part: f64) -> f64 {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
}

impl Round {
    /// How much longer players wait beside the attack.
    pub fn ratio(&self) -> f64 {
        self.beside_ms / self.alone_ms
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "p99 of {PLAYERS} players, ms: alone, beside {CONNECTS} connects/s; ratio; the attack: connected, accepted"
        )?;
        let mut ratios: Vec<_> = self.0.iter().map(Round::ratio).collect();
        for round in &self.0 {
            writeln!(
                f,
                "{:>8.1} {:>8.1} {:>6.2}   {:>6} of {:>6}, {:>6.0} checks in {:.0} s",
                round.alone_ms,
                round.beside_ms,
                round.ratio(),
                round.connected,
                round.tried,
                round.accepted,
                round.attack_s
            )?;
        }
        ratios.sort_unstable_by(f64::total_cmp);
        writeln!(f, "median ratio {:.2} (goal: at most 1.5)", ratios[ratios.len() / 2])
    }
}
