//! What a run of the group benchmark found, as tables in Markdown, so that documents can take them over.

use std::fmt;

use super::{Part, Round, Series};
use crate::bench::spread::Spread;

/// Goals, as promised in `docs/BENCHMARKS.md`: the time until 99 % have a message beside plain tokio's …
const TIMES_PLAIN_MAX: f64 = 1.2;

/// … and in milliseconds, up to so many members.
const P99_MS_MAX: f64 = 100.;
const P99_MEMBERS_MAX: u32 = 5000;

/// Everything.
#[derive(Debug)]
pub struct Figures {
    /// Each size.
    pub series: Vec<Series>,
    /// Messages that were sent one after the other.
    pub messages: u32,
    /// Messages that were sent at once.
    pub burst: u32,
    /// Whether goals apply.
    pub judged: bool,
    /// Processes that wanted a core, on average over a minute, before and after.
    pub machine_load: [f64; 2],
}

type OfRound = fn(&Round) -> &Part;

/// Both parts, with their names.
fn parts(burst: u32) -> [(String, OfRound); 2] {
    [
        ("one by one".to_owned(), |round| &round.single),
        (format!("{burst} at once"), |round| &round.burst),
    ]
}

/// Our figure over plain tokio's in the same round.
fn times(series: &Series, figure: impl Fn(&Round) -> f64) -> Option<Spread> {
    let rounds = series.ours.iter().zip(&series.plain);
    Spread::of(rounds.map(|(ours, plain)| figure(ours) / figure(plain)))
}

impl Figures {
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
            "| members | messages | server | p50 ms | p99 ms | max ms | µs CPU for each member |\n\
             | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for series in &self.series {
            for (what, of) in parts(self.burst) {
                for (server, rounds) in [("ours", &series.ours), ("plain", &series.plain)] {
                    let spread =
                        |figure: fn(&Part) -> f64| Spread::of(rounds.iter().map(of).map(figure));
                    let [Some(p50), Some(p99), Some(max), Some(cpu)] = [
                        spread(|part| part.p50_ms),
                        spread(|part| part.p99_ms),
                        spread(|part| part.max_ms),
                        spread(Part::us_per_message),
                    ] else {
                        continue;
                    };
                    let members = series.members;
                    writeln!(
                        f,
                        "| {members} | {what} | {server} | {p50:.1} | {p99:.1} | {max:.0} | {cpu:.2} |"
                    )?;
                }
            }
        }
        Ok(())
    }

    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | members | messages | found | goal | |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for series in &self.series {
            let members = series.members;
            for (number, (what, of)) in parts(self.burst).into_iter().enumerate() {
                let (p99, cpu) = (
                    times(series, |round| of(round).p99_ms),
                    times(series, |round| of(round).us_per_message()),
                );
                let (Some(p99), Some(cpu)) = (p99, cpu) else { continue };
                // What is promised is about a message, not about many at once.
                let (goal, verdict) = match number {
                    0 => ("≤ 1.2", self.verdict(p99.middle <= TIMES_PLAIN_MAX)),
                    _ => ("–", "–"),
                };
                writeln!(
                    f,
                    "| ours / plain, p99 | {members} | {what} | {p99:.2} | {goal} | {verdict} |"
                )?;
                writeln!(f, "| ours / plain, CPU | {members} | {what} | {cpu:.2} | – | – |")?;
            }
            if let Some(middle) = times(series, |round| round.middle_p99_ms) {
                let what = "ours / plain, p99 of the middle message";
                writeln!(f, "| {what} | {members} | one by one | {middle:.2} | – | – |")?;
            }
            let p99 = Spread::of(series.ours.iter().map(|round| round.single.p99_ms));
            if let Some(p99) = p99.filter(|_| members <= P99_MEMBERS_MAX) {
                let verdict = self.verdict(p99.middle <= P99_MS_MAX);
                writeln!(
                    f,
                    "| ours, p99 ms | {members} | one by one | {p99:.1} | ≤ {P99_MS_MAX} | {verdict} |"
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.costs(f)?;
        writeln!(f)?;
        self.ratios(f)?;
        let rounds = self.series.first().map_or(0, |series| series.ours.len());
        let bytes = |rounds: &[Round]| rounds.first().map_or(0., |round| round.bytes);
        let bytes = self.series.first().map(|series| (bytes(&series.ours), bytes(&series.plain)));
        let (ours, plain) = bytes.unwrap_or_default();
        let [before, after] = self.machine_load;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(
            f,
            "\nThe middle one of {rounds} rounds that take turns (least – most); ratios are of the same round. {} \
             messages one by one, of {ours} bytes, those of plain tokio of {plain}. Server and load generator share {cores} \
             cores; load average before {before:.1}, after {after:.1}.",
            self.messages
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(p99_ms: f64) -> Round {
        let part = Part { heard: 1e6, cpu_s: p99_ms, p50_ms: 1., p99_ms, max_ms: 2. * p99_ms };
        Round { single: part, burst: part, middle_p99_ms: 3., bytes: 250. }
    }

    #[test]
    fn rounds_are_compared_one_by_one_and_the_middle_one_counts() {
        let series = vec![Series {
            members: 5000,
            ours: [11., 44., 10.].map(round).into(),
            plain: [10., 40., 5.].map(round).into(),
        }];
        let (machine_load, judged) = ([0., 0.], true);
        let table = Figures { series, messages: 3, burst: 7, judged, machine_load }.to_string();
        for row in [
            "| 5000 | one by one | ours | 1.0 (1.0 – 1.0) | 11.0 (10.0 – 44.0) |",
            "| 5000 | 7 at once | plain |",
            "| ours / plain, p99 | 5000 | one by one | 1.10 (1.10 – 2.00) | ≤ 1.2 | met |",
            "| ours / plain, p99 of the middle message | 5000 | one by one | 1.00 (1.00 – 1.00) |",
            "| ours, p99 ms | 5000 | one by one | 11.0 (10.0 – 44.0) | ≤ 100 | met |",
        ] {
            assert!(table.contains(row), "{row}\nin\n{table}");
        }
    }

    #[test]
    fn what_is_slower_than_promised_is_said_to_be_so() {
        let series =
            vec![Series { members: 5000, ours: vec![round(150.)], plain: vec![round(100.)] }];
        let (machine_load, judged) = ([0., 0.], true);
        let table = Figures { series, messages: 3, burst: 7, judged, machine_load }.to_string();
        assert_eq!(table.matches("NOT MET").count(), 2, "{table}");
    }
}
