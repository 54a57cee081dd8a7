//! Where the first peer comes from, on the status page and in the metrics.

use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;

use crate::node::Parts;
use crate::sources::{Row, rows};
use crate::watched::Counts;

#[derive(Debug, Serialize)]
pub(super) struct FirstPeer {
    /// It said so, and nobody came since.
    alone: bool,
    /// Where `/id` is served.
    id_url: Option<String>,
    reloads: u64,
    failures: u64,
    last_error: Option<String>,
    sources: Vec<Source>,
}

#[derive(Debug, Serialize)]
pub(super) struct Source {
    kind: &'static str,
    name: String,
    state: &'static str,
    last_result: Option<&'static str>,
    last_error: Option<String>,
    addresses: Option<usize>,
    reached: Option<usize>,
    attempts: u64,
    failures: u64,
    last_attempt_s_ago: Option<f64>,
    next_attempt_in_s: Option<f64>,
}

impl FirstPeer {
    pub(super) fn of(parts: &Parts) -> Self {
        let sources = rows(parts).into_iter().map(source).collect();
        let id_url = parts.id.map(|at| format!("http://{at}/id"));
        let Counts { reloads, failures, last_error } = parts.bootstrap.counts();
        let alone = parts.sources.is_alone();
        Self { alone, id_url, reloads, failures, last_error, sources }
    }
}

fn source(row: Row) -> Source {
    let attempts = row.ended.iter().map(|(_, count)| count).sum();
    let ok: u64 = row.ended.iter().filter(|(how, _)| how.name() == "ok").map(|(_, n)| n).sum();
    Source {
        kind: row.kind.name(),
        name: row.name,
        state: row.state,
        last_result: row.last.map(|outcome| outcome.name()),
        last_error: row.error,
        addresses: row.addresses,
        reached: row.reached,
        attempts,
        failures: attempts - ok,
        last_attempt_s_ago: row.ago.map(|ago| ago.as_secs_f64()),
        next_attempt_in_s: row.next.map(|next| Duration::as_secs_f64(&next)),
    }
}

/// The metrics of all sources. Each source is one that an operator configured, so the labels are bounded.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    rows: Vec<Row>,
    alone: bool,
}

impl SourceMetrics {
    pub(super) fn of(parts: &Parts) -> Self {
        Self { rows: rows(parts), alone: parts.sources.is_alone() }
    }

    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        let (zero, none) = (ConstCounter::new(0_u64), ConstGauge::new(0_f64));
        let help = "Attempts to find a first peer, by how they ended";
        let mut attempts =
            encoder.encode_descriptor("source_attempts", help, None, zero.metric_type())?;
        for row in &self.rows {
            for (outcome, count) in &row.ended {
                let labels = [
                    ("kind", row.kind.name()),
                    ("source", row.name.as_str()),
                    ("outcome", outcome.name()),
                ];
                ConstCounter::new(*count).encode(attempts.encode_family(&labels)?)?;
            }
        }
        let help = "Addresses that a source of first peers told last";
        let mut addresses =
            encoder.encode_descriptor("source_addresses", help, None, none.metric_type())?;
        for row in &self.rows {
            let labels = [("kind", row.kind.name()), ("source", row.name.as_str())];
            let count = super::metrics::gauge(row.addresses.unwrap_or(0));
            ConstGauge::new(count).encode(addresses.encode_family(&labels)?)?;
        }
        let help = "Whether this node is alone";
        let alone = ConstGauge::new(f64::from(u8::from(self.alone)));
        alone.encode(encoder.encode_descriptor("alone", help, None, alone.metric_type())?)
    }
}
