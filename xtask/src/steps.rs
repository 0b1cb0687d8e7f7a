//! Runs steps one after another, announces and times each, and says at the end how all of them went,
//! which tests failed and which were left out.

use std::{
    fmt::Display,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::tally::Tally;

/// The steps that ran so far.
#[derive(Debug, Default)]
pub struct Steps {
    done: Vec<Step>,
    tally: Option<Tally>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    /// Runs one step; whether it succeeded.
    pub fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        println!("\n=== {name} ===");
        let began = Instant::now();
        let failure = step().err().map(|failure| format!("{failure:#}"));
        let took = began.elapsed();
        match &failure {
            None => println!("=== {name}: ok, {} ===", seconds(took)),
            Some(failure) => println!("=== {name}: FAILED, {}: {failure} ===", seconds(took)),
        }
        let succeeded = failure.is_none();
        self.done.push(Step { name, took, failure });
        succeeded
    }

    /// Runs a step that counts tests; one failed test makes it fail.
    pub fn count(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(Tally, Result<()>)>,
    ) {
        let mut tally = Tally::default();
        self.run(name, || {
            let (all, outcome) = step()?;
            tally = all;
            outcome
        });
        *self.tally.get_or_insert_default() += tally;
    }

    /// Prints the table, what failed and what was left out, and as the last line the numbers of tests, if
    /// any were to be counted.
    pub fn finish(&self) -> ExitCode {
        println!();
        let mut sum = Duration::ZERO;
        for step in &self.done {
            sum += step.took;
            row(step.name, step.took, step.failure.as_deref().unwrap_or("ok"));
        }
        let failed = self.done.iter().filter(|step| step.failure.is_some()).count();
        let all = self.done.len();
        row("all", sum, format!("{} of {all} steps ok", all - failed));
        if let Some(tally) = &self.tally {
            println!("\n{}{tally}", tally.details());
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn row(name: &str, took: Duration, outcome: impl Display) {
    println!("{name:<14} {:>9}  {outcome}", seconds(took));
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
