//! `cargo xtask scaling`: one node to ten million players, on paper.
//!
//! `scaling/costs.rs` holds what was measured, [`Assumptions`] what people are assumed to do; `crowd`
//! and `lane` play what formulas get wrong, `plan` adds up. The tables are those of
//! `docs/SCALING.md`, to the letter: a test compares them.

mod costs;
mod dice;
mod crowd;
mod lane;
mod plan;

use clap::Args;

use self::{
    costs::{ALL, Known},
    plan::{Plan, plans},
};

/// Boxes of a board.
const BOXES: f64 = 1e9;

/// What nobody has measured; each is a flag.
#[derive(Debug, Clone, Args)]
pub struct Assumptions {
    /// Players at once, one row or two for each
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000,10000000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub players: Vec<u64>,
    /// New boxes that a player checks a second, while playing
    #[arg(long, default_value_t = 0.1, value_parser = above_0)]
    pub checks_per_player: f64,
    /// Tiles on a player's screen, of 16 at most
    #[arg(long, default_value_t = 4, value_parser = tiles)]
    pub watching: usize,
    /// How uneven the crowd is: exponent of Zipf's law over 10,000 tiles
    #[arg(long, default_value_t = 0.8, value_parser = from_0)]
    pub zipf: f64,
    /// Part of the players that hears everything (plain `/ws`)
    #[arg(long, default_value_t = 0.001, value_parser = from_0)]
    pub plain_share: f64,
    /// Tiles that a player asks for a second
    #[arg(long, default_value_t = 0.1, value_parser = from_0)]
    pub ranges_per_player: f64,
    /// Seconds that a player stays; one page load, nothing cached, and one handshake each
    #[arg(long, default_value_t = 600., value_parser = above_0)]
    pub session_s: f64,
    /// Cores of a node
    #[arg(long, default_value_t = 8., value_parser = above_0)]
    pub cores_per_node: f64,
    /// Gbit/s of a node's network
    #[arg(long, default_value_t = 10., value_parser = above_0)]
    pub gbits_per_node: f64,
    /// Connections of a node (`server.max_connections`, `ulimit -n`)
    #[arg(long, default_value_t = 100_000., value_parser = above_0)]
    pub players_per_node: f64,
    /// Part of cores and network that is planned with; the rest is for bursts and lost nodes
    #[arg(long, default_value_t = 0.6, value_parser = above_0)]
    pub used: f64,
    /// Milliseconds until Redis has answered a batch
    #[arg(long, default_value_t = 2., value_parser = above_0)]
    pub round_trip_ms: f64,
    /// Decides the draws
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            players: vec![1_000, 10_000, 100_000, 1_000_000, 10_000_000],
            checks_per_player: 0.1,
            watching: 4,
            zipf: 0.8,
            plain_share: 0.001,
            ranges_per_player: 0.1,
            session_s: 600.,
            cores_per_node: 8.,
            gbits_per_node: 10.,
            players_per_node: 100_000.,
            used: 0.6,
            round_trip_ms: 2.,
            seed: 1,
        }
    }
}

fn from_0(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() && number >= 0. { Ok(number) } else { Err("must be 0 or more".into()) }
}

fn above_0(text: &str) -> Result<f64, String> {
    from_0(text)
        .and_then(|number| if number > 0. { Ok(number) } else { Err("must be above 0".into()) })
}

fn tiles(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|it| (1..=16).contains(it)).ok_or_else(|| "must be 1 to 16".into())
}

/// The tables, in the order of the document.
pub fn tables(assumed: &Assumptions) -> Vec<String> {
    let players = assumed.players.iter().map(|players| *players as f64);
    let rows: Vec<Plan> = players.flat_map(|players| plans(players, assumed)).collect();
    vec![
        figures(),
        assumptions(assumed),
        table(
            "| players | ms, ms, regions | checks/s | board full in | flushes/s a session: played (by its rate; even crowd) \
             | cores: flushes | pulses | plain `/ws` | visits | own checks | Gbit/s out |",
            rows.iter().map(|plan| load(plan, assumed)),
        ),
        table(
            "| players | ms, ms, regions | nodes | players, GB a node | boxes a batch | feed messages/s, cores a node \
             | Redis: cores a region, masters | busiest key range | all back in | ends first |",
            rows.iter().map(|plan| machines(plan, assumed)),
        ),
    ]
}

fn table(head: &str, rows: impl IntoIterator<Item = String>) -> String {
    let columns = head.matches('|').count() - 1;
    let mut lines = vec![head.to_owned(), format!("|{}", " --- |".repeat(columns))];
    lines.extend(rows);
    lines.join("\n")
}

fn figures() -> String {
    let rows = ALL.iter().map(|it| {
        let known = match it.known {
            Known::Measured => "measured",
            Known::Derived => "derived",
        };
        let each = match it.of {
            "" => String::new(),
            of => format!(", and {} for each {of}", it.each),
        };
        let value = grouped(it.value);
        format!("| {} | {value} {}{each} | {known}: {} |", it.what, it.unit, it.from)
    });
    table("| what | figure | known |", rows)
}

fn assumptions(assumed: &Assumptions) -> String {
    let rows = [
        ("--checks-per-player", assumed.checks_per_player, "new boxes a player checks a second"),
        ("--watching", assumed.watching as f64, "tiles on the screen, a square of neighbours"),
        ("--zipf", assumed.zipf, "exponent of the tiles' popularity; people check where they look"),
        ("--plain-share", assumed.plain_share, "part of the players on plain `/ws`"),
        ("--ranges-per-player", assumed.ranges_per_player, "tiles asked for a second"),
        ("--session-s", assumed.session_s, "seconds a player stays: one page load, one handshake"),
        ("--cores-per-node", assumed.cores_per_node, "cores of a node"),
        ("--gbits-per-node", assumed.gbits_per_node, "Gbit/s of its network"),
        ("--players-per-node", assumed.players_per_node, "its connections, at most"),
        ("--used", assumed.used, "part of cores and network that is planned with"),
        ("--round-trip-ms", assumed.round_trip_ms, "ms until Redis has answered a batch"),
    ];
    let rows =
        rows.map(|(flag, value, what)| format!("| `{flag}` | {} | {what} |", grouped(value)));
    table("| flag | default | assumed |", rows)
}

fn steps(plan: &Plan) -> String {
    let step = plan.step;
    format!(
        "| {} | {}, {}, {} ",
        grouped(plan.players),
        step.interval_ms,
        step.gather_ms,
        step.regions
    )
}

fn load(plan: &Plan, assumed: &Assumptions) -> String {
    let (regions, sessions, second) = (plan.step.regions, plan.sessions, plan.second);
    let rate = plan.players * assumed.checks_per_player;
    let all = |cores: f64| figure(cores * regions);
    format!(
        "{}| {} | {} | {} ({}; {}) | {} | {} | {} | {} | {} | {} |",
        steps(plan),
        figure(rate),
        duration(BOXES / rate),
        figure(second.flushes),
        figure(second.by_formula),
        figure(second.by_average),
        all(sessions.flushes),
        all(sessions.pulses),
        all(sessions.plain),
        all(sessions.visits),
        all(plan.checks.own),
        all(sessions.gigabits),
    )
}

fn machines(plan: &Plan, assumed: &Assumptions) -> String {
    let (step, checks) = (plan.step, plan.checks);
    let redis = match checks.masters {
        0. => ["–", "–", "–", "–"].map(str::to_owned),
        cores => [
            figure(checks.batch),
            format!("{}, {}", figure(checks.messages), figure(checks.feed)),
            format!("{}, {}", figure(cores + checks.replicas), each(step.regions, plan.masters)),
            format!("{} %", figure(plan.second.busiest * 100.)),
        ],
    };
    let here = figure(plan.players / step.regions / plan.nodes);
    let (nodes, back, ends) = if plan.fits {
        let carried = format!("{here}, {}", figure(plan.memory_gb()));
        let back = format!("{} s", figure(plan.back_after_s(assumed)));
        (
            format!("{} | {carried}", each(step.regions, plan.nodes)),
            back,
            plan.ends_first.to_owned(),
        )
    } else {
        let given_up = format!("over {} | –", each(step.regions, plan.nodes));
        (given_up, "–".to_owned(), format!("**{}**", plan.ends_first))
    };
    let [batch, feed, redis, busiest] = redis;
    format!("{}| {nodes} | {batch} | {feed} | {redis} | {busiest} | {back} | {ends} |", steps(plan))
}

/// So many in each of the regions.
fn each(regions: f64, count: f64) -> String {
    if regions > 1. { format!("{regions} × {}", grouped(count)) } else { grouped(count) }
}

/// Two digits that mean something, and no more.
fn figure(value: f64) -> String {
    if value < 0.005 {
        return "0".to_owned();
    }
    let unit = 10f64.powi(value.log10().floor() as i32 - 1);
    let rounded = (value / unit).round() * unit;
    match value {
        _ if rounded >= 10. => grouped(rounded.round()),
        _ if rounded >= 1. => format!("{rounded:.1}"),
        _ => format!("{rounded:.2}"),
    }
}

/// As it is, with commas between thousands.
fn grouped(value: f64) -> String {
    if value < 1_000. {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = digits[..first].split_terminator(',').collect();
    groups.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.join(",")
}

fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 2. * 86_400. => format!("{} days", figure(seconds / 86_400.)),
        _ if seconds >= 2. * 3_600. => format!("{} h", figure(seconds / 3_600.)),
        _ => format!("{} min", figure(seconds / 60.)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        assumptions: Assumptions,
    }

    #[test]
    fn the_document_contains_the_printed_tables() {
        let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SCALING.md"));
        for table in tables(&Assumptions::default()) {
            assert!(
                document.contains(&format!("\n{table}\n")),
                "docs/SCALING.md differs from `cargo xtask scaling`, which prints:\n{table}"
            );
        }
    }

    #[test]
    fn defaults_are_those_of_the_flags() {
        let flags = Flags::parse_from(["scaling"]).assumptions;
        assert_eq!(format!("{flags:?}"), format!("{:?}", Assumptions::default()));
    }

    #[test]
    fn figures_have_two_digits_that_count() {
        let shown = [0.001, 0.0449, 0.96, 1.449, 12.3, 1_849., 123_456.].map(figure);
        assert_eq!(shown, ["0", "0.04", "0.96", "1.4", "12", "1,800", "120,000"]);
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            [0.001, 999., 1_000., 12_345_678.].map(grouped),
            ["0.001", "999", "1,000", "12,345,678"]
        );
    }
}
