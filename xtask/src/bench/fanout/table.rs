//! What a run of the fan-out benchmark found, as tables in Markdown, so that documents can take them over.

use std::fmt;

use super::{Load, Round, Series, Server};
use crate::bench::spread::Spread;

/// Goals, as promised in `docs/BENCHMARKS.md`: our cost beside plain tokio's, and beside the naive design's.
const TIMES_PLAIN_MAX: f64 = 1.2;
const NAIVE_TIMES_MIN: f64 = 20.;

/// Everything.
#[derive(Debug)]
pub struct Figures {
    /// Each server under each load.
    pub series: Vec<Series>,
    /// Whether goals apply.
    pub judged: bool,
    /// Processes that wanted a core, on average over a minute, before and after.
    pub machine_load: [f64; 2],
}

impl Figures {
    fn find(&self, server: Server, load: Load) -> Option<&Series> {
        self.series.iter().find(|series| series.server == server && series.load == load)
    }

    /// Our figure over that of plain tokio in the same round.
    fn times_plain(&self, ours: &Series, figure: impl Fn(&Round) -> f64) -> Option<Spread> {
        let plain = self.find(Server::Plain, ours.load)?;
        Spread::of(
            ours.rounds.iter().zip(&plain.rounds).map(|(our, its)| figure(our) / figure(its)),
        )
    }

    fn verdict(&self, met: bool) -> &'static str {
        match (self.judged, met) {
            (false, _) => "–",
            (true, true) => "met",
            (true, false) => "NOT MET",
        }
    }

    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| listeners × checks/s | server | µs CPU a socket write | µs CPU a delivered frame | writes/s | frames/s | p50 ms | p99 ms | max ms |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for Series { server, load, rounds } in &self.series {
            let spread = |figure: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
            let middle = |figure: &dyn Fn(&Round) -> f64| {
                spread(figure).filter(|all| all.middle.is_finite()).map(|all| all.middle)
            };
            let (Some(write), Some(frame)) =
                (spread(&Round::us_per_write), spread(&Round::us_per_update))
            else {
                continue;
            };
            let writes = middle(&|round| round.writes.unwrap_or(f64::NAN) / round.seconds);
            let writes = writes.map_or("–".to_owned(), |writes| format!("{writes:.0}"));
            let frames = middle(&|round| round.updates / round.seconds).unwrap_or_default();
            let [p50, p99, max] = [
                middle(&|round| round.p50_ms),
                middle(&|round| round.p99_ms),
                middle(&|round| round.max_ms),
            ]
            .map(Option::unwrap_or_default);
            writeln!(
                f,
                "| {load} | {server} | {write:.2} | {frame:.4} | {writes} | {frames:.0} | {p50:.1} | {p99:.1} | {max:.0} |"
            )?;
        }
        Ok(())
    }

    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | listeners × checks/s | found | goal | |\n| --- | --- | --- | --- | --- |"
        )?;
        for ours in self.series.iter().filter(|series| series.server == Server::Ours) {
            let written = self.times_plain(ours, Round::us_per_write);
            let delivered = self.times_plain(ours, Round::us_per_update);
            for (what, found) in [("a socket write", written), ("a delivered frame", delivered)] {
                let Some(found) = found else { continue };
                let verdict = self.verdict(found.middle <= TIMES_PLAIN_MAX);
                let load = ours.load;
                writeln!(
                    f,
                    "| ours / plain, {what} | {load} | {found:.2} | ≤ {TIMES_PLAIN_MAX} | {verdict} |"
                )?;
            }
        }
        let of = |server| self.series.iter().find(|series: &&Series| series.server == server);
        let (Some(ours), Some(naive)) = (of(Server::Ours), of(Server::Naive)) else {
            return Ok(());
        };
        let rounds = ours.rounds.iter().zip(&naive.rounds);
        let times = rounds.map(|(our, its)| its.us_per_update() / our.us_per_update());
        let Some(found) = Spread::of(times) else { return Ok(()) };
        writeln!(
            f,
            "| naive / ours, a delivered frame | {} / {} | {found:.1} | ≥ {NAIVE_TIMES_MIN} | {} |",
            naive.load,
            ours.load,
            self.verdict(found.middle >= NAIVE_TIMES_MIN)
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.costs(f)?;
        writeln!(f)?;
        self.ratios(f)?;
        let rounds = self.series.first().map_or(0, |series| series.rounds.len());
        let [before, after] = self.machine_load;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(
            f,
            "\nThe middle one of {rounds} rounds that take turns (least – most); ratios are of the same \
             round. Server and load generator share {cores} cores; load average before {before}, \
             after {after}."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { listeners: 10, rate: 20. };

    fn series(server: Server, cpu_s: [f64; 3]) -> Series {
        let round = |cpu_s| Round {
            cpu_s,
            seconds: 1.,
            updates: 1e6,
            writes: (server != Server::Naive).then_some(1e5),
            p50_ms: 1.,
            p99_ms: 2.,
            max_ms: 3.,
        };
        Series { server, load: LOAD, rounds: cpu_s.map(round).into() }
    }

    #[test]
    fn rounds_are_compared_one_by_one_and_the_middle_one_counts() {
        let series = vec![
            series(Server::Ours, [1.1, 4.4, 1.]),
            series(Server::Plain, [1., 4., 0.5]),
            series(Server::Naive, [33., 44., 50.]),
        ];
        let table = Figures { series, judged: true, machine_load: [0., 0.] }.to_string();
        for row in [
            "| 10 × 20 | ours | 11.00 (10.00 – 44.00) | 1.1000 (1.0000 – 4.4000) | 100000 | 1000000 |",
            "| 10 × 20 | naive | – | 44.0000 (33.0000 – 50.0000) | – | 1000000 |",
            "| ours / plain, a socket write | 10 × 20 | 1.10 (1.10 – 2.00) | ≤ 1.2 | met |",
            "| naive / ours, a delivered frame | 10 × 20 / 10 × 20 | 30.0 (10.0 – 50.0) | ≥ 20 | met |",
        ] {
            assert!(table.contains(row), "{row}\nin\n{table}");
        }
    }

    #[test]
    fn one_server_alone_is_compared_with_nobody() {
        let series = vec![series(Server::Naive, [1., 2., 3.])];
        let table = Figures { series, judged: true, machine_load: [0., 0.] }.to_string();
        assert!(!table.contains("ours"), "{table}");
    }
}
