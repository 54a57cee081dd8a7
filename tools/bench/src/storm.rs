//! One request in a ring of joins: nodes without loop protection, the same as fixed, and unring.
//!
//! Everything is of the time from the request to the end of the watch, of whole processes; memory is the peak since their
//! start.

mod rings;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::chart::{self, Axis, Chart, Scale};
use crate::{Report, Run, median};
use rings::{Rings, Seen};

/// What is asked of messages at three nodes.
const TARGET: f64 = 100.0;

/// Rings of so many nodes, and in how many rounds each is measured: the target is at three. All of it takes less than
/// three minutes.
const FULL: [(usize, usize); 4] = [(3, 2), (5, 1), (10, 1), (30, 1)];
const QUICK: [(usize, usize); 1] = [(3, 1)];

/// How long is watched after the request. Naive calls are given up after 10 s, and logged then.
const WATCH: Duration = Duration::from_secs(11);
const QUICK_WATCH: Duration = Duration::from_secs(2);

/// A contender: its key, its name, and what was seen of it.
type Series = (&'static str, &'static str, fn(&Round) -> &Seen);

/// One round.
struct Round {
    naive: Seen,
    capped: Seen,
    unring: Seen,
}

const SERIES: [Series; 3] = [
    ("naive", "naive (K3s before its fix)", |round| &round.naive),
    ("cap20", "naive --cap 20 (as fixed, cold start)", |round| &round.capped),
    ("unring", "unring", |round| &round.unring),
];

/// A number that is compared: its key, its unit, what its panel is called, the least of it that can be told from none,
/// and what of that was seen.
type Number = (&'static str, &'static str, &'static str, f64, fn(&Seen) -> f64);

const NUMBERS: [Number; 4] = [
    ("messages", "", "Messages that follow", 1.0, |seen| seen.messages),
    ("cpu", "s", "CPU seconds", 0.01, |seen| seen.cpu_seconds),
    ("log_lines", "", "Log lines", 1.0, |seen| seen.log_lines),
    ("peak_rss", "mib", "Memory of all nodes, MiB", 1.0, |seen| seen.peak_rss_mib),
];

pub(crate) fn run(run: &Run) -> Result<Report> {
    let unring = run.unring.as_deref().context("it starts real nodes: --unring is missing")?;
    let watch = run.pick(WATCH, QUICK_WATCH);
    let rings = Rings::new(unring, &run.programs.join("naive-node"), watch)?;
    let mut measured: BTreeMap<usize, Vec<Round>> = BTreeMap::new();
    for &(nodes, rounds) in run.pick(&FULL[..], &QUICK[..]) {
        for round in 0..rounds {
            // What slows the machine down for a while does not always meet the same one first.
            let storm_first = round % 2 == 1;
            let before = if storm_first { Some(rings.naive(nodes)?) } else { None };
            let (unring, capped) = rings.calm(nodes)?;
            let naive = before.map_or_else(|| rings.naive(nodes), Ok)?;
            println!(
                "ring of {nodes}: messages naive {}, cap 20 {}, unring {}",
                naive.messages, capped.messages, unring.messages
            );
            measured.entry(nodes).or_default().push(Round { naive, capped, unring });
        }
    }
    let report = report(&measured);
    draw(run, &measured)?;
    Ok(report)
}

fn middle(rounds: &[Round], seen: fn(&Round) -> &Seen, number: fn(&Seen) -> f64) -> f64 {
    median(&rounds.iter().map(|round| number(seen(round))).collect::<Vec<_>>())
}

fn report(measured: &BTreeMap<usize, Vec<Round>>) -> Report {
    let mut report = Report::new("storm");
    for (nodes, rounds) in measured {
        for (key, unit, _, least, number) in NUMBERS {
            let [naive, _, unring] = SERIES.map(|(series, _, seen)| {
                let value = middle(rounds, seen, number);
                report.value(&format!("ring{nodes}_{series}_{key}"), value, unit);
                value
            });
            // Where unring has none, a lower bound.
            report.value(&format!("ring{nodes}_{key}_ratio"), naive / unring.max(least), "");
            if (*nodes, key) == (3, "messages") {
                let capped = rounds.iter().any(|round| round.naive.capped);
                let bound = if capped { ", a lower bound: the run's limits were met" } else { "" };
                report.target(
                    "messages after one request in a ring of 3, naive against unring",
                    format!(">= {TARGET}x"),
                    format!("{:.0}x{bound}", naive / unring),
                    naive / unring >= TARGET,
                );
            }
        }
    }
    report
}

fn draw(run: &Run, measured: &BTreeMap<usize, Vec<Round>>) -> Result<()> {
    let place = |nodes: &usize| u32::try_from(*nodes).map_or(0.0, f64::from);
    let panels: Vec<_> = NUMBERS
        .iter()
        .map(|&(_, _, title, least, number)| {
            let series = SERIES.map(|(_, name, seen)| {
                let points = measured.iter();
                let points = points
                    .map(|(nodes, rounds)| (place(nodes), middle(rounds, seen, number).max(least)));
                (name, points.collect::<Vec<_>>())
            });
            let x = Axis { label: "nodes in the ring", scale: Scale::Log };
            let y = Axis { label: "", scale: Scale::Log };
            (Chart { name: "storm", title, x, y }, series.to_vec())
        })
        .collect();
    chart::panels(run, "storm", "One request in a ring of joins, and the 11 s after it", &panels)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Round, Seen, report};

    fn seen(messages: f64, capped: bool) -> Seen {
        Seen { messages, cpu_seconds: 0.5, log_lines: 9.0, peak_rss_mib: 30.0, capped }
    }

    fn target(naive: [f64; 3]) -> (bool, serde_json::Value) {
        let round = |naive| Round {
            naive: seen(naive, true),
            capped: seen(60.0, false),
            unring: seen(3.0, false),
        };
        let report = report(&BTreeMap::from([(3, naive.map(round).into())]));
        (report.is_ok(), serde_json::to_value(&report).unwrap())
    }

    #[test]
    fn the_target_is_on_the_median_of_messages_at_three_nodes() {
        let (ok, report) = target([299.0, 300.0, 5000.0]);
        assert!(ok);
        let got = &report["targets"][0]["got"];
        assert_eq!(got, "100x, a lower bound: the run's limits were met");
        assert_eq!(report["values"]["ring3_messages_ratio"], 100.0);
        assert_eq!(report["values"]["ring3_cap20_messages"], 60.0);
        assert_eq!(report["values"]["ring3_unring_cpu_s"], 0.5);
        assert!(!target([299.0, 298.0, 5000.0]).0);
    }
}
