//! The benchmarks as tests: everything once, and what came out in the words of Rust's own harness.
//!
//! criterion alone would do as a test, but it takes one filter where `cargo test` passes on many,
//! ends with an error at flags it does not know, and prints no line that could be counted. So this
//! program starts itself again, in criterion's test mode, and translates.

use std::{
    env::{args, current_exe},
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

/// What cargo or [`run`] passes to say that criterion is meant.
const CRITERIONS: [&str; 2] = ["--bench", "--test"];

/// Flags of Rust's harness whose next word is a value, not the name of a test.
const WITH_VALUE: [&str; 6] =
    ["--color", "--format", "--logfile", "--skip", "--test-threads", "-Z"];

/// Whether this is `cargo test`, which passes nothing that would say so.
pub fn is_wanted() -> bool {
    !args().any(|argument| CRITERIONS.contains(&argument.as_str()))
}

/// Runs each benchmark whose name contains one of the words it was started with once.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = args().skip(1).collect();
    // Benchmarks are no ignored tests, and whoever asks for a list wants tests to run one by one.
    if arguments.iter().any(|argument| argument == "--ignored" || argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let mut criterion = Command::new(current_exe().expect("this program has a path"))
        .args(["--test", &filter(&arguments)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let mut passed = 0;
    for line in BufReader::new(criterion.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("criterion prints UTF-8");
        passed += u64::from(line == "Success");
        println!("{line}");
    }
    let succeeded = criterion.wait().expect("it was started").success();
    let (word, failed) = if succeeded { ("ok", 0) } else { ("FAILED", 1) };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured\n");
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// criterion's one filter, a regular expression, from any number of words.
fn filter(arguments: &[String]) -> String {
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            rest.next();
        } else if !argument.starts_with('-') {
            words.push(literal(argument));
        }
    }
    words.join("|")
}

fn literal(word: &str) -> String {
    let escape = |c: char| if c.is_alphanumeric() || c == '_' { "" } else { "\\" };
    word.chars().flat_map(|c| escape(c).chars().chain([c])).collect()
}
