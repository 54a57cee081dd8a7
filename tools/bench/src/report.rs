//! What a bench found.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::machine::{commit, machine};
use crate::run::Run;

/// What is asked of a number and what it was.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) want: String,
    pub(crate) got: String,
    pub(crate) ok: bool,
}

/// The numbers of one bench and the targets that they meet or miss.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Report {
    pub(crate) name: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    values: BTreeMap<String, f64>,
    pub(crate) targets: Vec<Target>,
}

impl Report {
    /// An empty report of this bench, on this machine and commit.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            commit: commit(),
            machine: machine(),
            values: BTreeMap::new(),
            targets: Vec::new(),
        }
    }

    /// Adds a number. Its unit ends its key: `p50_us`; a ratio has the unit "".
    pub fn value(&mut self, key: &str, number: f64, unit: &str) {
        let key = if unit.is_empty() { key.to_owned() } else { format!("{key}_{unit}") };
        self.values.insert(key, six_digits(number));
    }

    /// Adds a target: what is measured, what it should be, what it is, and whether that is enough.
    pub fn target(
        &mut self,
        what: impl Into<String>,
        want: impl Into<String>,
        got: impl Into<String>,
        ok: bool,
    ) {
        self.targets.push(Target { what: what.into(), want: want.into(), got: got.into(), ok });
    }

    /// Whether every target is met.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.targets.iter().all(|target| target.ok)
    }

    /// Writes `target/bench/NAME.json` and prints what is in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<()> {
        let file = Run::json(&self.name);
        let json = serde_json::to_string_pretty(self).context("a report is JSON")? + "\n";
        fs::create_dir_all(file.parent().context("it is in a folder")?)
            .and_then(|()| fs::write(&file, json))
            .with_context(|| format!("write {}", file.display()))?;
        print!("{}", self.text());
        println!("written: {}", file.display());
        Ok(())
    }

    fn text(&self) -> String {
        let width = self.values.keys().map(String::len).max().unwrap_or(0);
        let values = self.values.iter().map(|(key, value)| format!("  {key:<width$}  {value}\n"));
        let targets = self.targets.iter().map(|Target { what, want, got, ok }| {
            let verdict = if *ok { "met   " } else { "MISSED" };
            format!("  {verdict}  {what}: want {want}, got {got}\n")
        });
        let head = format!("\n{} at {} on {}\n", self.name, self.commit, self.machine);
        [head].into_iter().chain(values).chain(targets).collect()
    }
}

/// Nothing measured has more digits that mean something.
fn six_digits(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn what_is_written() {
        let mut report = Report::new("storm");
        report.commit = "0123456789ab".to_owned();
        report.machine = "a machine".to_owned();
        report.value("message_ratio", 1234.5678, "");
        report.value("p50", 0.1, "us");
        report.target("messages at 3 nodes", ">= 100x", "1235x", true);
        assert!(report.is_ok());
        report.target("p50", "<= 0.05 us", "0.1 us", false);
        assert!(!report.is_ok());
        let json = serde_json::to_value(&report).unwrap();
        let wanted = serde_json::json!({
            "name": "storm",
            "commit": "0123456789ab",
            "machine": "a machine",
            "values": {"message_ratio": 1234.57, "p50_us": 0.1},
            "targets": [
                {"what": "messages at 3 nodes", "want": ">= 100x", "got": "1235x", "ok": true},
                {"what": "p50", "want": "<= 0.05 us", "got": "0.1 us", "ok": false},
            ],
        });
        assert_eq!(json, wanted);
        assert_eq!(
            report.text(),
            "\nstorm at 0123456789ab on a machine\n  message_ratio  1234.57\n  p50_us         0.1\n  \
             met     messages at 3 nodes: want >= 100x, got 1235x\n  MISSED  p50: want <= 0.05 us, got 0.1 us\n"
        );
    }
}
