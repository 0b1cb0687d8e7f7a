//! The project's own commands, run as `cargo xtask …`. Nothing here is part of the server.

mod steps;
mod tools;
mod checks;
mod circles;
mod deny;
mod fuzz;
mod page;
mod axe;
mod kubernetes;
mod openapi;
mod tally;
mod cargo_test;
mod conformance;
mod mutants;
mod image;
mod cluster;
mod python;
mod measure;
mod scaling;

use std::{num::NonZeroUsize, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::{bench::fanout, process};

use crate::{cargo_test::Selection, process::Workspace, steps::Steps};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything that has to pass: format, lints, layers, circles of imports, licences and sources of
    /// all crates, the page's types and modules, tests, WebSocket conformance
    ///
    /// Begins with the programs that the tests need: as root on Debian it installs those that are missing,
    /// whose names it prints first, without starting any service; elsewhere it says what to install. Ends
    /// with what each step took, every test that failed or was left out by name, and the numbers.
    Test {
        /// The long forms of the tests, too: more seeds, larger boards, more minutes
        #[arg(long)]
        long: bool,
        /// Only tests whose names contain one of these, and nothing but tests
        filter: Vec<String>,
    },
    /// What continuous integration runs: `test` in its short form
    Ci,
    /// Only the licences, versions and sources of the crates that everything is built on
    Deny,
    /// Fuzzes what comes from the internet or from a file, on stable Rust; `docs/FUZZING.md` says more
    Fuzz(fuzz::Selection),
    /// Only the page's types and the tests of its modules
    Page,
    /// Only Autobahn's WebSocket cases, against an echo on the game's own framing
    Conformance {
        /// All cases about compression, too: minutes
        #[arg(long)]
        long: bool,
    },
    /// Changes the code in small ways and looks whether tests notice: hours, or some minutes for a file
    Mutants {
        /// Only files whose names contain this
        file: Option<String>,
    },
    /// Builds the image and tries it; needs Docker
    Image,
    /// Several nodes that share one board, on this machine, to try and to measure
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Measures, with release builds
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// From one node to ten million players, on paper: the tables of docs/SCALING.md
    Scaling(scaling::Assumptions),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A board in a Redis Cluster, beside ZADD, INCR and PUBLISH for each check
    Cluster {
        /// Everything tiny, in a few seconds: that it works, not how fast
        #[arg(long)]
        quick: bool,
    },
    /// Updates to many listeners, beside plain tokio and a naive actor design
    Fanout {
        /// Everything tiny, in a few seconds: that it works, not how fast
        #[arg(long)]
        quick: bool,
        /// How often the servers take turns; the middle one of each counts [default: 5]
        #[arg(long)]
        rounds: Option<NonZeroUsize>,
        /// Only this server, so nothing is compared
        #[arg(long, value_name = "NAME")]
        only: Option<fanout::Server>,
    },
    /// Messages to a group of 5,000 and of 19,000 members, beside plain tokio
    Group {
        /// Everything tiny, in a few seconds: that it works, not how fast
        #[arg(long)]
        quick: bool,
        /// How often the servers take turns; the middle one of each counts [default: 5]
        #[arg(long)]
        rounds: Option<NonZeroUsize>,
    },
    /// Messages to a group of 96,000 members over six nodes
    GroupNodes {
        /// 80 members over two nodes, in a few seconds
        #[arg(long)]
        quick: bool,
    },
    /// How soon the page is there and how much of each frame it leaves free, beside what it may take;
    /// fails if it takes more
    Page,
    /// Single steps on the way of a check, each beside a yardstick
    Micro {
        /// Only benchmarks whose names match this regular expression
        filter: Option<String>,
    },
    /// Ten players beside somebody who connects 500 times a second
    Door {
        /// A few seconds
        #[arg(long)]
        quick: bool,
    },
    /// Limits that three nodes share for a thousand addresses: calls and CPU time of Redis
    Leases {
        /// A few seconds
        #[arg(long)]
        quick: bool,
    },
    /// A hundred thousand players over six nodes that share a board
    Crowd {
        /// A hundred players over two nodes, in a few seconds
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    Ok(match command {
        Command::Test { long, filter } if filter.is_empty() => everything(&workspace, long),
        Command::Test { long, filter } => some_tests(&workspace, long, &filter),
        Command::Ci => everything(&workspace, false),
        Command::Deny => only_deny(&workspace),
        Command::Fuzz(selection) => only_fuzz(&workspace, &selection),
        Command::Page => only_page(&workspace),
        Command::Conformance { long } => only_conformance(&workspace, long),
        Command::Mutants { file } => {
            mutants::run(&workspace, file.as_deref())?;
            ExitCode::SUCCESS
        }
        Command::Image => only_image(&workspace),
        Command::Cluster(command) => cluster::run(&workspace, command)?,
        Command::Scaling(assumed) => {
            println!("{}", scaling::tables(&assumed).join("\n\n"));
            ExitCode::SUCCESS
        }
        Command::Bench { what: Bench::Cluster { quick } } => measure::cluster(&workspace, quick)?,
        Command::Bench { what: Bench::Fanout { quick, rounds, only } } => {
            measure::fanout(&workspace, quick, rounds, only)?
        }
        Command::Bench { what: Bench::Group { quick, rounds } } => {
            measure::group(&workspace, quick, rounds)?
        }
        Command::Bench { what: Bench::GroupNodes { quick } } => {
            measure::group_nodes(&workspace, quick)?
        }
        Command::Bench { what: Bench::Page } => timed_page(&workspace),
        Command::Bench { what: Bench::Micro { filter } } => measure::micro(&workspace, filter)?,
        Command::Bench { what: Bench::Crowd { quick } } => measure::crowd(&workspace, quick)?,
        Command::Bench { what: Bench::Leases { quick } } => measure::leases(&workspace, quick)?,
        Command::Bench { what: Bench::Door { quick } } => measure::door(&workspace, quick)?,
    })
}

/// A failed step does not keep the next ones from running: one run shows everything that is wrong. Only
/// without the tools, or without a program to run, there is nothing to show.
fn everything(workspace: &Workspace, long: bool) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || {
        let for_long =
            if long { [&tools::FOR_FUZZ[..], &tools::FOR_LONG].concat() } else { vec![] };
        require(workspace, &[&tools::ALL[..], &for_long].concat())
    }) {
        steps.run("format", || checks::format(workspace));
        steps.run("lints", || checks::lints(workspace));
        steps.run("layers", || checks::layers(workspace));
        steps.run("circles", || circles::check(&workspace.root.join("actors/src")));
        steps.run("deny", || deny::check(workspace));
        steps.count("page", || page::check(workspace));
        if steps.run("build", || cargo_test::build(workspace)) {
            steps.count("tests", || cargo_test::run(workspace, Selection { long, filter: &[] }));
        }
        if steps.run("build faults", || cargo_test::build_faults(workspace)) {
            steps.count("faults", || cargo_test::faults(workspace, long));
        }
        steps.run("conformance", || conformance::run(workspace, long));
        if long {
            steps.run("fuzz", || fuzz::run(workspace, &fuzz::Selection::all()));
        }
    }
    steps.finish()
}

/// The tools include a script for the browser tests, and programs for Kubernetes and OpenAPI, that no package of Debian has.
fn require(workspace: &Workspace, tools: &[tools::Tool]) -> Result<()> {
    tools::require(tools)?;
    axe::install(workspace)?;
    kubernetes::install(workspace)?;
    openapi::install(workspace)
}

fn some_tests(workspace: &Workspace, long: bool, filter: &[String]) -> ExitCode {
    let mut steps = Steps::default();
    let for_long: &[_] = if long { &tools::FOR_LONG } else { &[] };
    if steps.run("tools", || require(workspace, &[&tools::FOR_TESTS[..], for_long].concat()))
        && steps.run("build", || cargo_test::build(workspace))
    {
        steps.count("tests", || cargo_test::run(workspace, Selection { long, filter }));
    }
    steps.finish()
}

fn timed_page(workspace: &Workspace) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || tools::require(&tools::FOR_TESTS)) {
        steps.count("page", || cargo_test::timed(workspace));
    }
    steps.finish()
}

fn only_deny(workspace: &Workspace) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || tools::require(&tools::FOR_DENY)) {
        steps.run("deny", || deny::check(workspace));
    }
    steps.finish()
}

fn only_fuzz(workspace: &Workspace, selection: &fuzz::Selection) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || tools::require(&tools::FOR_FUZZ)) {
        steps.run("fuzz", || fuzz::run(workspace, selection));
    }
    steps.finish()
}

fn only_page(workspace: &Workspace) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || tools::require(&tools::FOR_PAGE)) {
        steps.count("page", || page::check(workspace));
    }
    steps.finish()
}

fn only_conformance(workspace: &Workspace, long: bool) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("tools", || tools::require(&tools::FOR_CONFORMANCE)) {
        steps.run("conformance", || conformance::run(workspace, long));
    }
    steps.finish()
}

fn only_image(workspace: &Workspace) -> ExitCode {
    let mut steps = Steps::default();
    if steps.run("docker", image::docker) && steps.run("image", || image::build(workspace)) {
        steps.count("tests", || image::test(workspace));
    }
    steps.finish()
}
