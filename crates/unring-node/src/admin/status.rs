//! The status page: who am I, whom do I know, what did my upstreams say, which rings am I on, what does it cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use unring_cycle_detector::{Ring, RingKind};
use unring_exchange::{Engine, LastResult, Link, Now, PeerView, Signatures, UpstreamView};
use unring_peer::PeerId;

use super::database::DatabaseStatus;
use super::dht::DhtStatus;
use super::first_peer::FirstPeer;
use super::k3s::K3sStatus;
use super::security::MembershipStatus;
use crate::node::Parts;
use crate::version;

/// The status page as JSON. Fields are only ever added.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    name: String,
    peer_id: String,
    version: &'static str,
    commit: &'static str,
    protocol: &'static str,
    uptime_s: f64,
    addresses: Addresses,
    record: Option<Record>,
    upstreams: Vec<Upstream>,
    peers: Vec<Peer>,
    rings: Vec<RingStatus>,
    exchange: ExchangeStatus,
    libp2p: Libp2p,
    first_peer: FirstPeer,
    k3s: K3sStatus,
    dht: Option<DhtStatus>,
    database: DatabaseStatus,
    budget: Budget,
    log: LogStatus,
    membership: MembershipStatus,
}

#[derive(Debug, Serialize)]
struct Addresses {
    grpc: Option<String>,
    admin: String,
    libp2p: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Record {
    seq: u64,
    issued_at_unix_ms: u64,
    ttl_s: f64,
}

#[derive(Debug, Serialize)]
struct Upstream {
    address: String,
    targets: Vec<String>,
    shared: bool,
    state: &'static str,
    last_result: Option<&'static str>,
    last_error: Option<String>,
    last_attempt_s_ago: Option<f64>,
    next_attempt_in_s: Option<f64>,
    in_flight: usize,
}

#[derive(Debug, Serialize)]
struct Peer {
    peer_id: String,
    name: String,
    seq: u64,
    addresses: Vec<String>,
    grpc: Option<String>,
    joins: Vec<Join>,
    expires_in_s: f64,
    connected: bool,
    /// Whether this version of its record is on disk.
    saved: bool,
    source: &'static str,
}

#[derive(Debug, Serialize)]
struct Join {
    address: String,
    targets: Vec<String>,
    since_unix_ms: u64,
}

#[derive(Debug, Serialize)]
struct RingStatus {
    id: String,
    kind: &'static str,
    unverified: bool,
    /// Whether this node is on it.
    member: bool,
    members: Vec<Member>,
    witness: Vec<Member>,
    cuts: Vec<Cut>,
}

#[derive(Debug, Serialize)]
struct Member {
    peer_id: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct Cut {
    from: Member,
    to: Member,
    address: String,
}

#[derive(Debug, Serialize)]
struct ExchangeStatus {
    served: u64,
    sent: u64,
    duplicates: u64,
    loops: u64,
    throttled: u64,
    busy: u64,
    forged_stamps: u64,
    pushes: u64,
    sent_local: u64,
    probes: u64,
    heartbeats: u64,
    records_kept: u64,
    records_invalid: u64,
    open_streams: usize,
    recent: Vec<Recent>,
}

#[derive(Debug, Serialize)]
struct Recent {
    origin: String,
    request_id: String,
    sent: usize,
}

#[derive(Debug, Serialize)]
struct Libp2p {
    connections: usize,
    connected_peers: Vec<String>,
    /// How long after the start there was a connection for the first time.
    first_connected_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Budget {
    p2p_cpu_seconds: f64,
    cpu_percent_of_core: f64,
    limit_percent: f64,
    effective_percent: f64,
    lowered_by: &'static str,
    machine_pressure_percent: Option<f64>,
    blind: bool,
    level: &'static str,
    floor_wins: u64,
}

#[derive(Debug, Serialize)]
struct LogStatus {
    lines: u64,
    suppressed: u64,
}

impl Status {
    pub(crate) fn of(parts: &Parts) -> Self {
        let connected = parts.network.connected();
        let libp2p =
            parts.advertised.libp2p.iter().map(|address| format!("{address}/p2p/{}", parts.me));
        let addresses = Addresses {
            grpc: parts.advertised.grpc.as_ref().map(ToString::to_string),
            admin: format!("http://{}", parts.admin),
            libp2p: libp2p.collect(),
        };
        let budget = Budget {
            p2p_cpu_seconds: parts.meter.cpu_seconds(),
            cpu_percent_of_core: parts.level.cpu_percent(),
            limit_percent: thousandths(parts.level.configured().percent()),
            effective_percent: thousandths(parts.governor.budget().percent()),
            lowered_by: parts.level.lowered_by().name(),
            machine_pressure_percent: parts
                .level
                .machine_pressure()
                .map(|share| thousandths(share * 100.0)),
            blind: parts.level.is_blind(),
            level: parts.level.name(),
            floor_wins: parts.level.floor_wins(),
        };
        let k3s = K3sStatus::of(parts);
        let dht = DhtStatus::of(parts);
        let disk = parts.exchange.disk();
        let throttled = parts.throttled.load(Ordering::Relaxed);
        let first_peer = FirstPeer::of(parts);
        parts.exchange.read(|engine, now| Self {
            name: parts.config.name.clone(),
            peer_id: parts.me.to_base58(),
            version: version::VERSION,
            commit: version::COMMIT,
            protocol: version::PROTOCOL,
            uptime_s: now.mono.as_secs_f64(),
            addresses,
            record: engine.own_record().map(|own| Record {
                seq: own.record().seq,
                issued_at_unix_ms: own.record().issued_at.get(),
                ttl_s: own.record().ttl.as_secs_f64(),
            }),
            upstreams: engine.upstreams(now).into_iter().map(|view| upstream(view, now)).collect(),
            peers: engine
                .peers(now)
                .into_iter()
                .map(|view| {
                    let saved = engine
                        .is_unchanged_since(disk.saved_version, &view.record.record().peer_id);
                    peer(&view, &connected, disk.open && saved)
                })
                .collect(),
            rings: rings(engine, parts.me),
            exchange: exchange(engine, throttled),
            libp2p: Libp2p {
                connections: parts.network.connections(),
                connected_peers: connected.iter().map(|peer| peer.to_base58()).collect(),
                first_connected_s: parts.first_connected.get().map(Duration::as_secs_f64),
            },
            first_peer,
            k3s,
            dht,
            database: DatabaseStatus::new(engine, now, disk.clone()),
            budget,
            log: LogStatus { lines: parts.log.written(), suppressed: parts.log.suppressed() },
            membership: MembershipStatus::of(parts),
        })
    }
}

/// Without the digits that percent of a share leave behind.
fn thousandths(percent: f64) -> f64 {
    (percent * 1000.0).round() / 1000.0
}

fn upstream(view: UpstreamView, now: Now) -> Upstream {
    let in_s = |at: Duration| at.saturating_sub(now.mono).as_secs_f64();
    let (state, next) = match view.link {
        Link::Waiting { until } => ("backing_off", Some(in_s(until))),
        Link::Opening(_) => ("connecting", None),
        Link::Streaming(_) => ("streaming", None),
        Link::Polling { next } => ("polling", Some(in_s(next))),
    };
    let (result, error, ago) = match view.last {
        None => (None, None, None),
        Some((ago, LastResult::Ok)) => (Some("ok"), None, Some(ago)),
        Some((ago, LastResult::Failed(why))) => (Some("failed"), Some(why), Some(ago)),
    };
    Upstream {
        shared: view.targets.len() > 1,
        targets: view.targets.iter().map(|peer| peer.to_base58()).collect(),
        address: view.address,
        state,
        last_result: result,
        last_error: error,
        last_attempt_s_ago: ago.map(|ago| ago.as_secs_f64()),
        next_attempt_in_s: next,
        in_flight: view.in_flight,
    }
}

fn peer(view: &PeerView, connected: &BTreeSet<PeerId>, saved: bool) -> Peer {
    let record = view.record.record();
    let joins = record.joins.iter().map(|join| Join {
        address: join.address.clone(),
        targets: join.targets.iter().map(|peer| peer.to_base58()).collect(),
        since_unix_ms: join.since.get(),
    });
    Peer {
        peer_id: record.peer_id.to_base58(),
        name: record.name.clone(),
        seq: record.seq,
        addresses: record.addresses.iter().map(ToString::to_string).collect(),
        grpc: record.grpc_url.as_ref().map(ToString::to_string),
        joins: joins.collect(),
        expires_in_s: view.expires_in.as_secs_f64(),
        connected: connected.contains(&record.peer_id),
        saved,
        source: "signed",
    }
}

fn rings(engine: &Engine<Signatures>, me: PeerId) -> Vec<RingStatus> {
    let names = engine.ring_names();
    engine.rings().iter().map(|ring| ring_status(ring, &names, me)).collect()
}

fn ring_status(ring: &Ring<PeerId>, names: &BTreeMap<PeerId, String>, me: PeerId) -> RingStatus {
    let member = |peer: &PeerId| Member {
        peer_id: peer.to_base58(),
        name: names.get(peer).cloned().unwrap_or_default(),
    };
    let cuts = ring.cuts.iter().map(|cut| Cut {
        from: member(&cut.from),
        to: member(&cut.to),
        address: cut.address.clone(),
    });
    RingStatus {
        id: ring.id.to_string(),
        kind: match ring.kind {
            RingKind::SelfJoin => "self-join",
            RingKind::Plain => "plain",
            RingKind::Shared => "shared",
        },
        unverified: ring.unverified,
        member: ring.members.contains(&me),
        members: ring.members.iter().map(member).collect(),
        witness: ring.witness.iter().map(member).collect(),
        cuts: cuts.collect(),
    }
}

fn exchange(engine: &Engine<Signatures>, throttled: u64) -> ExchangeStatus {
    let counters = engine.counters();
    let recent = engine.recent().map(|request| Recent {
        origin: request.origin.to_base58(),
        request_id: request.request_id.to_string(),
        sent: request.sent,
    });
    ExchangeStatus {
        served: counters.served,
        sent: counters.sent,
        duplicates: counters.duplicates,
        loops: counters.loops,
        throttled,
        busy: counters.busy,
        forged_stamps: counters.forged_stamps,
        pushes: counters.pushes,
        sent_local: counters.sent_local,
        probes: counters.probes,
        heartbeats: counters.heartbeats,
        records_kept: counters.records_kept,
        records_invalid: counters.records_invalid,
        open_streams: engine.open_streams(),
        recent: recent.collect(),
    }
}
