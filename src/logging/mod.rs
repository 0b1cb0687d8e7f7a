//! Log lines on stderr: which of them are written, in which format, and the last words, which nothing can silence.
//!
//! A command writes each line itself. A server hands them to a thread, so that a stderr that nobody reads holds up
//! nobody, and sums up what repeats. Who says what to write, `log.level` and `log.format`, may change while it runs.

mod directives;
mod line;
mod repeats;
mod queue;

use std::{
    fmt::Display,
    io,
    os::fd::AsFd as _,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use env_logger::{Builder, Logger, Target};
use log::{Level, Log, Metadata, Record};
use prometheus_client::metrics::counter::Counter;
use rustix::io::Errno;

use self::{
    line::Format,
    queue::{Batch, End, LAST_ROOM, Queue, ROOM},
    repeats::Repeats,
};

use crate::numbers::counted;

pub use directives::{known, problem};

/// The end waits so long for lines to be written. Whoever reads at all reads a full queue, 1 MiB, in that time.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The same for a panic, after which the process may be gone at once.
const PANIC_FLUSH_TIME: Duration = Duration::from_millis(100);

/// Between two attempts to write where others share stderr and have made it not block.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Where every line goes.
static OUTLET: LazyLock<RwLock<Arc<Outlet>>> =
    LazyLock::new(|| RwLock::new(Arc::new(Outlet::new(Format::Text, "", None))));

/// `log_lines_dropped_total`.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Starts logging to stderr: text at `info`, until the settings are known.
pub fn start() -> Ending {
    replace(Format::Text, "", None);
    // Fails where there is a logger already, which can only be this one.
    let _ = log::set_logger(&Front);
    Ending(())
}

/// From now on writes lines in a format, `log.format`, and of them those that `log.level` selects.
pub fn follow(format: &str, level: &str) {
    replace(Format::named(format), level, current().background.clone());
}

/// From now on no line is waited for: a thread writes them, and sums up those that repeat. If there can be no thread all
/// stays as it is.
pub fn hand_over() {
    let background = Arc::new(Background::new(DROPPED.clone()));
    let writer = background.clone();
    let spawned = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run());
    if spawned.is_ok() {
        let outlet = current();
        replace(outlet.format, &outlet.level, Some(background));
    }
}

/// Says why the process ends, or what it should not have come to.
pub fn fatal(why: impl Display) {
    say(&current().last, Level::Error, why);
}

/// Says what the log always has, whatever is selected.
pub fn always(what: impl Display) {
    say(&current().all, Level::Info, what);
}

/// Lines that nobody could read, because stderr did not take them.
pub fn dropped() -> Counter {
    DROPPED.clone()
}

/// Gives lines a moment to be written: after a panic the process may be gone at once.
pub fn settle() {
    if let Some(background) = &current().background {
        background.queue.flush(PANIC_FLUSH_TIME);
    }
}

/// Writes what is left; to be called before the process ends otherwise than by dropping its [`Ending`].
pub fn end() {
    if let Some(background) = &current().background {
        background.sum_up(true);
        background.queue.flush(FLUSH_TIME);
    }
}

/// Writes what is left when it is dropped, also by a panic.
#[must_use]
pub struct Ending(());

impl Drop for Ending {
    fn drop(&mut self) {
        end();
    }
}

fn say(logger: &Logger, level: Level, what: impl Display) {
    let mut record = Record::builder();
    record.level(level).target(module_path!());
    logger.log(&record.args(format_args!("{what}")).build());
}

fn current() -> Arc<Outlet> {
    OUTLET.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn replace(format: Format, level: &str, background: Option<Arc<Background>>) {
    let outlet = Outlet::new(format, level, background);
    log::set_max_level(outlet.selected.filter());
    *OUTLET.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(outlet);
}

/// What the `log` crate knows; hands each record to the outlet of the moment.
struct Front;

impl Log for Front {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        current().selected.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let outlet = current();
        if outlet.selected.matches(record) && outlet.admits(record) {
            outlet.selected.log(record);
        }
    }

    fn flush(&self) {}
}

/// Loggers of one format to one place.
struct Outlet {
    format: Format,
    level: String,
    background: Option<Arc<Background>>,
    /// What was asked for.
    selected: Logger,
    /// Everything.
    all: Logger,
    /// Everything, with room also when there is none.
    last: Logger,
}

impl Outlet {
    fn new(format: Format, level: &str, background: Option<Arc<Background>>) -> Self {
        let logger = |filter: &str, room| {
            let mut builder = Builder::new();
            builder.parse_filters(filter).format(move |out, record| {
                let time = out.timestamp_millis();
                line::write(out, format, time, record)
            });
            if let Some(background) = &background {
                let end = End { queue: background.queue.clone(), room };
                builder.target(Target::Pipe(Box::new(end)));
            }
            builder.build()
        };
        Self {
            format,
            level: level.to_owned(),
            selected: logger(&directives::selected(level), ROOM),
            all: logger("trace", ROOM),
            last: logger("trace", LAST_ROOM),
            background,
        }
    }

    fn admits(&self, record: &Record<'_>) -> bool {
        self.background.as_ref().is_none_or(|background| {
            record.level() > Level::Info || background.repeats().admit(record, Instant::now())
        })
    }
}

/// What a server writes its log with.
struct Background {
    queue: Arc<Queue>,
    repeats: Mutex<Repeats>,
}

impl Background {
    fn new(dropped: Counter) -> Self {
        Self { queue: Arc::new(Queue::new(dropped)), repeats: Mutex::default() }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how many lines were held back whose time is over, or all.
    fn sum_up(&self, everything: bool) {
        // The lock is released before anything is logged.
        let sums = self.repeats().sums(Instant::now(), everything);
        for sum in sums {
            let pairs = [(line::REPEATS, sum.lines)];
            let mut record = Record::builder();
            record.level(sum.level).target(&sum.target).key_values(&pairs);
            current().all.log(&record.args(format_args!("{}", sum.message())).build());
        }
    }

    /// Writes for as long as the process lives.
    fn run(&self) {
        let (mut batch, mut untold, mut fails) = (Batch::default(), 0, false);
        loop {
            self.sum_up(false);
            let due = self.repeats().due();
            self.queue.take(&mut batch, due);
            untold += batch.dropped;
            // Behind the lines after which they are missing, and ahead of the next. Where nothing can be written it
            // would only be lost itself.
            if !fails {
                tell_of(&mut untold);
            }
            if batch.text.is_empty() {
                self.queue.done(0);
                continue;
            }
            let failed_before = std::mem::replace(&mut fails, write_all(&batch.text).is_err());
            let lost = if fails { batch.lines } else { 0 };
            untold += lost;
            if failed_before && !fails {
                tell_of(&mut untold);
            }
            self.queue.done(lost);
        }
    }
}

fn tell_of(untold: &mut u64) {
    let lines = std::mem::take(untold);
    if lines > 0 {
        let missing = counted(lines, "line is", "lines are");
        let what = format_args!("{missing} missing here: stderr did not take them");
        say(&current().all, Level::Warn, what);
    }
}

/// Writes to stderr, without the lock that all others take who write there: whoever waits here holds up nobody.
fn write_all(mut text: &[u8]) -> Result<(), Errno> {
    let stderr = io::stderr();
    while !text.is_empty() {
        match rustix::io::write(stderr.as_fd(), text) {
            Ok(written) => text = &text[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => thread::sleep(RETRY_INTERVAL),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
