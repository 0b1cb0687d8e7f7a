//! How far a command is: a bar on a terminal, a line in the log every few seconds elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// One piece of work under way. Gone from the screen when dropped.
pub struct Progress {
    what: &'static str,
    bar: ProgressBar,
    of: u64,
    said: Instant,
}

impl Progress {
    /// `what` is being done to `of` things.
    pub fn new(what: &'static str, of: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix} [{bar:40}] {percent:>3} %  {eta} left");
        bar.set_style(style.expect("a sound template").progress_chars("=> "));
        bar.set_prefix(what);
        Self { what, bar, of, said: Instant::now() }
    }

    /// `done` of them are done.
    pub fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.said.elapsed() >= LINE_INTERVAL {
            self.said = Instant::now();
            log::info!("{}: {} %", self.what, (done * 100).checked_div(self.of).unwrap_or(100));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
