//! What a run has to say: figures under stable names, the parameters that led to them, and whether the books balance. One
//! list feeds both the table and the JSON, so that they cannot differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::HumanCount;
use serde_json::{Map, Value, json};

use crate::faults::Faults;
use crate::latency::Percentiles;
use crate::usage::Cpu;

const KEY_WIDTH: usize = 34;

/// Collects rows in the order they are to be read.
#[derive(Debug)]
pub(crate) struct Report {
    command: &'static str,
    parameters: Value,
    rows: Vec<Row>,
    lost: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Row {
    Section(&'static str),
    Figure { key: String, value: Value, text: String },
}

impl Report {
    pub(crate) fn new(command: &'static str, parameters: Value) -> Self {
        Self {
            command,
            parameters,
            rows: Vec::new(),
            lost: BTreeMap::new(),
            failed: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn section(&mut self, title: &'static str) {
        self.rows.push(Row::Section(title));
    }

    pub(crate) fn count(&mut self, key: &str, count: u64) {
        self.figure(key, json!(count), HumanCount(count).to_string());
    }

    /// A number with a unit; the key ends in the unit already.
    pub(crate) fn number(&mut self, key: &str, number: f64) {
        let text = if number.abs() >= 1000.0 {
            HumanCount(number.round() as u64).to_string()
        } else {
            format!("{number:.3}")
        };
        self.figure(key, json!(number), text);
    }

    pub(crate) fn number_if_known(&mut self, key: &str, number: Option<f64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// Milliseconds as `<key>_p50_ms` and so on.
    pub(crate) fn latency(&mut self, key: &str, percentiles: &Percentiles) {
        self.count(&format!("{key}_count"), percentiles.count);
        let named = [
            ("p50", percentiles.p50),
            ("p90", percentiles.p90),
            ("p99", percentiles.p99),
            ("p99_9", percentiles.p99_9),
            ("max", percentiles.max),
            ("mean", percentiles.mean),
        ];
        for (name, ms) in named {
            self.number(&format!("{key}_{name}_ms"), ms);
        }
    }

    pub(crate) fn cpu(&mut self, whose: &str, cpu: Option<Cpu>) {
        self.number_if_known(&format!("{whose}_cpu_s"), cpu.map(Cpu::total_s));
        self.number_if_known(&format!("{whose}_cpu_user_s"), cpu.map(|cpu| cpu.user_s));
        self.number_if_known(&format!("{whose}_cpu_system_s"), cpu.map(|cpu| cpu.system_s));
    }

    pub(crate) fn lost(&mut self, how: String) {
        *self.lost.entry(how).or_default() += 1;
    }

    pub(crate) fn failed(&mut self, how: String) {
        *self.failed.entry(how).or_default() += 1;
    }

    /// Something the reader should know that is no fault.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn figure(&mut self, key: &str, value: Value, text: String) {
        self.rows.push(Row::Figure { key: key.to_owned(), value, text });
    }

    /// The whole report as text.
    pub(crate) fn table(&self, faults: &Faults) -> String {
        let mut text = format!("swarm {} --seed {}\n", self.command, self.parameters["seed"]);
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = match row {
                Row::Section(title) => writeln!(text, "\n{title}"),
                Row::Figure { key, text: value, .. } => {
                    writeln!(text, "  {key:<KEY_WIDTH$} {value:>18}")
                }
            };
        }
        for (title, counts) in
            [("connections lost", &self.lost), ("connections not opened", &self.failed)]
        {
            if !counts.is_empty() {
                let _ = writeln!(text, "\n{title}");
                text.extend(counts.iter().map(|(how, count)| format!("  {count:>8} × {how}\n")));
            }
        }
        if !self.notes.is_empty() {
            text.push_str("\nnotes\n");
            text.extend(self.notes.iter().map(|note| format!("  {note}\n")));
        }
        text.push_str(if faults.is_empty() {
            "\nthe books balance\n"
        } else {
            "\nTHE BOOKS DO NOT BALANCE\n"
        });
        for (fault, found) in faults.iter() {
            let _ = writeln!(text, "  {} × {}", HumanCount(found.count), fault.explain());
            text.extend(found.examples.iter().map(|example| format!("      {example}\n")));
        }
        text
    }

    /// The same for machines.
    pub(crate) fn json(&self, faults: &Faults) -> Value {
        let figures: Map<_, _> = self
            .rows
            .iter()
            .filter_map(|row| match row {
                Row::Figure { key, value, .. } => Some((key.clone(), value.clone())),
                Row::Section(_) => None,
            })
            .collect();
        let discrepancies: Vec<_> = faults
            .iter()
            .map(|(fault, found)| {
                json!({"class": fault, "count": found.count, "means": fault.explain(), "examples": found.examples})
            })
            .collect();
        json!({
            "swarm": env!("CARGO_PKG_VERSION"),
            "command": self.command,
            "parameters": self.parameters,
            "figures": figures,
            "connections_lost": self.lost,
            "connections_failed": self.failed,
            "notes": self.notes,
            "balanced": faults.is_empty(),
            "discrepancies": discrepancies,
        })
    }

    /// Prints the table and writes the JSON where it was asked for.
    pub(crate) fn publish(&self, faults: &Faults, json: Option<&Path>) -> Result<()> {
        let to_stdout = json == Some(Path::new("-"));
        if to_stdout {
            eprint!("{}", self.table(faults));
            println!("{:#}", self.json(faults));
        } else {
            print!("{}", self.table(faults));
        }
        if let Some(path) = json.filter(|_| !to_stdout) {
            let text = format!("{:#}\n", self.json(faults));
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn table_and_json_say_the_same() {
        let mut report = Report::new("fanout", json!({"seed": 7}));
        report.section("delivery");
        report.count("updates", 1_234_567);
        report.number("updates_per_s", 12.5);
        report.number_if_known("server_cpu_s", None);
        report.lost("1013 lagging".into());
        report.lost("1013 lagging".into());
        let mut faults = Faults::default();
        assert!(report.table(&faults).contains("the books balance"));
        faults.note(Fault::Gap, || "total 3 after 1".into());
        let (table, json) = (report.table(&faults), report.json(&faults));
        for expected in [
            "--seed 7",
            "1,234,567",
            "12.500",
            "2 × 1013 lagging",
            "DO NOT BALANCE",
            "total 3 after 1",
        ] {
            assert!(table.contains(expected), "{expected} in {table}");
        }
        assert_eq!(json["figures"], json!({"updates": 1_234_567, "updates_per_s": 12.5}));
        assert_eq!(json["connections_lost"]["1013 lagging"], 2);
        assert_eq!(
            (&json["balanced"], &json["discrepancies"][0]["class"]),
            (&json!(false), &json!("gap"))
        );
    }
}
