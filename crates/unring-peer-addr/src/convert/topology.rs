//! The graph of joins and its rings.

use std::collections::{BTreeMap, BTreeSet};

use unring_cycle_detector::{Cut, Join, Ring, RingKind, Topology, TopologyNode};
use unring_peer::PeerId;

use super::records::{field_len, prefix_within};
use super::{InvalidMessage, at_most, peer_id, responder};
use crate::limits::{ANSWER_RECORD_BYTES, ANSWER_RING_BYTES, MAX_TOPOLOGY_ENTRIES};
use crate::pb;

/// Another node's view of who joins whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTopology {
    /// Whose view it is.
    pub responder: PeerId,
    /// The nodes it knows.
    pub nodes: Vec<TopologyNode<PeerId>>,
    /// The rings it found.
    pub rings: Vec<RemoteRing>,
    /// Names of ring members, where a record names them.
    pub names: BTreeMap<PeerId, String>,
}

/// A ring that another node found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRing {
    /// The ring's stable name.
    pub id: String,
    /// What sort of ring.
    pub kind: RingKind,
    /// All members.
    pub members: Vec<PeerId>,
    /// The shortest circuit: each joins the next, the last the first.
    pub witness: Vec<PeerId>,
    /// The joins to remove; when they were configured is not part of the answer and reads 0.
    pub cuts: Vec<Cut<PeerId>>,
    /// A member's record expired, so that the ring may be gone.
    pub unverified: bool,
}

pub(crate) fn topology_to_wire(topology: &Topology<PeerId>) -> pb::GetTopologyResponse {
    let names = topology.nodes.iter().map(|node| (node.id, node.name.clone())).collect();
    let nodes: Vec<_> = topology.nodes.iter().map(node_to_wire).collect();
    let rings = rings_to_wire(&topology.rings, &names, ANSWER_RING_BYTES);
    pb::GetTopologyResponse {
        nodes: within(nodes, ANSWER_RECORD_BYTES),
        rings,
        responder: topology.local.to_base58(),
    }
}

pub(super) fn rings_to_wire(
    rings: &[Ring<PeerId>],
    names: &BTreeMap<PeerId, String>,
    budget: usize,
) -> Vec<pb::Ring> {
    within(rings.iter().map(|ring| ring_to_wire(ring, names)).collect(), budget)
}

fn within<M: prost::Message>(mut messages: Vec<M>, budget: usize) -> Vec<M> {
    let sizes = messages.iter().map(|message| field_len(message.encoded_len()));
    messages.truncate(prefix_within(sizes, budget));
    messages
}

fn node_to_wire(node: &TopologyNode<PeerId>) -> pb::TopologyNode {
    let join = |join: &Join<PeerId>| pb::Join {
        address: join.address.clone(),
        targets: join.targets.iter().map(|target| target.to_base58()).collect(),
        since_unix_ms: join.since_unix_ms,
    };
    pb::TopologyNode {
        peer_id: node.id.to_base58(),
        name: node.name.clone(),
        joins: node.joins.iter().map(join).collect(),
        unverified: node.unverified,
    }
}

fn ring_to_wire(ring: &Ring<PeerId>, names: &BTreeMap<PeerId, String>) -> pb::Ring {
    let member = |peer: &PeerId| pb::RingMember {
        peer_id: peer.to_base58(),
        name: names.get(peer).cloned().unwrap_or_default(),
    };
    let cut = |cut: &Cut<PeerId>| pb::Cut {
        from: Some(member(&cut.from)),
        to: Some(member(&cut.to)),
        address: cut.address.clone(),
    };
    let kind = match ring.kind {
        // A node joined to itself is the ring of one member.
        RingKind::SelfJoin | RingKind::Plain => pb::RingKind::Plain,
        RingKind::Shared => pb::RingKind::Shared,
    };
    pb::Ring {
        id: ring.id.to_string(),
        kind: kind.into(),
        members: ring.members.iter().map(member).collect(),
        witness: ring.witness.iter().map(member).collect(),
        cuts: ring.cuts.iter().map(cut).collect(),
        unverified: ring.unverified,
    }
}

pub(crate) fn topology_from_wire(
    wire: pb::GetTopologyResponse,
    peer: Option<PeerId>,
) -> Result<RemoteTopology, InvalidMessage> {
    at_most("nodes", wire.nodes.len(), MAX_TOPOLOGY_ENTRIES)?;
    at_most("rings", wire.rings.len(), MAX_TOPOLOGY_ENTRIES)?;
    let mut names = BTreeMap::new();
    let rings = wire.rings.into_iter().map(|ring| ring_from_wire(ring, &mut names));
    let rings = rings.collect::<Result<_, _>>()?;
    let nodes = wire.nodes.into_iter().map(node_from_wire).collect::<Result<_, _>>()?;
    Ok(RemoteTopology { responder: responder(&wire.responder, peer)?, nodes, rings, names })
}

fn node_from_wire(wire: pb::TopologyNode) -> Result<TopologyNode<PeerId>, InvalidMessage> {
    let join = |join: pb::Join| {
        let targets = join.targets.iter().map(|target| peer_id("nodes.joins.targets", target));
        Ok(Join {
            targets: targets.collect::<Result<BTreeSet<_>, _>>()?,
            address: join.address,
            since_unix_ms: join.since_unix_ms,
        })
    };
    Ok(TopologyNode {
        id: peer_id("nodes.peer_id", &wire.peer_id)?,
        name: wire.name,
        joins: wire.joins.into_iter().map(join).collect::<Result<_, _>>()?,
        unverified: wire.unverified,
    })
}

fn ring_from_wire(
    wire: pb::Ring,
    names: &mut BTreeMap<PeerId, String>,
) -> Result<RemoteRing, InvalidMessage> {
    let mut member = |member: pb::RingMember| {
        let peer = peer_id("rings.members.peer_id", &member.peer_id)?;
        if !member.name.is_empty() {
            names.insert(peer, member.name);
        }
        Ok(peer)
    };
    let members: Vec<_> =
        wire.members.into_iter().map(&mut member).collect::<Result<_, InvalidMessage>>()?;
    let witness = wire.witness.into_iter().map(&mut member).collect::<Result<_, _>>()?;
    let cut = |cut: pb::Cut| {
        Ok(Cut {
            from: member(cut.from.unwrap_or_default())?,
            to: member(cut.to.unwrap_or_default())?,
            address: cut.address,
            since_unix_ms: 0,
        })
    };
    let cuts = wire.cuts.into_iter().map(cut).collect::<Result<_, InvalidMessage>>()?;
    let kind = match pb::RingKind::try_from(wire.kind) {
        Ok(pb::RingKind::Shared) => RingKind::Shared,
        Ok(pb::RingKind::Plain) if members.len() == 1 => RingKind::SelfJoin,
        Ok(pb::RingKind::Plain) => RingKind::Plain,
        Ok(pb::RingKind::Unspecified) | Err(_) => {
            return Err(InvalidMessage::Unknown { field: "rings.kind", got: wire.kind });
        }
    };
    Ok(RemoteRing { id: wire.id, kind, members, witness, cuts, unverified: wire.unverified })
}
