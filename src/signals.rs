//! The signals that ask the process to end: SIGTERM from supervisors, SIGINT and SIGQUIT from a keyboard,
//! SIGHUP from a terminal that is closed.

use std::{fs, future::pending};

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// All of them.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` below `nohup`, whose user wants the process to outlive the terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Begins to listen; from here on none of them ends the process by itself.
    ///
    /// # Errors
    /// If the kernel does not let it.
    pub fn new() -> Result<Self> {
        let hangup = if is_ignored(SignalKind::hangup()) {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup,
        })
    }

    /// The name and number of the next one.
    pub async fn next(&mut self) -> (&'static str, i32) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.quit.recv() => ("SIGQUIT", 3),
            () = hangup => ("SIGHUP", 1),
        }
    }
}

/// Whether the process was started with a signal ignored; without `/proc`: no.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
