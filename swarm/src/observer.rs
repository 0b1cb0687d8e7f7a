//! The coordinator's eyes: waits for a condition with a deadline while it samples the server's memory, moves the progress
//! line and listens for Ctrl-C. Every wait of a run goes through `Observer::wait`, so every one is bounded and ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use crate::scrape;
use crate::usage::{Cpu, Memory};

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// Counts every write that a socket of the server took.
const SOCKET_WRITES: &str = "billion_socket_writes_total";

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Fulfilled,
    TimedOut,
    Interrupted,
}

pub(crate) struct Observer {
    server: Option<u32>,
    metrics: Option<String>,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    sampled: Instant,
    pub(crate) resident_peak_kib: Option<u64>,
}

impl Observer {
    /// Must be called inside the runtime that will wait.
    pub(crate) fn new(server: Option<u32>, metrics: Option<String>) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")
                .expect("a valid template"),
        );
        let interrupted = Arc::new(AtomicBool::new(false));
        tokio::spawn(listen_for_ctrl_c(Arc::clone(&interrupted)));
        let (sampled, resident_peak_kib) = (Instant::now(), None);
        Self { server, metrics, bar, interrupted, sampled, resident_peak_kib }
    }

    /// Waits until `done`, at most for `limit`, or until the player presses Ctrl-C; `line` says what goes on.
    pub(crate) async fn wait(
        &mut self,
        limit: Duration,
        mut done: impl FnMut() -> bool,
        mut line: impl FnMut() -> String,
    ) -> Waited {
        let began = Instant::now();
        loop {
            if self.interrupted() {
                return Waited::Interrupted;
            }
            if done() {
                return Waited::Fulfilled;
            }
            if began.elapsed() >= limit {
                return Waited::TimedOut;
            }
            if self.sampled.elapsed() >= SAMPLE_INTERVAL {
                self.sampled = Instant::now();
                self.resident_peak_kib =
                    self.resident_peak_kib.max(self.memory().map(|memory| memory.resident_kib));
                self.bar.set_message(line());
                self.bar.tick();
            }
            sleep(LOOK_INTERVAL.min(limit.saturating_sub(began.elapsed()))).await;
        }
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// After an interruption the run still drains and reports; waits for that must not end at once.
    pub(crate) fn rearm(&mut self) -> bool {
        self.interrupted.swap(false, Relaxed)
    }

    pub(crate) fn say(&self, line: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(line);
        self.bar.tick();
    }

    pub(crate) fn hide(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        self.server.and_then(Memory::of)
    }

    /// Both processes' CPU, the server's writes and the time, to be subtracted from a later reading.
    pub(crate) fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            server: self.server.and_then(Cpu::of),
            // Waits for the server, which may be busy; that is alike at both ends of what is measured.
            socket_writes: self
                .metrics
                .as_deref()
                .and_then(|metrics| scrape::counter(metrics, SOCKET_WRITES)),
            swarm: Cpu::of(std::process::id()),
        }
    }
}

/// What had been used at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    server: Option<Cpu>,
    swarm: Option<Cpu>,
    socket_writes: Option<f64>,
}

impl Reading {
    pub(crate) fn socket_writes_since(&self, earlier: &Self) -> Option<f64> {
        Some(self.socket_writes? - earlier.socket_writes?)
    }

    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        (self.at - earlier.at).as_secs_f64()
    }

    pub(crate) fn server_since(&self, earlier: &Self) -> Option<Cpu> {
        Some(self.server?.since(earlier.server?))
    }

    pub(crate) fn swarm_since(&self, earlier: &Self) -> Option<Cpu> {
        Some(self.swarm?.since(earlier.swarm?))
    }
}

async fn listen_for_ctrl_c(interrupted: Arc<AtomicBool>) {
    // Bounded by the patience of who presses: the first ends the load, the second skips the draining too.
    while tokio::signal::ctrl_c().await.is_ok() {
        interrupted.store(true, Relaxed);
    }
}
