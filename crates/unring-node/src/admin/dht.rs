//! The DHT as its operator sees it: who provides a key, what is held, what it costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use unring_routing::{Key, LookupError, Readiness, Router as _};
use unring_routing_kad::{KadCounters, KadRouter, LOOKUP_BUCKETS_MS};

use crate::config::MAX_KEY_BYTES;
use crate::errors::chain;
use crate::node::Parts;
use crate::node::dht::{AskError, look_up};

/// Who provides a key. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Found {
    key: String,
    multihash: String,
    providers: Vec<FoundProvider>,
    took_ms: f64,
}

#[derive(Debug, Serialize)]
struct FoundProvider {
    peer_id: String,
    addresses: Vec<String>,
}

/// `?key=`: asks the network, read only.
pub(super) async fn providers(State(parts): State<Arc<Parts>>, query: RawQuery) -> Response {
    let Some(text) = query.0.as_deref().and_then(key) else {
        let what = format!("ask with ?key=KEY of 1 to {MAX_KEY_BYTES} bytes\n");
        return (StatusCode::BAD_REQUEST, what).into_response();
    };
    let (key, began) = (Key::new(&text), Instant::now());
    match look_up(&parts, key).await {
        Ok(found) => {
            let providers = found.all().into_iter().map(|provider| FoundProvider {
                peer_id: provider.peer.to_base58(),
                addresses: provider.addresses.iter().map(ToString::to_string).collect(),
            });
            let providers = providers.collect();
            let took_ms = began.elapsed().as_secs_f64() * 1000.0;
            let found = Found { key: text, multihash: key.to_string(), providers, took_ms };
            match serde_json::to_vec(&found) {
                Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
                }
            }
        }
        Err(error) => (status(&error), format!("{}\n", chain(&error))).into_response(),
    }
}

fn status(error: &AskError) -> StatusCode {
    match error {
        AskError::Off => StatusCode::NOT_FOUND,
        AskError::LookUp(LookupError::TooManyKeys { .. } | LookupError::TooManyCallers { .. }) => {
            StatusCode::TOO_MANY_REQUESTS
        }
        AskError::LookUp(LookupError::Unreachable { .. }) => StatusCode::GATEWAY_TIMEOUT,
        AskError::LookUp(LookupError::Ended) | AskError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The key of `key=KEY`, percent-encoded (RFC 3986, section 2.1).
fn key(query: &str) -> Option<String> {
    let encoded = query.strip_prefix("key=")?;
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'&', _) => return None,
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?, tail)
            }
            (b'%', _) => return None,
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    let fits = (1..=MAX_KEY_BYTES).contains(&bytes.len());
    String::from_utf8(bytes).ok().filter(|_| fits)
}

/// The DHT on the status page; null when the node takes no part in it.
#[derive(Debug, Serialize)]
pub(super) struct DhtStatus {
    state: &'static str,
    routing_table: usize,
    advertised: usize,
    unadvertised: usize,
    records: usize,
    max_records: usize,
    providers: usize,
    lookups: u64,
    requests: u64,
    requests_failed: u64,
    records_sent: u64,
    records_refused: u64,
}

impl DhtStatus {
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let router = parts.router.as_ref()?;
        let counters = router.counters();
        Some(Self {
            state: match router.ready() {
                Readiness::Starting => "starting",
                Readiness::Alone => "alone",
                Readiness::Connected { .. } => "connected",
            },
            routing_table: counters.peers,
            advertised: router.advertised(),
            unadvertised: counters.pending,
            records: counters.records,
            max_records: parts.config.dht.max_records,
            providers: counters.providers,
            lookups: counters.lookups,
            requests: counters.requests,
            requests_failed: counters.request_failures,
            records_sent: counters.records_sent,
            records_refused: counters.records_refused,
        })
    }
}

/// Its metrics; all 0 when the node takes no part in it.
#[derive(Debug)]
pub(super) struct DhtMetrics {
    pub(super) counters: [(&'static str, &'static str, u64); 21],
    pub(super) gauges: [(&'static str, &'static str, usize); 5],
    /// Sum in seconds, count, and the count of each bucket with its upper end in seconds.
    pub(super) lookup_seconds: (f64, u64, Vec<(f64, u64)>),
}

impl DhtMetrics {
    pub(super) fn of(parts: &Parts) -> Self {
        let router = parts.router.as_deref();
        let counters = router.map(KadRouter::counters).unwrap_or_default();
        let network = parts.network.counters();
        Self {
            counters: [
                ("dht_lookups", "Look-ups that went out to the DHT", counters.lookups),
                ("dht_walks", "Walks through the DHT to tell of keys", counters.walks),
                ("dht_requests", "Requests sent to nodes of the DHT", counters.requests),
                (
                    "dht_requests_failed",
                    "Requests and messages to nodes of the DHT that failed",
                    counters.request_failures,
                ),
                ("dht_records_sent", "Times that a node was told of a key", counters.records_sent),
                (
                    "dht_records_kept",
                    "Records of other nodes that were kept or renewed",
                    counters.records_kept,
                ),
                (
                    "dht_records_refused",
                    "Records of other nodes that were refused",
                    counters.records_refused,
                ),
                (
                    "dht_requests_served",
                    "Requests of other nodes that were served",
                    counters.requests_served,
                ),
                (
                    "dht_streams_refused_number",
                    "Streams of other nodes that were one too many",
                    counters.refused.streams,
                ),
                (
                    "dht_streams_refused_busy",
                    "Streams of nodes with too many that are held up",
                    counters.refused.busy,
                ),
                (
                    "dht_streams_refused_rate",
                    "Streams of nodes that ask too often",
                    counters.refused.rate,
                ),
                (
                    "dht_streams_refused_too_long",
                    "Streams with a request that is too long",
                    counters.refused.too_long,
                ),
                (
                    "dht_streams_refused_slow",
                    "Streams that sent no request, or did not read an answer, in time",
                    counters.refused.slow,
                ),
                (
                    "dht_streams_refused_unreadable",
                    "Streams with something that is no request",
                    counters.refused.unreadable,
                ),
                (
                    "dht_streams_refused_crowded",
                    "Streams for which there was no room beside those of other nodes",
                    counters.refused.crowded,
                ),
                ("dht_store_alarms", "Times that the store became almost full", counters.alarms),
                (
                    "libp2p_other_network",
                    "Inbound libp2p connections with another network key, or of something else than libp2p",
                    network.other_network,
                ),
                (
                    "libp2p_connections_denied",
                    "Inbound libp2p connections for which there was no place",
                    network.denied,
                ),
                (
                    "libp2p_handshakes_failed",
                    "Inbound libp2p connections whose handshake failed",
                    network.handshake_failures,
                ),
                (
                    "libp2p_connections_replaced",
                    "Libp2p connections closed because others needed their places",
                    network.closed,
                ),
                (
                    "libp2p_streams_refused",
                    "Libp2p streams of connections with too many",
                    network.streams_refused,
                ),
            ],
            gauges: [
                ("dht_routing_table", "Nodes of the DHT in the routing table", counters.peers),
                ("dht_records", "Records of other nodes", counters.records),
                ("dht_providers", "Nodes whose records are kept", counters.providers),
                (
                    "dht_advertised",
                    "Keys that this node advertises",
                    router.map_or(0, KadRouter::advertised),
                ),
                ("dht_unadvertised", "Of these, those that wait to be told", counters.pending),
            ],
            lookup_seconds: seconds(&counters),
        }
    }
}

fn seconds(counters: &KadCounters) -> (f64, u64, Vec<(f64, u64)>) {
    let ends = LOOKUP_BUCKETS_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64());
    let buckets: Vec<_> = ends.chain([f64::MAX]).zip(counters.times.counts).collect();
    let sum = Duration::from_micros(counters.times.sum_us).as_secs_f64();
    (sum, counters.times.counts.iter().sum(), buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decoded_within_its_bounds() {
        let decoded = |query: &str| key(query);
        let name = "docker.io/library/nginx:1.27";
        assert_eq!(decoded(&format!("key={name}")).as_deref(), Some(name));
        assert_eq!(decoded("key=a%2Fb%20%C3%A4").as_deref(), Some("a/b ä"));
        for bad in ["", "key=", "name=x", "key=%", "key=%4", "key=%zz", "key=%ff", "key=a&key=b"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        let long = |bytes| format!("key={}", "x".repeat(bytes));
        assert!(decoded(&long(MAX_KEY_BYTES)).is_some());
        assert_eq!(decoded(&long(MAX_KEY_BYTES + 1)), None);
    }
}
