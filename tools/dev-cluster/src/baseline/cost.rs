//! What nodes have cost, and one kind of nodes beside the other.

use std::iter::Sum;

use serde::Serialize;

/// What a cluster has cost from the start of its processes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Messages that nodes sent to nodes: calls for peers, and of `unring` also records and heartbeats on streams, and
    /// looks at joins.
    pub messages: u64,
    /// CPU of whole processes, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Lines in the logs.
    pub log_lines: u64,
    /// The most resident memory that each process ever had, added up, in MiB.
    pub peak_rss_mib: f64,
    /// Whether a limit of the baseline was met.
    #[serde(skip)]
    pub capped: bool,
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            messages: sum.messages + cost.messages,
            cpu_seconds: sum.cpu_seconds + cost.cpu_seconds,
            log_lines: sum.log_lines + cost.log_lines,
            peak_rss_mib: sum.peak_rss_mib + cost.peak_rss_mib,
            capped: sum.capped || cost.capped,
        })
    }
}

/// Naive nodes beside `unring`, in one run.
///
/// A ratio is what the naive nodes cost for each one that `unring` did. Where `unring` has none it is taken to have one
/// of the smallest that can be counted (a message, a line, 10 ms of CPU), so that the ratio is a lower bound; null when
/// neither has any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaselineReport {
    /// Of messages.
    pub message_ratio: Option<f64>,
    /// Of CPU seconds.
    pub cpu_ratio: Option<f64>,
    /// Of log lines: debug lines of the one, info and above of the other.
    pub log_line_ratio: Option<f64>,
    /// Of peak memory.
    pub rss_ratio: Option<f64>,
    /// Whether the naive nodes met a limit of the run: ratios are lower bounds then.
    pub capped: bool,
    /// The `--cap` of the naive nodes.
    pub cap: Option<usize>,
    /// The costs of the naive nodes.
    pub naive: Cost,
    /// The costs of `unring`.
    pub unring: Cost,
}

impl BaselineReport {
    /// Compares.
    pub fn new(naive: Cost, unring: Cost, cap: Option<usize>) -> Self {
        Self {
            message_ratio: ratio(count(naive.messages), count(unring.messages), 1.0),
            // The kernel counts in clock ticks.
            cpu_ratio: ratio(naive.cpu_seconds, unring.cpu_seconds, 0.01),
            log_line_ratio: ratio(count(naive.log_lines), count(unring.log_lines), 1.0),
            rss_ratio: ratio(naive.peak_rss_mib, unring.peak_rss_mib, 1.0 / 1024.0),
            capped: naive.capped,
            cap,
            naive,
            unring,
        }
    }

    /// A table, for people.
    pub fn table(&self) -> String {
        let bound = if self.capped { ">= " } else { "" };
        let row = |what: &str, unring: String, naive: String, ratio: Option<f64>| {
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{bound}{ratio}"));
            format!("  {what:<16} {unring:>12} {naive:>12} {ratio:>14}")
        };
        let (naive, unring) = (&self.naive, &self.unring);
        let name = self.cap.map_or_else(|| "naive".to_owned(), |cap| format!("naive cap {cap}"));
        let mut lines = vec![
            format!("  {:<16} {:>12} {name:>12} {:>14}", "", "unring", "naive/unring"),
            row(
                "messages",
                unring.messages.to_string(),
                naive.messages.to_string(),
                self.message_ratio,
            ),
            row(
                "CPU seconds",
                format!("{:.2}", unring.cpu_seconds),
                format!("{:.2}", naive.cpu_seconds),
                self.cpu_ratio,
            ),
            row(
                "log lines",
                unring.log_lines.to_string(),
                naive.log_lines.to_string(),
                self.log_line_ratio,
            ),
            row(
                "peak RSS MiB",
                format!("{:.1}", unring.peak_rss_mib),
                format!("{:.1}", naive.peak_rss_mib),
                self.rss_ratio,
            ),
        ];
        if self.capped {
            lines.push(
                "  The naive nodes met a limit of the run: their counts are lower bounds.".into(),
            );
        }
        lines.join("\n")
    }
}

/// Never a division by zero; `least` is the smallest amount that can be told from none.
fn ratio(naive: f64, unring: f64, least: f64) -> Option<f64> {
    if naive < least && unring < least {
        return None;
    }
    Some(((naive / unring.max(least)) * 100.0).round() / 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{BaselineReport, Cost};

    fn cost(messages: u64, cpu_seconds: f64, log_lines: u64, capped: bool) -> Cost {
        Cost { messages, cpu_seconds, log_lines, peak_rss_mib: 30.0, capped }
    }

    #[test]
    fn ratios_are_of_the_naive_nodes_to_unring() {
        let report =
            BaselineReport::new(cost(4000, 6.0, 900, true), cost(30, 0.25, 27, false), None);
        assert_eq!(report.message_ratio, Some(133.33));
        assert_eq!((report.cpu_ratio, report.log_line_ratio), (Some(24.0), Some(33.33)));
        assert_eq!((report.rss_ratio, report.capped), (Some(1.0), true));
        let table = report.table();
        assert!(
            table.contains("messages                   30         4000      >= 133.33"),
            "{table}"
        );
        assert!(table.ends_with("their counts are lower bounds."), "{table}");
    }

    #[test]
    fn none_is_taken_as_the_least_and_never_divided_by() {
        let report = BaselineReport::new(cost(60, 0.5, 7, false), cost(0, 0.0, 0, false), Some(20));
        assert_eq!(report.message_ratio, Some(60.0));
        assert_eq!((report.cpu_ratio, report.log_line_ratio), (Some(50.0), Some(7.0)));
        let report = BaselineReport::new(cost(0, 0.0, 0, false), cost(0, 0.0, 0, false), None);
        assert_eq!(
            (report.message_ratio, report.cpu_ratio, report.log_line_ratio),
            (None, None, None)
        );
        assert!(
            report.table().contains("messages                    0            0              -")
        );
        let report = BaselineReport::new(cost(0, 0.0, 0, false), cost(9, 0.1, 3, false), None);
        assert_eq!(report.message_ratio, Some(0.0));
    }

    #[test]
    fn a_cluster_costs_what_its_nodes_do() {
        let sum: Cost = [cost(1, 0.5, 2, false), cost(3, 0.25, 4, true)].into_iter().sum();
        assert_eq!(sum, Cost { peak_rss_mib: 60.0, ..cost(4, 0.75, 6, true) });
    }

    #[test]
    fn a_report_is_written_as_scripts_read_it() {
        let report = BaselineReport::new(cost(4, 0.5, 6, true), cost(2, 0.25, 3, false), None);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"message_ratio":2.0,"cpu_ratio":2.0,"log_line_ratio":2.0,"rss_ratio":1.0,"capped":true,"cap":null,"#,
                r#""naive":{"messages":4,"cpu_seconds":0.5,"log_lines":6,"peak_rss_mib":30.0},"#,
                r#""unring":{"messages":2,"cpu_seconds":0.25,"log_lines":3,"peak_rss_mib":30.0}}"#
            )
        );
    }
}
