//! What the server says of itself on `/metrics`: asked for now and then, and judged over a long time. A trend is the
//! median of the last quarter of the samples beside that of the first, so that neither a burst nor a pause counts.

use anyhow::{Context, Result};
use tokio::task::spawn_blocking;

use crate::faults::{Fault, Faults};
use crate::report::Report;
use crate::scrape;

/// Growth that is no leak, whatever the share: of an allocator's caches, of connections that come and go.
const RESIDENT_SLACK_KIB: f64 = 4096.0;
const COUNT_SLACK: f64 = 10.0;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vitals {
    pub(crate) resident_kib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
    pub(crate) connections: f64,
    pub(crate) http_connections: f64,
    /// With a Redis Cluster.
    redis_tasks: Option<f64>,
}

impl Vitals {
    /// Asks `admin`, host and port.
    pub(crate) async fn ask(admin: &str) -> Result<Self> {
        let address = admin.to_owned();
        let answer = spawn_blocking(move || scrape::fetch(&address)).await?;
        let answer = answer.with_context(|| format!("http://{admin}/metrics"))?;
        Self::parse(&answer).with_context(|| format!("http://{admin}/metrics says too little"))
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name| scrape::value(text, name);
        Some(Self {
            resident_kib: value("process_resident_memory_bytes").map(|bytes| bytes / 1024.0)?,
            descriptors: value("process_open_fds")?,
            threads: value("process_threads")?,
            connections: value("billion_connections")?,
            http_connections: value("billion_http_connections")?,
            redis_tasks: value("billion_redis_tasks"),
        })
    }
}

/// How one figure changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trend {
    name: &'static str,
    first: f64,
    last: f64,
    /// The most that `last` may be.
    allowed: f64,
}

/// Trends of all figures; growth by the share `growth` is allowed, and a little beside it.
pub(crate) fn trends(samples: &[Vitals], growth: f64) -> Vec<Trend> {
    let quarter = samples.len().div_ceil(4);
    let median = |samples: &[Vitals], figure: fn(&Vitals) -> Option<f64>| {
        let mut values: Vec<f64> = samples.iter().filter_map(figure).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let trend = |name, figure: fn(&Vitals) -> Option<f64>, slack| {
        let first = median(&samples[..quarter], figure)?;
        let last = median(&samples[samples.len() - quarter..], figure)?;
        Some(Trend { name, first, last, allowed: first * (1.0 + growth) + slack })
    };
    let all = [
        trend("resident_kib", |vitals| Some(vitals.resident_kib), RESIDENT_SLACK_KIB),
        trend("descriptors", |vitals| Some(vitals.descriptors), COUNT_SLACK),
        trend("threads", |vitals| Some(vitals.threads), COUNT_SLACK),
        trend("connections", |vitals| Some(vitals.connections), COUNT_SLACK),
        trend("http_connections", |vitals| Some(vitals.http_connections), COUNT_SLACK),
        trend("redis_tasks", |vitals| vitals.redis_tasks, COUNT_SLACK),
    ];
    all.into_iter().flatten().collect()
}

impl Trend {
    /// Reports it, and notes a fault if it is not flat.
    pub(crate) fn tell(&self, report: &mut Report, faults: &mut Faults) {
        let Self { name, first, last, allowed } = self;
        report.number(&format!("server_{name}_first_quarter"), *first);
        report.number(&format!("server_{name}_last_quarter"), *last);
        if last > allowed {
            faults.note(Fault::Grew, || {
                format!("{name}: {first:.0} to {last:.0}, {allowed:.0} allowed")
            });
        }
    }
}

/// Descriptors when all have gone, beside those before anybody came.
pub(crate) fn judge_rest(before: &Vitals, after: &Vitals, faults: &mut Faults) {
    let (was, is) = (before.descriptors, after.descriptors);
    if is > was + COUNT_SLACK {
        faults.note(Fault::Grew, || format!("descriptors: {was} before, {is} when all had gone"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Vitals = Vitals {
        resident_kib: 20_000.0,
        descriptors: 500.0,
        threads: 9.0,
        connections: 460.0,
        http_connections: 0.0,
        redis_tasks: None,
    };

    fn faults(samples: &[Vitals]) -> Vec<(Fault, u64)> {
        let (mut report, mut faults) =
            (Report::new("soak", serde_json::json!({})), Faults::default());
        trends(samples, 0.05).iter().for_each(|trend| trend.tell(&mut report, &mut faults));
        faults.counts()
    }

    #[test]
    fn metrics_are_found_by_their_whole_names() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# HELP x y\nbillion_connections_opened_total 9\n\
            billion_connections 460\nbillion_http_connections 0\nprocess_open_fds 500\n\
            process_resident_memory_bytes 20480000\nprocess_threads 9\n# EOF\n";
        assert_eq!(Vitals::parse(text), Some(SOME));
        assert_eq!(Vitals::parse(&text.replace("process_open_fds", "open_fds")), None);
        let with_redis = text.replace("# EOF", "billion_redis_tasks 70");
        assert_eq!(Vitals::parse(&with_redis).and_then(|vitals| vitals.redis_tasks), Some(70.0));
    }

    #[test]
    fn a_burst_is_flat_and_steady_growth_is_not() {
        assert_eq!(faults(&[SOME; 8]), []);
        assert_eq!(faults(&[SOME]), []);
        let mut burst = vec![SOME; 40];
        burst[39].resident_kib *= 3.0;
        burst[35].descriptors *= 3.0;
        assert_eq!(faults(&burst), []);
        let growing: Vec<_> = (0..40)
            .map(|at| Vitals { resident_kib: 20_000.0 + 200.0 * f64::from(at), ..SOME })
            .collect();
        assert_eq!(faults(&growing), [(Fault::Grew, 1)]);
        let leaking: Vec<_> =
            (0..40).map(|at| Vitals { descriptors: 500.0 + f64::from(2 * at), ..SOME }).collect();
        assert_eq!(faults(&leaking), [(Fault::Grew, 1)]);
    }

    #[test]
    fn descriptors_have_to_come_back() {
        let mut faults = Faults::default();
        judge_rest(&SOME, &Vitals { descriptors: 510.0, ..SOME }, &mut faults);
        assert!(faults.is_empty());
        judge_rest(&SOME, &Vitals { descriptors: 511.0, ..SOME }, &mut faults);
        assert_eq!(faults.counts(), [(Fault::Grew, 1)]);
    }
}
