//! How fast a message reaches a large group: our server beside plain tokio that writes the same bytes to as many sockets.
//! The same members with the same books, one server after the other, in rounds, because a shared machine drifts.

pub mod nodes;
mod table;

use std::{fmt::Display, fs, path::Path};

use anyhow::{Context, Result};

pub use table::Figures;

use super::{
    Programs, machine_load,
    people::Team,
    server::Server,
    swarm::{Swarm, Told},
};

/// Boxes of a board that nobody checks.
const BOXES: u32 = 1_000_000;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Members of the group, from the fewest to the most.
    pub sizes: &'static [u32],
    /// Messages that are sent one after the other.
    pub messages: u32,
    /// How many of those a second: no whole number, or each would meet the pulse of every second at the same point.
    pub rate: f64,
    /// Messages that are sent at once afterwards.
    pub burst: u32,
    /// Seconds before, without messages.
    pub quiet_s: f64,
    /// Members that join a second.
    pub connect_rate: u32,
    /// How often the servers take turns.
    pub rounds: usize,
    /// Whether goals apply.
    pub judged: bool,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` has.
    pub const FULL: Self = Self {
        sizes: &[5000, 19_000],
        messages: 30,
        rate: 1.1,
        burst: 30,
        quiet_s: 3.,
        connect_rate: 1500,
        rounds: 5,
        judged: true,
    };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self {
        sizes: &[40],
        messages: 5,
        rate: 20.,
        burst: 5,
        quiet_s: 0.2,
        connect_rate: 1000,
        rounds: 1,
        judged: false,
    };
}

/// What one part of a run cost.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Messages that came, one for each member.
    pub heard: f64,
    /// CPU seconds of the server, without what it spends when nothing is sent.
    pub cpu_s: f64,
    /// Milliseconds from the sender to each member: median.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
}

impl Part {
    /// Microseconds of the server's CPU for each message to each member.
    pub fn us_per_message(&self) -> f64 {
        self.cpu_s * 1e6 / self.heard
    }
}

/// One run of one server.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// One message after the other.
    pub single: Part,
    /// Many at once.
    pub burst: Part,
    /// Milliseconds until 99 % of the members had a message; of those that were sent one by one, the middle one.
    pub middle_p99_ms: f64,
    /// Bytes of a message.
    pub bytes: f64,
}

/// Both servers before a group of one size.
#[derive(Debug)]
pub struct Series {
    /// Members of the group.
    pub members: u32,
    /// The product, in the order of rounds.
    pub ours: Vec<Round>,
    /// Plain tokio, in the same rounds.
    pub plain: Vec<Round>,
}

/// A run under way.
struct Bench<'b> {
    programs: &'b Programs,
    folder: &'b Path,
    scale: &'b Scale,
    team: Team,
}

/// Runs everything; `folder` is for small files and for the store.
pub fn run(programs: &Programs, folder: &Path, scale: &Scale) -> Result<Figures> {
    let before = machine_load()?;
    let most = scale.sizes.iter().copied().max().context("no size")?;
    for place in [ours(folder), plain(folder)] {
        fs::create_dir_all(place)?;
    }
    let server = start_ours(programs, folder)?;
    let team = Team::make(server.address, most as usize).context("a team")?;
    server.stop()?;
    println!("{} has {most} members", team.address);
    fs::write(cookies(folder), team.cookies.join("\n"))?;
    let bench = Bench { programs, folder, scale, team };
    let mut series: Vec<_> = scale
        .sizes
        .iter()
        .map(|members| Series { members: *members, ours: Vec::new(), plain: Vec::new() })
        .collect();
    for number in 1..=scale.rounds {
        for Series { members, ours, plain } in &mut series {
            // Who comes first may find the machine as a rest left it.
            if number.is_multiple_of(2) {
                plain.push(bench.plain(*members, number)?);
            }
            ours.push(bench.ours(*members, number)?);
            if !number.is_multiple_of(2) {
                plain.push(bench.plain(*members, number)?);
            }
        }
    }
    let machine_load = [before, machine_load()?];
    let Scale { messages, burst, judged, .. } = *scale;
    Ok(Figures { series, messages, burst, judged, machine_load })
}

fn ours(folder: &Path) -> std::path::PathBuf {
    folder.join("ours")
}

fn plain(folder: &Path) -> std::path::PathBuf {
    folder.join("plain")
}

fn cookies(folder: &Path) -> std::path::PathBuf {
    folder.join("cookies")
}

/// With the team of the first start, and room for its members and for questions.
fn start_ours(programs: &Programs, folder: &Path) -> Result<Server> {
    let room = [("SERVER__MAX_CONNECTIONS", "19500")];
    Server::start_alone_with(programs, &ours(folder), BOXES, &room)
}

impl Bench<'_> {
    fn ours(&self, members: u32, number: usize) -> Result<Round> {
        let server = start_ours(self.programs, self.folder)?;
        self.measure("ours", server, members, number)
    }

    fn plain(&self, members: u32, number: usize) -> Result<Round> {
        let place = plain(self.folder);
        let server = Server::start_baseline(&self.programs.plain, &place, BOXES)?;
        self.measure("plain", server, members, number)
    }

    fn measure(&self, name: &str, server: Server, members: u32, number: usize) -> Result<Round> {
        let words = self.words(members, &server);
        let swarm = Swarm::start(self.programs, self.folder, 0, server.address, &words)?;
        let report = swarm.finish().with_context(|| format!("{name}, {members} members"))?;
        server.stop()?;
        let round = Round {
            single: part(&report, "single", "message_latency")?,
            burst: part(&report, "burst", "burst_latency")?,
            middle_p99_ms: report.figure("middle_message_latency_p99_ms")?,
            bytes: report.figure("message_bytes")?,
        };
        println!(
            "round {number} of {}: {members} members, {name:<5} p99 {:.1} ms, {:.1} of the middle \
             message, {:.2} µs a message; at once p99 {:.0} ms, {:.2} µs",
            self.scale.rounds,
            round.single.p99_ms,
            round.middle_p99_ms,
            round.single.us_per_message(),
            round.burst.p99_ms,
            round.burst.us_per_message()
        );
        Ok(round)
    }

    fn words(&self, members: u32, server: &Server) -> Vec<String> {
        let Scale { messages, rate, burst, quiet_s, connect_rate, .. } = self.scale;
        let mut words = vec!["group".to_owned()];
        say(&mut words, "to", &self.team.address);
        say(&mut words, "cookies", cookies(self.folder).display());
        say(&mut words, "boxes", BOXES);
        say(&mut words, "members", members);
        say(&mut words, "messages", messages);
        say(&mut words, "rate", rate);
        say(&mut words, "burst", burst);
        say(&mut words, "quiet", quiet_s);
        say(&mut words, "connect-rate", connect_rate);
        say(&mut words, "settle", 60);
        say(&mut words, "pid", server.pid());
        say(&mut words, "metrics", server.admin);
        words
    }
}

/// Adds an option for the swarm.
fn say(words: &mut Vec<String>, name: &str, value: impl Display) {
    words.extend([format!("--{name}"), value.to_string()]);
}

/// One part of a run, without what the server spends anyway: pulses, above all.
fn part(report: &Told, name: &str, latency: &str) -> Result<Part> {
    let of = |part: &str, figure: &str| report.figure(&format!("{part}_{figure}"));
    let quiet = of("quiet", "server_cpu_s")? / of("quiet", "s")?;
    Ok(Part {
        heard: of(name, "heard")?,
        cpu_s: of(name, "server_cpu_s")? - quiet * of(name, "s")?,
        p50_ms: of(latency, "p50_ms")?,
        p99_ms: of(latency, "p99_ms")?,
        max_ms: of(latency, "max_ms")?,
    })
}
