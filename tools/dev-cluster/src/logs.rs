//! What a node wrote to its log.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;

/// A log in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// How many lines it has.
    pub lines: u64,
    /// The lines of level WARN about a ring, in order.
    pub ring_warnings: Vec<RingWarning>,
    /// The lines of level WARN about a ring through K3s's servers.
    pub legacy_warnings: usize,
}

/// A warning of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingWarning {
    /// The ring's id.
    pub ring: String,
    /// `ring_found`, `ring_changed` or `ring_reminder`.
    pub event: String,
    /// The circuit as it is written in the line.
    pub witness: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    fields: Fields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    event: String,
    ring: String,
    witness: String,
}

/// Reads a log of JSON lines; a line that is something else only counts.
///
/// # Errors
/// The file cannot be read.
pub fn summarise(log: &Path) -> io::Result<LogSummary> {
    let mut summary = LogSummary::default();
    let mut reader = BufReader::new(File::open(log)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        summary.lines += 1;
        summary.ring_warnings.extend(ring_warning(&line));
        summary.legacy_warnings += usize::from(is_legacy_warning(&line));
        line.clear();
    }
    Ok(summary)
}

fn ring_warning(line: &[u8]) -> Option<RingWarning> {
    let Line { level, fields } = serde_json::from_slice(line).ok()?;
    let warns = level == "WARN" && fields.event.starts_with("ring_");
    warns.then_some(RingWarning { ring: fields.ring, event: fields.event, witness: fields.witness })
}

fn is_legacy_warning(line: &[u8]) -> bool {
    let line: Result<Line, _> = serde_json::from_slice(line);
    line.is_ok_and(|line| line.level == "WARN" && line.fields.event == "legacy_ring_suspected")
}

/// The last `count` lines of a log, or why it cannot be read; for people.
pub fn tail(log: &Path, count: usize) -> String {
    match std::fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
        }
        Err(err) => format!("{} cannot be read: {err}", log.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::{LogSummary, RingWarning, summarise, tail};

    const LOG: &str = concat!(
        r#"{"timestamp":"t","level":"INFO","target":"unring","fields":{"message":"ready"}}"#,
        "\n",
        r#"{"level":"WARN","fields":{"message":"m","event":"ring_found","ring":"ab","kind":"plain","witness":"a -> b -> a","members":"a, b","cut":"c"}}"#,
        "\n",
        r#"{"level":"INFO","fields":{"event":"ring_found","ring":"cd","kind":"shared"}}"#,
        "\n",
        r#"{"level":"WARN","fields":{"event":"clock_skew","ring":"ef"}}"#,
        "\nthread 'main' panicked \"ring_found\"\n",
        r#"{"level":"WARN","fields":{"event":"ring_changed","ring":"ab"}}"#,
    );

    #[test]
    fn only_warnings_of_rings_are_kept_and_every_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, LOG).unwrap();
        let warning = |event: &str, witness: &str| RingWarning {
            ring: "ab".into(),
            event: event.into(),
            witness: witness.into(),
        };
        let expected = [warning("ring_found", "a -> b -> a"), warning("ring_changed", "")];
        assert_eq!(
            summarise(&log).unwrap(),
            LogSummary { lines: 6, ring_warnings: expected.into(), legacy_warnings: 0 }
        );
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(tail(&log, 2).contains("cannot be read"));
        std::fs::write(&log, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&log, 2), "b\nc");
        assert_eq!(tail(&log, 9), "a\nb\nc");
    }
}
