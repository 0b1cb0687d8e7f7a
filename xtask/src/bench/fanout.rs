//! What it costs to tell everybody: our server beside plain tokio, which is the practical limit, and
//! beside a naive actor design. The same players with the same books, one server after the other, in
//! rounds, because a shared machine drifts.

mod table;

use std::{fmt, fs, path::Path, str::FromStr};

use anyhow::{Context, Result};

pub use table::Figures;

use super::{Programs, machine_load, server, swarm::Swarm};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The product, its limits off, its store in an empty folder.
    Ours,
    /// Plain tokio that writes the same bytes to the same sockets.
    Plain,
    /// An actor per connection and a message per update.
    Naive,
}

impl Server {
    /// In the order of a round.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Plain, Self::Naive];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Plain => "plain",
            Self::Naive => "naive",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|server| server.name() == name);
        known.ok_or_else(|| format!("not one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What the players do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Connections that listen; a few more check.
    pub listeners: u32,
    /// Checks a second.
    pub rate: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} × {:.0}", self.listeners, self.rate))
    }
}

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Boxes of the board.
    pub boxes: u32,
    /// Seconds of each load.
    pub seconds: f64,
    /// Seconds of load before, not measured.
    pub warmup: f64,
    /// How often the servers take turns.
    pub rounds: usize,
    /// Connections that check.
    pub checkers: u32,
    /// For us and plain tokio; the first of them is compared with the naive design.
    pub loads: &'static [Load],
    /// What the naive design is given: it takes no more.
    pub naive: Load,
    /// Only this server.
    pub only: Option<Server>,
    /// Whether goals apply.
    pub judged: bool,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` tells.
    pub const FULL: Self = Self {
        boxes: 1_000_000_000,
        seconds: 8.,
        warmup: 2.,
        rounds: 5,
        checkers: 8,
        loads: &[
            Load { listeners: 1000, rate: 1000. },
            Load { listeners: 1000, rate: 10_000. },
            Load { listeners: 5000, rate: 1000. },
            Load { listeners: 5000, rate: 10_000. },
        ],
        naive: Load { listeners: 1000, rate: 100. },
        only: None,
        judged: true,
    };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self {
        boxes: 1_000_000,
        seconds: 1.,
        warmup: 0.1,
        rounds: 1,
        checkers: 2,
        loads: &[Load { listeners: 30, rate: 200. }],
        naive: Load { listeners: 30, rate: 50. },
        only: None,
        judged: false,
    };
}

/// What one run of one server told, over the measured time.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// CPU seconds of the server.
    pub cpu_s: f64,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Updates that came to listeners.
    pub updates: f64,
    /// Writes that sockets took, if the server counts them.
    pub writes: Option<f64>,
    /// Milliseconds from a check to a screen: median.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
}

impl Round {
    /// Microseconds of the server's CPU for each delivered frame.
    pub fn us_per_update(&self) -> f64 {
        self.cpu_s * 1e6 / self.updates
    }

    /// Microseconds of the server's CPU for each write to a socket; nothing if those are not counted.
    pub fn us_per_write(&self) -> f64 {
        self.writes.map_or(f64::NAN, |writes| self.cpu_s * 1e6 / writes)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.writes.is_some() {
            write!(f, "{:.2} µs a write, ", self.us_per_write())?;
        }
        write!(f, "{:.4} µs a frame, p99 {:.0} ms", self.us_per_update(), self.p99_ms)
    }
}

/// One server under one load, in every round.
#[derive(Debug)]
pub struct Series {
    /// Who.
    pub server: Server,
    /// What players did.
    pub load: Load,
    /// In the order they were run.
    pub rounds: Vec<Round>,
}

/// Runs everything; `folder` is for small files and for the boards.
pub fn run(programs: &Programs, folder: &Path, scale: &Scale) -> Result<Figures> {
    let before = machine_load()?;
    let both = scale.loads.iter().flat_map(|load| [(Server::Ours, *load), (Server::Plain, *load)]);
    let all = both.chain([(Server::Naive, scale.naive)]);
    let mut series: Vec<_> = all
        .filter(|(server, _)| scale.only.is_none_or(|only| only == *server))
        .map(|(server, load)| Series { server, load, rounds: Vec::new() })
        .collect();
    for number in 1..=scale.rounds {
        let mut turns: Vec<_> = series.iter_mut().collect();
        if number.is_multiple_of(2) {
            // Who comes first may find the machine as a rest left it.
            turns.reverse();
        }
        for Series { server, load, rounds } in turns {
            let round = measure(programs, folder, scale, *server, *load)
                .with_context(|| format!("{server}, {load}"))?;
            println!("round {number} of {}: {server:<5} {load:<13} {round}", scale.rounds);
            rounds.push(round);
        }
    }
    let machine_load = [before, machine_load()?];
    Ok(Figures { series, judged: scale.judged, machine_load })
}

/// Starts a server, has a swarm play on it, and ends it.
fn measure(
    programs: &Programs,
    folder: &Path,
    scale: &Scale,
    who: Server,
    load: Load,
) -> Result<Round> {
    let place = folder.join("board");
    fs::create_dir_all(&place)?;
    let started = match who {
        Server::Ours => server::Server::start_alone(programs, &place, scale.boxes),
        Server::Plain => server::Server::start_baseline(&programs.plain, &place, scale.boxes),
        Server::Naive => server::Server::start_baseline(&programs.naive, &place, scale.boxes),
    }?;
    let told = Swarm::start(programs, folder, 0, started.address, &words(scale, load, &started))?
        .finish()?;
    let writes = match who {
        Server::Naive => None,
        Server::Ours | Server::Plain => Some(told.figure("server_socket_writes")?),
    };
    let round = Round {
        cpu_s: told.figure("server_cpu_s")?,
        seconds: told.figure("measured_s")?,
        updates: told.figure("updates_delivered")?,
        writes,
        p50_ms: told.figure("update_latency_p50_ms")?,
        p99_ms: told.figure("update_latency_p99_ms")?,
        max_ms: told.figure("update_latency_max_ms")?,
    };
    started.stop()?;
    fs::remove_dir_all(&place)?;
    Ok(round)
}

/// What the swarm is told.
fn words(scale: &Scale, load: Load, server: &server::Server) -> Vec<String> {
    let mut words = vec!["fanout".to_owned(), "--exclusive".into(), "true".into()];
    let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    say("boxes", scale.boxes.to_string());
    say("seconds", scale.seconds.to_string());
    say("warmup", scale.warmup.to_string());
    say("listeners", load.listeners.to_string());
    say("checkers", scale.checkers.to_string());
    say("rate", load.rate.to_string());
    say("pid", server.pid().to_string());
    say("metrics", server.admin.to_string());
    words
}
