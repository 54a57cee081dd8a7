//! What was said of rings, as JSON in the database: a form of our own, so that the detector's types may change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use unring_cycle_detector::{Join, RememberedNode, RememberedRing, RingKind, RingMemory};
use unring_peer::PeerId;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    rings: Vec<StoredRing>,
    nodes: Vec<StoredNode>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRing {
    kind: String,
    members: Vec<String>,
    witness: Vec<String>,
    spoken_unix_ms: u64,
    open: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredNode {
    id: String,
    name: String,
    joins: Vec<StoredJoin>,
    unverified_since_unix_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredJoin {
    address: String,
    targets: Vec<String>,
    since_unix_ms: u64,
}

pub(crate) fn encode(memory: &RingMemory<PeerId>) -> Vec<u8> {
    let rings = memory.rings.iter().map(|ring| StoredRing {
        kind: ring.kind.to_string(),
        members: texts(&ring.members),
        witness: texts(&ring.witness),
        spoken_unix_ms: ring.spoken_unix_ms,
        open: ring.open,
    });
    let nodes = memory.nodes.iter().map(|node| StoredNode {
        id: node.id.to_base58(),
        name: node.name.clone(),
        joins: node.joins.iter().map(store_join).collect(),
        unverified_since_unix_ms: node.unverified_since_unix_ms,
    });
    let stored = Stored { rings: rings.collect(), nodes: nodes.collect() };
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// `None` when another version wrote something else.
pub(crate) fn decode(bytes: &[u8]) -> Option<RingMemory<PeerId>> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    let rings = stored.rings.into_iter().map(|ring| {
        Some(RememberedRing {
            kind: kind(&ring.kind)?,
            members: peers(&ring.members)?,
            witness: peers(&ring.witness)?,
            spoken_unix_ms: ring.spoken_unix_ms,
            open: ring.open,
        })
    });
    let nodes = stored.nodes.into_iter().map(|node| {
        Some(RememberedNode {
            id: node.id.parse().ok()?,
            name: node.name,
            joins: node.joins.into_iter().map(load_join).collect::<Option<_>>()?,
            unverified_since_unix_ms: node.unverified_since_unix_ms,
        })
    });
    Some(RingMemory { rings: rings.collect::<Option<_>>()?, nodes: nodes.collect::<Option<_>>()? })
}

fn kind(text: &str) -> Option<RingKind> {
    [RingKind::SelfJoin, RingKind::Plain, RingKind::Shared]
        .into_iter()
        .find(|kind| kind.to_string() == text)
}

fn texts(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(|peer| peer.to_base58()).collect()
}

fn peers(texts: &[String]) -> Option<Vec<PeerId>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

fn store_join(join: &Join<PeerId>) -> StoredJoin {
    StoredJoin {
        address: join.address.clone(),
        targets: join.targets.iter().map(|peer| peer.to_base58()).collect(),
        since_unix_ms: join.since_unix_ms,
    }
}

fn load_join(join: StoredJoin) -> Option<Join<PeerId>> {
    let targets: BTreeSet<PeerId> = peers(&join.targets)?.into_iter().collect();
    Some(Join { address: join.address, targets, since_unix_ms: join.since_unix_ms })
}

#[cfg(test)]
mod tests {
    use unring_peer::Identity;

    use super::*;

    #[test]
    fn a_memory_survives() {
        let (a, b) = (Identity::generate().peer_id(), Identity::generate().peer_id());
        let join = Join { address: "https://b:5871".into(), targets: [b].into(), since_unix_ms: 3 };
        let memory = RingMemory {
            rings: vec![RememberedRing {
                kind: RingKind::Plain,
                members: vec![a, b],
                witness: vec![b, a],
                spoken_unix_ms: 7,
                open: true,
            }],
            nodes: vec![RememberedNode {
                id: a,
                name: "server1".into(),
                joins: vec![join],
                unverified_since_unix_ms: Some(9),
            }],
        };
        assert_eq!(decode(&encode(&memory)), Some(memory));
        assert_eq!(decode(b"{}"), None);
    }
}
