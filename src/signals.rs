//! The signals that ask the process to end: SIGTERM from supervisors, SIGINT and SIGQUIT from a keyboard, SIGHUP
//! from a terminal that is closed. Where there is no terminal an operator sends SIGHUP, and asks a server to read its
//! settings again.

use std::{fs::File, future::pending};

use anyhow::Result;
use procfs::process::Process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that ask the process to end.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` below `nohup`, whose user wants the process to outlive the terminal.
    hangup: Option<Signal>,
}

/// Those that ask for the settings to be read again.
pub struct Hangups(Signal);

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

    /// Takes SIGHUP from among them if there is no terminal that may send it. To be asked at the start: when the
    /// signal comes from a terminal, that is gone.
    pub fn hangups(&mut self) -> Option<Hangups> {
        if has_terminal() { None } else { self.hangup.take().map(Hangups) }
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

impl Hangups {
    /// Waits for the next one, which may have come already; `false`: there will be none.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Whether the process has a controlling terminal, which is what this file stands for.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process was started with a signal ignored; without `/proc`: no.
fn is_ignored(kind: SignalKind) -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign >> (kind.as_raw_value() - 1) & 1 == 1)
}
