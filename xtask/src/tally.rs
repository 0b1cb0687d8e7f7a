//! The account of a run of tests: how many went how, which failed and why, which were left out and why.
//! Read off what libtest prints.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

/// A failure's own words, shortened to what fits below its name.
const WHY_LINES_MAX: usize = 3;

/// What became of the tests.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were left out.
    pub skipped: u64,
    /// Those that failed, by name, and the beginning of what each said.
    failures: BTreeMap<String, Vec<String>>,
    /// Those that were left out, by reason.
    left_out: BTreeMap<String, Vec<String>>,
    reading: Reading,
}

/// Where in libtest's output we are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Reading {
    /// Between two programs of tests.
    #[default]
    Nothing,
    /// After `running 12 tests`.
    Results,
    /// In what this test had printed.
    Output(String),
    /// In that, after its panic began.
    Panic(String),
}

impl Tally {
    /// Of tests that somebody else has counted; `failures` are the names of those that failed.
    pub fn of(passed: u64, failed: u64, failures: impl IntoIterator<Item = String>) -> Self {
        let failures = failures.into_iter().map(|name| (name, Vec::new())).collect();
        Self { passed, failed, failures, ..Self::default() }
    }

    /// Reads one line of libtest's.
    pub fn add(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.add_result(result);
        } else if announces_tests(line) {
            self.end();
            self.reading = Reading::Results;
        } else if let Some(name) = heading(line) {
            self.reading = Reading::Output(name.to_owned());
        } else if line == "failures:" {
            self.reading = Reading::Results;
        } else {
            self.add_within(line);
        }
    }

    /// `ok. 12 passed; 0 failed; 1 ignored; …`, the last line of a program.
    fn add_result(&mut self, result: &str) {
        let count = |what: &str| {
            let (before, _) = result.split_once(what)?;
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        self.passed += count(" passed;").unwrap_or_default();
        self.failed += count(" failed;").unwrap_or_default();
        self.skipped += count(" ignored;").unwrap_or_default();
        self.reading = Reading::Nothing;
    }

    fn add_within(&mut self, line: &str) {
        match &self.reading {
            Reading::Nothing => {}
            Reading::Results => self.add_outcome(line),
            Reading::Output(name) => {
                if line.starts_with("thread '") && line.contains(" panicked at ") {
                    self.reading = Reading::Panic(name.clone());
                }
            }
            Reading::Panic(name) => {
                let why = self.failures.entry(name.clone()).or_default();
                let is_over =
                    line.is_empty() || line.starts_with("note: ") || line == "stack backtrace:";
                if is_over || why.len() == WHY_LINES_MAX {
                    self.reading = Reading::Output(name.clone());
                } else {
                    why.push(line.to_owned());
                }
            }
        }
    }

    /// `test aging::a_name ... FAILED`, or `... ignored, needs Docker`.
    fn add_outcome(&mut self, line: &str) {
        let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            return;
        };
        if outcome == "FAILED" {
            self.failures.entry(name.to_owned()).or_default();
        } else if let Some(reason) = outcome.strip_prefix("ignored") {
            let reason = reason.strip_prefix(", ").unwrap_or("no reason given");
            self.left_out.entry(reason.to_owned()).or_default().push(name.to_owned());
        }
    }

    /// The end of all output, or the beginning of the next program: one that was running has died.
    pub fn end(&mut self) {
        if self.reading != Reading::Nothing {
            self.reading = Reading::Nothing;
            self.failed += 1;
            let name = "a program of tests that ended before its tests did".to_owned();
            self.failures.entry(name).or_default();
        }
    }

    /// Names every test that failed and every one that was left out; nothing if there is none.
    pub fn details(&self) -> String {
        let mut text = String::new();
        if !self.failures.is_empty() {
            text += "failed:\n";
        }
        for (name, why) in &self.failures {
            text += &format!("  {name}\n");
            text.extend(why.iter().map(|line| format!("      {line}\n")));
        }
        if !self.left_out.is_empty() {
            text += "left out:\n";
        }
        for (reason, names) in &self.left_out {
            text += &format!("  {reason}\n");
            text.extend(names.iter().map(|name| format!("      {name}\n")));
        }
        text
    }
}

/// `running 12 tests`, the first line of a program.
fn announces_tests(line: &str) -> bool {
    let number = line.strip_prefix("running ").and_then(|rest| rest.split_once(" test"));
    number.is_some_and(|(number, _)| number.parse::<u64>().is_ok())
}

/// `---- aging::a_name stdout ----`, before what a failed test had printed.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// The last line of a run: programs read it, so it holds numbers alone.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        for (reason, names) in other.left_out {
            self.left_out.entry(reason).or_default().extend(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test image::it_starts ... ignored, needs Docker: cargo xtask image
test tests::one ... ok
test page::soon ... FAILED

failures:

---- page::soon stdout ----
a test that prints: test result: ok. 99 passed; 0 failed

thread 'page::soon' (77) panicked at tests/page.rs:42:9:
first boxes after 2792 ms
stack backtrace:
   0: __rustc::rust_begin_unwind
note: run with `RUST_BACKTRACE=full` environment variable to display a backtrace
the server's log


failures:
    page::soon

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 9 filtered out; finished in 2.07s

running 2 tests
test tests::two ... ok
test tests::three - should panic ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn read(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.add(line));
        tally.end();
        tally
    }

    #[test]
    fn results_are_summed_up_over_programs_and_every_name_is_kept() {
        let tally = read(OUTPUT);
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 1 skipped");
        assert_eq!(
            tally.details(),
            "failed:\n  page::soon\n      first boxes after 2792 ms\n\
             left out:\n  needs Docker: cargo xtask image\n      image::it_starts\n"
        );
        let mut both = Tally::of(7, 0, []);
        both += tally;
        assert_eq!(both.to_string(), "10 passed, 1 failed, 1 skipped");
        assert!(both.details().contains("page::soon"));
    }

    #[test]
    fn without_failures_there_is_nothing_to_name() {
        let tally = read("running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed;\n");
        assert_eq!(
            (tally.to_string().as_str(), tally.details().as_str()),
            ("1 passed, 0 failed", "")
        );
    }

    #[test]
    fn a_program_that_dies_before_its_result_is_a_failure() {
        for rest in ["", "running 1 test\ntest b ... ok\n\ntest result: ok. 1 passed; 0 failed;\n"]
        {
            let tally = read(&format!("running 2 tests\ntest a ... ok\n{rest}"));
            assert_eq!(tally.failed, 1, "{tally:?}");
            assert!(tally.details().contains("ended before its tests did"));
        }
    }
}
