//! Metrics in the Prometheus text format, read from the parts at each scrape: nothing is counted twice.

use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use unring_cycle_detector::RingKind;

use super::dht::DhtMetrics;
use super::first_peer::SourceMetrics;
use crate::node::Parts;

/// OpenMetrics 1.0, which Prometheus reads.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as text.
pub(super) fn text(parts: &Parts) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("unring");
    registry.register_collector(Box::new(Snapshot::of(parts)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// All values at one time.
#[derive(Debug)]
struct Snapshot {
    counters: Vec<(&'static str, &'static str, u64)>,
    gauges: Vec<(&'static str, &'static str, f64)>,
    cpu_seconds: f64,
    sources: SourceMetrics,
    dht: DhtMetrics,
}

impl Snapshot {
    fn of(parts: &Parts) -> Self {
        let accepted = parts.accepted.counts();
        let k3s = parts.k3s.counters.counts();
        let disk = parts.exchange.disk();
        let unsaved =
            parts.exchange.read(|engine, _| engine.book_changes_pending(disk.saved_version));
        let network = parts.network.counters();
        let (counters, peers, streams, rings) = parts.exchange.read(|engine, _| {
            let mine = |kind| {
                let on = |ring: &&unring_cycle_detector::Ring<_>| {
                    ring.kind == kind && ring.members.contains(&parts.me)
                };
                engine.rings().iter().filter(on).count()
            };
            let rings = [RingKind::Plain, RingKind::SelfJoin, RingKind::Shared].map(mine);
            (engine.counters(), engine.peers_known(), engine.open_streams(), rings)
        });
        let [plain, itself, shared] = rings;
        let security = super::security::counters(parts, &counters);
        let mut snapshot = Self {
            counters: vec![
                ("requests_served", "Requests for peers answered", counters.served),
                ("requests_sent", "Recursive requests sent to upstreams", counters.sent),
                (
                    "local_requests_sent",
                    "Polls of upstreams that cannot stream, and looks that met another node",
                    counters.sent_local,
                ),
                ("probes", "Looks at where an upstream's address leads", counters.probes),
                (
                    "requests_duplicate",
                    "Requests that had been forwarded before",
                    counters.duplicates,
                ),
                (
                    "requests_looped",
                    "Requests that came back: turns of a ring that were cut short",
                    counters.loops,
                ),
                (
                    "requests_throttled",
                    "Requests refused or degraded by the governor",
                    parts.throttled.load(Ordering::Relaxed),
                ),
                (
                    "requests_busy",
                    "Requests for which no slot towards an upstream was free",
                    counters.busy,
                ),
                (
                    "requests_hop_limit",
                    "Requests not forwarded because the hop limit was used up",
                    counters.hop_limit,
                ),
                (
                    "requests_dedup_full",
                    "Requests not forwarded because the dedup store was full",
                    counters.dedup_full,
                ),
                ("requests_invalid", "Requests refused for their trace", counters.invalid_traces),
                (
                    "forged_stamps",
                    "Mentions of this node in a path without a valid stamp",
                    counters.forged_stamps,
                ),
                (
                    "clock_skew",
                    "Requests and records kept out because of their clock",
                    counters.clock_skew,
                ),
                ("records_pushed", "Records sent on streams", counters.pushes),
                ("stream_heartbeats", "Messages on streams without a record", counters.heartbeats),
                (
                    "streams_resumed",
                    "Streams of watchers that went on where an earlier one ended",
                    counters.streams_resumed,
                ),
                (
                    "streams_slow",
                    "Streams ended because the other end did not read",
                    counters.slow_consumers,
                ),
                (
                    "streams_silent",
                    "Streams ended because nothing was heard on them",
                    counters.silent_streams,
                ),
                ("records_kept", "Records that were new or newer", counters.records_kept),
                (
                    "records_invalid",
                    "Records that could not be read or do not verify",
                    counters.records_invalid,
                ),
                (
                    "records_full",
                    "Records kept out because a share of the book was full",
                    counters.records_full,
                ),
                ("records_expired", "Records whose time was over", counters.records_expired),
                ("records_signed", "Times that this node signed its own record", counters.signed),
                (
                    "seqs_unpersisted",
                    "Times that this node's record went out before its version was on disk, because the disk was too slow",
                    counters.seqs_unpersisted,
                ),
                ("database_writes", "Commits to the database", disk.writes),
                (
                    "database_failures",
                    "Times that the database could not be opened or written",
                    disk.failures,
                ),
                ("grpc_connections_accepted", "Inbound gRPC connections", accepted.accepted),
                (
                    "grpc_handshakes_failed",
                    "Inbound TLS handshakes that failed",
                    accepted.handshake_failed,
                ),
                (
                    "grpc_connections_refused",
                    "Inbound gRPC connections closed at once because no place was left",
                    accepted.connections_full
                        + accepted.ip_full
                        + accepted.handshakes_full
                        + accepted.handshakes_ip_full,
                ),
                (
                    "grpc_connections_unused",
                    "Inbound gRPC connections closed because nothing was called on them",
                    accepted.without_call + accepted.idle + accepted.gave_way,
                ),
                (
                    "grpc_connections_unread",
                    "Inbound gRPC connections closed because answers were not read",
                    accepted.unread,
                ),
                ("libp2p_dials", "Dials to known peers", network.dials),
                ("libp2p_dials_failed", "Dials that failed", network.dial_failures),
                (
                    "grpc_reads_paused",
                    "Times that a connection was read more slowly to hold the CPU budget",
                    accepted.paused_reads,
                ),
                (
                    "k3s_requests_served",
                    "Requests of K3s's clients for peer addresses that were let in",
                    k3s.served,
                ),
                (
                    "k3s_requests_unauthorized",
                    "Requests at K3s's path without a certificate or token that counts",
                    k3s.unauthorized,
                ),
                (
                    "k3s_requests_throttled",
                    "Requests at K3s's path put off by the governor",
                    k3s.throttled,
                ),
                (
                    "k3s_connections_refused",
                    "Connections to K3s's path closed before their handshake to hold the CPU budget",
                    k3s.refused_connections,
                ),
                (
                    "log_lines_suppressed",
                    "Log lines left out because there were too many",
                    parts.log.suppressed(),
                ),
                (
                    "budget_floor_wins",
                    "Control periods in which the floor was admitted above the CPU budget",
                    parts.level.floor_wins(),
                ),
            ],
            gauges: vec![
                ("peers_known", "Peers whose records are kept", gauge(peers)),
                (
                    "database_open",
                    "1 while the database is open, 0 while it cannot be used",
                    gauge(usize::from(disk.open)),
                ),
                ("database_bytes", "Size of the database file", bytes(disk.size)),
                ("database_records", "Records of other nodes on disk", gauge(disk.records)),
                ("database_records_unsaved", "Records that are not on disk yet", gauge(unsaved)),
                (
                    "database_records_restored",
                    "Records that came back from disk at the start",
                    gauge(disk.restored.kept),
                ),
                (
                    "database_records_skipped",
                    "Records on disk that were left out at the start",
                    gauge(disk.restored.skipped() + disk.unreadable),
                ),
                (
                    "peers_connected",
                    "Peers connected over libp2p",
                    gauge(parts.network.connected().len()),
                ),
                ("streams_open", "Streams of records, both ways", gauge(streams)),
                ("rings_plain", "Rings of plain joins that this node is on", gauge(plain + itself)),
                (
                    "rings_shared",
                    "Rings through shared addresses that this node is on",
                    gauge(shared),
                ),
                (
                    "k3s_rings_suspected",
                    "Rings through K3s's servers that this node is suspected to be on",
                    gauge(parts.k3s.rings.suspicions().len()),
                ),
                (
                    "cpu_budget_ratio",
                    "CPU that P2P work may use, as a share of one core",
                    parts.level.configured().share(),
                ),
                (
                    "cpu_budget_effective_ratio",
                    "CPU that P2P work may use now, as a share of one core",
                    parts.governor.budget().share(),
                ),
                (
                    "machine_pressure_ratio",
                    "Share of time in which tasks of this machine wait for a CPU",
                    parts.level.machine_pressure().unwrap_or(f64::NAN),
                ),
                (
                    "cpu_meter_blind",
                    "Whether CPU of P2P work cannot be measured",
                    f64::from(u8::from(parts.level.is_blind())),
                ),
                (
                    "cpu_ratio",
                    "CPU that P2P work used in the last control period, as a share of one core",
                    parts.level.cpu_percent() / 100.0,
                ),
                (
                    "governor_scale",
                    "What costs of requests are multiplied by to hold the CPU budget",
                    parts.governor.scale(),
                ),
            ],
            cpu_seconds: parts.meter.cpu_seconds(),
            sources: SourceMetrics::of(parts),
            dht: DhtMetrics::of(parts),
        };
        snapshot.counters.extend(security);
        snapshot
    }
}

#[expect(clippy::cast_precision_loss, reason = "files far below 2^52")]
fn bytes(size: u64) -> f64 {
    size as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn gauge(count: usize) -> f64 {
    count as f64
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in self.counters.iter().chain(&self.dht.counters) {
            let counter = ConstCounter::new(*value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let cpu = ConstCounter::new(self.cpu_seconds);
        let help = "CPU time of P2P work";
        cpu.encode(encoder.encode_descriptor("cpu_seconds", help, None, cpu.metric_type())?)?;
        let dht = self.dht.gauges.iter().map(|(name, help, value)| (*name, *help, gauge(*value)));
        for (name, help, value) in self.gauges.iter().copied().chain(dht) {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let (sum, count, buckets) = &self.dht.lookup_seconds;
        let help = "Time that look-ups in the DHT took";
        encoder
            .encode_descriptor("dht_lookup_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
        self.sources.encode(&mut encoder)
    }
}
