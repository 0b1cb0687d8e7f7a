//! Which lines say the same as those before: all that one place in the code logs within some seconds. Holds back all but
//! the first of them, and sums up the rest.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use indicatif::HumanCount;
use log::{Level, Record};

/// Lines of one place that are written in one window: enough to see what they have in common.
const FIRST: u64 = 20;

/// From the first of them until those that were held back are summed up.
const WINDOW: Duration = Duration::from_secs(10);

/// Places that are watched at a time; lines of others are all written. The server and its libraries have about two
/// hundred that log at `info` or above.
const PLACES_MAX: usize = 256;

/// Characters of the first line that the sum repeats. With 256 places at most 256 · 4 · 200 bytes = 0.2 MB are kept.
const SHOWN_CHARS_MAX: usize = 200;

/// Those under watch.
#[derive(Debug, Default)]
pub struct Repeats {
    places: HashMap<u64, Place>,
    hasher: RandomState,
}

/// A place in the code that has logged something.
#[derive(Debug)]
struct Place {
    level: Level,
    target: String,
    first: String,
    began: Instant,
    lines: u64,
}

/// Lines that were held back.
#[derive(Debug, PartialEq, Eq)]
pub struct Sum {
    /// How severe each of them is.
    pub level: Level,
    /// Where they come from.
    pub target: String,
    /// How many.
    pub lines: u64,
    /// In so many seconds.
    pub seconds: u64,
    /// The first one of those that were written.
    pub first: String,
}

impl Sum {
    /// What stands in the log in their place.
    pub fn message(&self) -> String {
        let Self { lines, seconds, first, .. } = self;
        format!("… and {} more like it in {seconds} s: {first}", HumanCount(*lines))
    }
}

impl Repeats {
    /// Whether `record` is written. Otherwise it is counted.
    ///
    /// All of `debug` and `trace` is: whoever asks for them wants each line.
    pub fn admit(&mut self, record: &Record<'_>, now: Instant) -> bool {
        if record.level() > Level::Info {
            return true;
        }
        let place = (record.level(), record.target(), record.module_path(), record.line());
        let key = self.hasher.hash_one(place);
        let is_full = self.places.len() == PLACES_MAX;
        match self.places.get_mut(&key) {
            // Nothing of it was held back.
            Some(place) if place.lines <= FIRST && place.ends() <= now => {
                place.began = now;
                place.lines = 1;
                place.first = shortened(record);
                true
            }
            Some(place) => {
                place.lines += 1;
                place.lines <= FIRST
            }
            None if is_full => true,
            None => {
                self.places.insert(
                    key,
                    Place {
                        level: record.level(),
                        target: record.target().to_owned(),
                        first: shortened(record),
                        began: now,
                        lines: 1,
                    },
                );
                true
            }
        }
    }

    /// When something may have to be summed up.
    pub fn due(&self) -> Option<Instant> {
        self.places.values().map(Place::ends).min()
    }

    /// Sums up what is over, or everything, and forgets it.
    pub fn sums(&mut self, now: Instant, everything: bool) -> Vec<Sum> {
        let over = self.places.extract_if(|_, place| everything || place.ends() <= now);
        let mut over: Vec<_> = over.map(|(_, place)| place).collect();
        over.sort_by_key(|place| place.began);
        over.into_iter().filter_map(|place| place.sum(now)).collect()
    }
}

impl Place {
    fn ends(&self) -> Instant {
        self.began + WINDOW
    }

    fn sum(self, now: Instant) -> Option<Sum> {
        let Self { level, target, first, began, lines } = self;
        let lines = lines.checked_sub(FIRST).filter(|lines| *lines > 0)?;
        // Rounded up: never 0.
        let seconds = now.duration_since(began).as_secs_f64().ceil().max(1.0) as u64;
        Some(Sum { level, target, lines, seconds, first })
    }
}

fn shortened(record: &Record<'_>) -> String {
    let text = record.args().to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs a line of place `line` that has `number` in it.
    fn log(repeats: &mut Repeats, level: Level, line: u32, number: u64, now: Instant) -> bool {
        let mut builder = Record::builder();
        builder.level(level).target("billion::ws").line(Some(line));
        repeats.admit(&builder.args(format_args!("{number} came")).build(), now)
    }

    #[test]
    fn the_first_lines_of_a_place_are_written_and_the_rest_is_summed_up() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let written: Vec<u64> = (0..FIRST + 1203)
            .filter(|number| log(&mut repeats, Level::Warn, 7, *number, start))
            .collect();
        assert_eq!(written, (0..FIRST).collect::<Vec<_>>());
        assert!(log(&mut repeats, Level::Warn, 8, 0, start), "another place");
        assert!(log(&mut repeats, Level::Error, 7, 0, start), "another level");
        assert_eq!(repeats.due(), Some(start + WINDOW));
        assert_eq!(repeats.sums(start + WINDOW / 2, false), []);
        let [sum] = &repeats.sums(start + WINDOW, false)[..] else { panic!("of one place") };
        assert_eq!((sum.level, &*sum.target), (Level::Warn, "billion::ws"));
        assert_eq!(sum.message(), "… and 1,203 more like it in 10 s: 0 came");
        assert_eq!(repeats.due(), None, "nothing is kept");
        assert!(log(&mut repeats, Level::Warn, 7, 0, start + WINDOW), "a new window");
    }

    #[test]
    fn everything_that_was_held_back_is_summed_up_at_the_end() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..=FIRST {
            log(&mut repeats, Level::Info, 7, number, start);
        }
        let [sum] = &repeats.sums(start, true)[..] else { panic!("of one place") };
        assert_eq!((sum.lines, sum.seconds), (1, 1));
    }

    #[test]
    fn lines_that_were_held_back_are_counted_until_they_are_summed_up_however_late() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let late = start + WINDOW * 3;
        (0..=FIRST).for_each(|number| _ = log(&mut repeats, Level::Info, 7, number, start));
        assert!(!log(&mut repeats, Level::Info, 7, 0, late));
        let [sum] = &repeats.sums(late, false)[..] else { panic!("of one place") };
        assert_eq!((sum.lines, sum.seconds), (2, 30));
    }

    #[test]
    fn few_lines_and_lines_of_debug_are_all_written() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..FIRST * 3 {
            assert!(log(&mut repeats, Level::Debug, 7, number, start));
            let now = start + WINDOW * number as u32 / FIRST as u32;
            assert!(log(&mut repeats, Level::Info, 7, number, now), "{number}");
        }
    }

    #[test]
    fn no_more_places_are_watched_than_there_is_room_for() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for line in 0..2 * PLACES_MAX as u32 {
            assert!((0..FIRST).all(|number| log(&mut repeats, Level::Info, line, number, start)));
        }
        assert_eq!(repeats.places.len(), PLACES_MAX);
        assert!(!log(&mut repeats, Level::Info, 0, 0, start));
        assert!(log(&mut repeats, Level::Info, 2 * PLACES_MAX as u32 - 1, 0, start));
        let long = "ä".repeat(1000);
        let record = |args| shortened(&Record::builder().args(args).build()).chars().count();
        assert_eq!(record(format_args!("{long}")), SHOWN_CHARS_MAX + 1);
    }
}
