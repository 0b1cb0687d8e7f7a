//! Messages to one group whose members are on several nodes, which share a Redis Cluster and a MariaDB: how soon each
//! message is everywhere, and what it costs one node and Redis.

use std::{
    fmt, fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{BOXES, Part, part, say};
use crate::{
    bench::{
        Programs, machine_load,
        people::Team,
        server::Server,
        swarm::{Swarm, Told},
    },
    mariadb::MariaDb,
    process::cpu_seconds,
    redis::{Node, RedisCluster},
};

/// Between two looks at who is there.
const LOOK: Duration = Duration::from_millis(200);

/// All swarms share the ports of these addresses; the kernel is slow to find a free one where half of them are taken.
const CONNECTIONS_PER_SOURCE: u32 = 8000;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Nodes.
    pub nodes: u32,
    /// Members on each node: as many users, each with a connection to every node.
    pub members: u32,
    /// Messages that are sent one after the other.
    pub messages: u32,
    /// How many of those a second.
    pub rate: f64,
    /// Messages that are sent at once afterwards.
    pub burst: u32,
    /// Members that join each node a second.
    pub connect_rate: u32,
    /// Seconds in which all have to be there.
    pub patience_s: u32,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` has.
    pub const FULL: Self = Self {
        nodes: 6,
        members: 16_000,
        messages: 30,
        rate: 0.4,
        burst: 5,
        connect_rate: 250,
        patience_s: 600,
    };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self {
        nodes: 2,
        members: 40,
        messages: 5,
        rate: 10.,
        burst: 3,
        connect_rate: 400,
        patience_s: 60,
    };
}

/// What the members on one node heard.
#[derive(Debug)]
pub struct Heard {
    /// Messages that came to members there.
    pub messages: f64,
    /// Milliseconds from the sender to each of them, one message after the other: median, 99 %, the most.
    pub single_ms: [f64; 3],
    /// The same of many at once.
    pub burst_ms: [f64; 3],
}

/// What came out.
#[derive(Debug)]
pub struct Figures {
    /// The node of the senders first.
    pub nodes: Vec<Heard>,
    /// What messages cost that node.
    pub single: Part,
    /// Messages that were sent at once.
    pub burst: u32,
    /// CPU seconds of all processes of Redis, from when the senders' node began to be filled to the end.
    pub redis_cpu_s: f64,
    /// How long that was.
    pub seconds: f64,
    /// Processes that wanted a core, on average over a minute, before and after.
    pub machine_load: [f64; 2],
}

/// Runs everything; `folder` is for small files and for the database.
pub fn run(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    scale: &Scale,
) -> Result<Figures> {
    let before = machine_load()?;
    let database = MariaDb::start(&folder.join("mariadb"))?;
    database.create("people")?;
    let url = database.url("people");
    let settings = [("DATABASE__URL", url.as_str()), ("SERVER__MAX_CONNECTIONS", "19500")];
    let board = format!("group-{}", std::process::id());
    let start = |_| Server::start_with(programs, redis, folder, &board, BOXES, &settings);
    let servers = (0..scale.nodes).map(start).collect::<Result<Vec<_>>>()?;
    let team = Team::make(servers[0].address, scale.members as usize).context("a team")?;
    println!("{} has {} members, {} nodes are ready", team.address, scale.members, servers.len());
    let cookies = folder.join("cookies");
    fs::write(&cookies, team.cookies.join("\n"))?;
    let words = |senders: u32, of: &Server| words(scale, &team.address, &cookies, senders, of);
    let listen = |(index, server): (usize, &Server)| {
        Swarm::start(programs, folder, index, server.address, &words(0, server))
    };
    let listening = servers.iter().enumerate().skip(1).map(listen).collect::<Result<Vec<_>>>()?;
    all_there(&servers[1..], scale)?;
    let redis_cpu = || cpu_seconds(redis.nodes().iter().filter_map(Node::pid));
    let (began, redis_before) = (Instant::now(), redis_cpu()?);
    let senders = scale.members.min(30);
    let sending =
        Swarm::start(programs, folder, 0, servers[0].address, &words(senders, &servers[0]))?;
    let sent = sending.finish().context("the senders' node")?;
    let (seconds, redis_cpu_s) = (began.elapsed().as_secs_f64(), redis_cpu()? - redis_before);
    let mut nodes = vec![heard(&sent)?];
    for swarm in listening {
        nodes.push(heard(&swarm.finish()?)?);
    }
    servers.into_iter().try_for_each(Server::stop)?;
    database.stop()?;
    Ok(Figures {
        nodes,
        single: part(&sent, "single", "message_latency")?,
        burst: scale.burst,
        redis_cpu_s,
        seconds,
        machine_load: [before, machine_load()?],
    })
}

fn words(scale: &Scale, group: &str, cookies: &Path, senders: u32, server: &Server) -> Vec<String> {
    let Scale { nodes, members, messages, rate, burst, connect_rate, patience_s } = scale;
    let sources = (nodes * members).div_ceil(CONNECTIONS_PER_SOURCE).max(2);
    let mut words = vec!["group".to_owned()];
    say(&mut words, "to", group);
    say(&mut words, "cookies", cookies.display());
    say(&mut words, "boxes", BOXES);
    say(&mut words, "members", members);
    say(&mut words, "senders", senders);
    say(&mut words, "messages", messages);
    say(&mut words, "rate", rate);
    say(&mut words, "burst", burst);
    say(&mut words, "connect-rate", connect_rate);
    say(&mut words, "connect-timeout", 60);
    say(&mut words, "threads", 1);
    say(&mut words, "sources", sources);
    say(&mut words, "settle", 60);
    say(&mut words, "patience", 2 * patience_s);
    say(&mut words, "pid", server.pid());
    say(&mut words, "metrics", server.admin);
    words
}

/// Waits until all members have joined on these nodes.
fn all_there(servers: &[Server], scale: &Scale) -> Result<()> {
    let wanted = servers.len() as f64 * f64::from(scale.members);
    let deadline = Instant::now() + Duration::from_secs(scale.patience_s.into());
    loop {
        let there = servers.iter().map(|server| server.metric("billion_talk_members"));
        let there: f64 = there.sum::<Result<f64>>()?;
        if there >= wanted {
            println!("{there} members are there");
            return Ok(());
        }
        let late = scale.patience_s;
        ensure!(Instant::now() < deadline, "only {there} of {wanted} are there after {late} s");
        sleep(LOOK);
    }
}

fn heard(report: &Told) -> Result<Heard> {
    let three = |what: &str| -> Result<[f64; 3]> {
        let of = |name: &str| report.figure(&format!("{what}_{name}_ms"));
        Ok([of("p50")?, of("p99")?, of("max")?])
    };
    Ok(Heard {
        messages: report.figure("messages_heard")?,
        single_ms: three("message_latency")?,
        burst_ms: three("burst_latency")?,
    })
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let burst = self.burst;
        writeln!(
            f,
            "| node | messages came | one by one: p50, p99, max ms | {burst} at once: p50, p99, max ms |\n\
             | --- | --- | --- | --- |"
        )?;
        for (number, heard) in self.nodes.iter().enumerate() {
            let Heard { messages, single_ms: [s50, s99, s_max], burst_ms: [b50, b99, b_max] } =
                heard;
            let number = number + 1;
            writeln!(
                f,
                "| {number} | {messages} | {s50:.0}, {s99:.0}, {s_max:.0} | {b50:.0}, {b99:.0}, {b_max:.0} |"
            )?;
        }
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let [before, after] = self.machine_load;
        writeln!(
            f,
            "\nThe senders are on node 1, which spends {:.2} µs of CPU on a message to a member; all of Redis {:.2} of a core, \
             presence included. Load generators, nodes, Redis and database share {cores} cores; load average before \
             {before:.1}, after {after:.1}. Every member heard every message once, at one place for all.",
            self.single.us_per_message(),
            self.redis_cpu_s / self.seconds
        )
    }
}
