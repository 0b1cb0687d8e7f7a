//! What this process uses of the machine, read from `/proc` whenever somebody asks, so that it costs
//! nothing while nobody does; and whether its descriptors are about to run out.
//!
//! Without `/proc` it says nothing: neither metrics nor warnings, and nothing fails.

use std::{fmt, fs, sync::OnceLock};

use procfs::{page_size, process::Process as Entry, ticks_per_second};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

/// From this share of the limit on, descriptors are running out …
const SHORT: f64 = 0.9;

/// … until they are below this one, so that one player more or less does not write a line each time.
const ENOUGH: f64 = 0.8;

/// When the machine started, in seconds since 1970. Read once: it moves with every step of the clock. From
/// the clocks, because `/proc/stat` is hidden where only processes are shown (`ProcSubset=pid`).
fn boot_time_s() -> f64 {
    static BOOT: OnceLock<f64> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let seconds = |clock| {
            let time = clock_gettime(clock);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        seconds(ClockId::Realtime) - seconds(ClockId::Boottime)
    })
}

/// Memory that this process has in use.
pub fn resident_bytes() -> Option<u64> {
    let stat = Entry::myself().and_then(|entry| entry.stat()).ok()?;
    Some(stat.rss * page_size())
}

/// How many files are open.
pub fn descriptors_open() -> Option<usize> {
    // Since Linux 6.2 the size of the folder is their number; counting 19,000 of them takes 5 ms.
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)),
        open => usize::try_from(open).ok(),
    }
}

/// How many may be open; `None`: as many as one likes.
pub fn descriptors_max() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|max| usize::try_from(max).ok())
}

/// Raises that as far as it goes, and says how far that is.
pub fn raise_descriptors_max() -> Option<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Failing leaves the lower limit, which is read back.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    descriptors_max()
}

/// What there is to say of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// They are running out.
    Short,
    /// They suffice again.
    Enough,
}

/// Notices when descriptors begin to run out, and when that is over.
#[derive(Debug)]
pub struct DescriptorWatch {
    max: f64,
    short: bool,
}

impl DescriptorWatch {
    /// At most `max` may be open.
    pub fn new(max: usize) -> Self {
        Self { max: max as f64, short: false }
    }

    /// So many are open now: what has changed by that.
    pub fn look(&mut self, open: usize) -> Option<Descriptors> {
        let share = open as f64 / self.max;
        let short = if self.short { share >= ENOUGH } else { share >= SHORT };
        if short == self.short {
            return None;
        }
        self.short = short;
        Some(if short { Descriptors::Short } else { Descriptors::Enough })
    }
}

/// The metrics that clients of Prometheus tell of every process, under their usual names.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let gauge = |value: u64| ConstGauge::new(value);
        let stat = Entry::myself().and_then(|entry| entry.stat());
        if let Ok(stat) = &stat {
            let bytes = gauge(stat.rss * page_size());
            tell("process_resident_memory_bytes", "Resident memory", &bytes)?;
        }
        if let Some(open) = descriptors_open() {
            tell("process_open_fds", "Open file descriptors", &gauge(open as u64))?;
        }
        if let Some(max) = descriptors_max() {
            tell("process_max_fds", "Most that may be open", &gauge(max as u64))?;
        }
        let Ok(stat) = stat else { return Ok(()) };
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
        let cpu = ConstCounter::new(seconds(stat.utime + stat.stime));
        tell("process_cpu_seconds", "User and system CPU time spent", &cpu)?;
        tell("process_threads", "Threads", &gauge(stat.num_threads.unsigned_abs()))?;
        let start = ConstGauge::new(boot_time_s() + seconds(stat.starttime));
        tell("process_start_time_seconds", "Start of the process, since 1970", &start)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn this_very_process_has_them_all_without_a_prefix() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{text}"))
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age = now.expect("past 1970").as_secs_f64() - value("process_start_time_seconds");
        // A tick is 10 ms, and a busy machine may take its time to run this.
        assert!((-0.1..86_400.0).contains(&age), "{age}");
    }

    #[test]
    fn an_open_file_is_counted() {
        let before = descriptors_open().expect("Linux");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        // Other tests of this process open and close some, too.
        assert!(descriptors_open().expect("Linux") > before + 20);
        drop(files);
    }

    #[test]
    fn running_out_is_told_once_and_the_end_of_it_once() {
        let mut watch = DescriptorWatch::new(100);
        let told: Vec<_> = [10, 89, 90, 95, 85, 80, 79, 85, 89, 90, 100, 1]
            .map(|open| watch.look(open))
            .into_iter()
            .flatten()
            .collect();
        use Descriptors::{Enough, Short};
        assert_eq!(told, [Short, Enough, Short, Enough]);
    }
}
