//! A real Prometheus with the repository's own configuration, which scrapes nodes and answers queries. It is gone when
//! dropped.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, free_address, nginx::dechunked, server::request};

/// What Debian calls the program.
const PROMETHEUS: &str = "prometheus";

/// The folder that operators are told to use.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/observe")
}

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that scrapes the operators' listeners at `nodes` each second, and waits until all of them answer.
    pub fn start(nodes: &[SocketAddr]) -> Self {
        let own = tempfile::tempdir().expect("a temporary folder");
        let config = fs::read_to_string(folder().join("prometheus.yml")).expect("a file");
        assert_eq!(config.matches("interval: 10s").count(), 2, "prometheus.yml has changed");
        let config = config.replace("interval: 10s", "interval: 1s");
        let targets: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        let targets = format!("- targets: {targets:?}\n");
        fs::write(own.path().join("prometheus.yml"), config).expect("a file can be written");
        fs::write(own.path().join("targets.yml"), targets).expect("a file can be written");
        fs::copy(folder().join("alerts.yml"), own.path().join("alerts.yml")).expect("copied");
        let address = free_address();
        let log = fs::File::create(own.path().join("stderr.log")).expect("created");
        let mut command = Command::new(PROMETHEUS);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={address}")).current_dir(own.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "cannot start {PROMETHEUS}: {error}; if it is not installed: apt-get install prometheus, on \
                 Debian (cargo xtask test does that)"
            )
        });
        let mut prometheus = Self { child, folder: own, address };
        eventually("a scrape of each node", || {
            let ended = prometheus.child.try_wait().expect("a child can be asked");
            assert_eq!(ended, None, "Prometheus ended:\n{}", prometheus.log());
            std::net::TcpStream::connect(address).ok()?;
            let up = prometheus.query("sum(up{job=\"billion\"})").ok()?;
            (up == [nodes.len() as f64]).then_some(())
        });
        prometheus
    }

    /// The `data` of an answer of its HTTP API.
    ///
    /// # Errors
    /// If it answers with an error: which one.
    pub fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = request(self.address, "GET", &format!("/api/v1/{path}"), &[]);
        let is_chunked = answer.head.contains("transfer-encoding: chunked");
        let body = if is_chunked { dechunked(&answer.bytes) } else { answer.bytes };
        let mut told: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        match told["status"].as_str() {
            Some("success") => Ok(told["data"].take()),
            _ => Err(told["error"].as_str().unwrap_or("no answer").to_owned()),
        }
    }

    /// The values of an expression now, without those that are no number.
    ///
    /// # Errors
    /// If it cannot be evaluated: why.
    pub fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let data = self.ask(&format!("query?query={encoded}"))?;
        let number = |pair: &Value| pair[1].as_str()?.parse::<f64>().ok();
        let values = match data["resultType"].as_str() {
            Some("vector") => {
                let samples = data["result"].as_array().expect("a vector is a list");
                samples.iter().filter_map(|sample| number(&sample["value"])).collect()
            }
            Some("scalar") => number(&data["result"]).into_iter().collect(),
            other => return Err(format!("it is a {other:?}")),
        };
        Ok(Vec::into_iter(values).filter(|value| !value.is_nan()).collect())
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr.log")).expect("the log can be read")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Prometheus said:\n{}", self.log());
        }
    }
}

/// What an expression selects: each metric with its matchers, as written there.
pub fn selectors(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 12] = [
        "and",
        "or",
        "unless",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "offset",
        "by",
        "without",
        "inf",
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| is_name(c) || c == '[') {
        if rest[start..].starts_with('[') {
            rest = rest[start..].split_once(']').expect("a range ends").1;
            continue;
        }
        let from = &rest[start..];
        let name = &from[..from.find(|c| !is_name(c)).unwrap_or(from.len())];
        rest = &from[name.len()..];
        let behind = rest.trim_start();
        // `sum by (…) (…)` and the like.
        let is_aggregation = behind.starts_with("by ") || behind.starts_with("without ");
        if matches!(name, "by" | "without" | "on" | "ignoring") && behind.starts_with('(') {
            // Names of labels.
            rest = behind.split_once(')').expect("a list ends").1;
        } else if behind.starts_with('{') {
            let matchers = &behind[..=end_of_matchers(behind)];
            found.insert(format!("{name}{matchers}"));
            rest = &behind[matchers.len()..];
        } else if !name.starts_with(|c: char| c.is_ascii_digit())
            && !behind.starts_with('(')
            && !is_aggregation
            && !WORDS.contains(&name)
        {
            found.insert(name.to_owned());
        }
    }
    found
}

/// Where the brace closes that `text` begins with; values may have braces in them.
fn end_of_matchers(text: &str) -> usize {
    let mut is_quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        is_quoted ^= *c == '"';
        *c == '}' && !is_quoted
    });
    end.expect("matchers end").0
}

#[test]
fn selectors_are_found_among_functions_labels_and_numbers() {
    let found = |expression| selectors(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(
        found(
            "histogram_quantile(0.99, sum by (le, x) (rate(a_bucket{r=\"/{x}\",y=~\"1|2\"}[5m]))) > 1e9"
        ),
        ["a_bucket{r=\"/{x}\",y=~\"1|2\"}"]
    );
    assert_eq!(
        found("sum without (board) (b) / c > 0.9 and d{} or time() - e"),
        ["b", "c", "d{}", "e"]
    );
}
