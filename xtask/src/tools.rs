//! What the tests need beyond Rust: found, installed where that is possible, or named. Nothing is
//! ever skipped for want of a tool, and no service is started by what is installed.

mod services;

use std::{
    collections::BTreeSet,
    env::{split_paths, var_os},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::process::run;

/// Something that has to be there.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    found_by: Found,
    what_for: &'static str,
    from: Source,
}

#[derive(Debug, Clone, Copy)]
enum Found {
    /// A program on the path.
    Program(&'static str),
    /// A program on the path, under either of two names.
    Either(&'static str, &'static str),
    /// A file.
    File(&'static str),
    /// A command that succeeds.
    Running(&'static [&'static str]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A package of Debian.
    Debian(&'static str),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

const COMPILER: Tool = tool(Found::Program("cc"), "to link", Source::Debian("gcc"));
/// Its standard library comes with it.
const COMPILER_OF_CPP: Tool =
    tool(Found::Program("g++"), "to build libFuzzer", Source::Debian("g++"));
const HEADERS: Tool =
    tool(Found::File("/usr/include/stdio.h"), "to build jemalloc", Source::Debian("libc6-dev"));
const MAKE: Tool = tool(Found::Program("make"), "to build jemalloc", Source::Debian("make"));
const KILL: Tool = tool(Found::Program("kill"), "to signal servers", Source::Debian("procps"));
const MOUNT: Tool = tool(Found::Program("mount"), "to fill a disk", Source::Debian("mount"));
const BROWSER: Tool =
    tool(Found::Program("chromium"), "for the browser tests", Source::Debian("chromium"));
const DRIVER: Tool = tool(
    Found::Program("chromedriver"),
    "for the browser tests",
    Source::Debian("chromium-driver"),
);
const TYPES: Tool =
    tool(Found::Program("tsc"), "to check the page's types", Source::Debian("node-typescript"));
const NODE: Tool =
    tool(Found::Program("node"), "to test the page's modules", Source::Debian("nodejs"));
const NGINX: Tool = tool(
    Found::File("/usr/sbin/nginx"),
    "to serve the page with TLS",
    Source::Debian("nginx-light"),
);
/// The package `redis-server` would start a service; see where the tests start theirs.
const REDIS: Tool = tool(
    Found::Either("redis-server", "redis-check-rdb"),
    "to run Redis Clusters",
    Source::Debian("redis-tools"),
);
const REDIS_CLI: Tool =
    tool(Found::Program("redis-cli"), "to form Redis Clusters", Source::Debian("redis-tools"));
const OPENSSL: Tool =
    tool(Found::Program("openssl"), "to make a certificate", Source::Debian("openssl"));
const PYTHON: Tool =
    tool(Found::Program("python3"), "for tools from PyPI", Source::Debian("python3"));
const VENV: Tool = tool(
    Found::Running(&["python3", "-c", "import venv, ensurepip"]),
    "for tools from PyPI",
    Source::Debian("python3-venv"),
);
const PROMETHEUS: Tool =
    tool(Found::Program("promtool"), "to watch nodes", Source::Debian("prometheus"));
const MARIADB: Tool = tool(
    Found::File(xtask::mariadb::SERVER),
    "to keep accounts in MariaDB",
    Source::Debian("mariadb-server"),
);
const POSTGRES: Tool = tool(
    Found::File("/usr/lib/postgresql"),
    "to keep accounts in PostgreSQL",
    Source::Debian("postgresql"),
);
const RUSTFMT: Tool = tool(
    Found::Running(&["cargo", "fmt", "--version"]),
    "to check the format",
    Source::Rustup("rustfmt"),
);
const CLIPPY: Tool =
    tool(Found::Running(&["cargo", "clippy", "--version"]), "to lint", Source::Rustup("clippy"));

/// For everything.
pub const ALL: [Tool; 19] = [
    COMPILER, HEADERS, MAKE, KILL, MOUNT, REDIS, REDIS_CLI, MARIADB, BROWSER, DRIVER, NGINX,
    OPENSSL, TYPES, NODE, PYTHON, VENV, PROMETHEUS, RUSTFMT, CLIPPY,
];
/// For the long forms of tests besides.
pub const FOR_LONG: [Tool; 1] = [POSTGRES];
/// For `cargo test` alone.
pub const FOR_TESTS: [Tool; 15] = [
    COMPILER, HEADERS, MAKE, KILL, MOUNT, REDIS, REDIS_CLI, MARIADB, BROWSER, DRIVER, NGINX,
    OPENSSL, PYTHON, VENV, PROMETHEUS,
];
/// For a Redis Cluster alone.
pub const FOR_REDIS: [Tool; 2] = [REDIS, REDIS_CLI];
/// For nodes on a Redis Cluster.
pub const FOR_CLUSTER: [Tool; 6] = [COMPILER, HEADERS, MAKE, REDIS, REDIS_CLI, NGINX];
/// For judging the crates that we build on.
pub const FOR_DENY: [Tool; 2] = [PYTHON, VENV];
/// For fuzzing.
pub const FOR_FUZZ: [Tool; 6] = [COMPILER, COMPILER_OF_CPP, HEADERS, MAKE, PYTHON, VENV];
/// For the page without a browser.
pub const FOR_PAGE: [Tool; 2] = [TYPES, NODE];
/// For the conformance suite alone.
pub const FOR_CONFORMANCE: [Tool; 5] = [COMPILER, HEADERS, MAKE, PYTHON, VENV];

const fn tool(found_by: Found, what_for: &'static str, from: Source) -> Tool {
    Tool { found_by, what_for, from }
}

/// Makes sure that all of `tools` are there, by installing what is missing.
pub fn require(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    for tool in &missing {
        println!("missing {}: {}", tool.what_for, tool.found_by.shown());
    }
    let packages: BTreeSet<_> = missing.iter().filter_map(|tool| tool.from.debian()).collect();
    let components: BTreeSet<_> = missing.iter().filter_map(|tool| tool.from.rustup()).collect();
    if !packages.is_empty() {
        install_packages(&packages.into_iter().collect::<Vec<_>>())?;
    }
    if !components.is_empty() {
        install_components(&components.into_iter().collect::<Vec<_>>())?;
    }
    match self::missing(&missing).first() {
        None => Ok(()),
        Some(tool) => bail!("{} is still missing", tool.found_by.shown()),
    }
}

fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| !tool.found_by.is_there()).collect()
}

impl Found {
    fn is_there(self) -> bool {
        match self {
            Self::Program(name) => on_path(name),
            Self::Either(name, other) => on_path(name) || on_path(other),
            Self::File(path) => Path::new(path).exists(),
            Self::Running(words) => Command::new(words[0])
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Program(name) | Self::Either(name, _) | Self::File(name) => name.to_owned(),
            Self::Running(words) => words.join(" "),
        }
    }
}

impl Source {
    fn debian(self) -> Option<&'static str> {
        if let Self::Debian(package) = self { Some(package) } else { None }
    }

    fn rustup(self) -> Option<&'static str> {
        if let Self::Rustup(component) = self { Some(component) } else { None }
    }
}

fn on_path(program: &str) -> bool {
    let path = var_os("PATH").unwrap_or_default();
    split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What packages start when they are installed by hand.
const STARTS: [(&str, &str); 4] = [
    (
        "mariadb-server",
        "mariadb-server then starts MariaDB on port 3306: sudo systemctl disable --now mariadb",
    ),
    (
        "postgresql",
        "postgresql then starts PostgreSQL on port 5432: sudo systemctl disable --now postgresql",
    ),
    ("nginx-light", "nginx-light then starts nginx on port 80: sudo systemctl disable --now nginx"),
    (
        "prometheus",
        "prometheus then starts on port 9090, which nodes take by default: sudo systemctl disable --now prometheus",
    ),
];

fn install_packages(packages: &[&str]) -> Result<()> {
    let command = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !on_path("apt-get") {
        bail!("install what is missing; on Debian: {command}");
    }
    if !is_root()? {
        let starts = STARTS.iter().filter(|(package, _)| packages.contains(package));
        let notes: Vec<_> = starts.map(|(_, note)| *note).collect();
        bail!("run: sudo {command}\n{}", notes.join("\n"));
    }
    println!(
        "installing these packages of Debian, without starting any service: {}",
        packages.join(" ")
    );
    let install = || run(apt_get(&["install", "--yes", "--no-install-recommends"]).args(packages));
    services::kept_from_starting(|| {
        // The lists may be absent, as on a fresh image, or name versions that are gone.
        install().or_else(|_| {
            run(&mut apt_get(&["update"]))?;
            install()
        })
    })
}

fn install_components(components: &[&str]) -> Result<()> {
    if !on_path("rustup") {
        bail!("install the {} of your Rust toolchain", components.join(" and the "));
    }
    run(Command::new("rustup").args(["component", "add"]).args(components))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

fn is_root() -> Result<bool> {
    Ok(crate::process::read(Command::new("id").arg("-u"))?.trim() == "0")
}
