//! What is said of a ring that this node is on.

use std::collections::BTreeMap;

use unring_cycle_detector::{Event, Ring, RingKind, Voice};
use unring_peer::PeerId;

use crate::log::RING;

/// One line, as loud as the event says.
pub(super) fn log(event: &Event<PeerId>, names: &BTreeMap<PeerId, String>) {
    let ring = event.ring();
    let line = Line::new(ring, names);
    let name = match event {
        Event::RingFound { .. } => "ring_found",
        Event::RingChanged { .. } => "ring_changed",
        Event::RingReminder { .. } => "ring_reminder",
        Event::RingGone { .. } => "ring_gone",
    };
    let message = match (event, ring.kind) {
        (Event::RingGone { .. }, _) => format!("the ring of joins {} is gone", line.witness),
        (_, RingKind::Shared) => format!(
            "these nodes join each other through shared addresses: {}. This is right in a highly available cluster; K3s versions affected by k3s#12127 would storm here",
            line.witness
        ),
        (Event::RingReminder { .. }, _) => {
            format!("there is still a ring of joins: {}. {}", line.witness, line.advice())
        }
        _ => format!("there is a ring of joins: {}. {}", line.witness, line.advice()),
    };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: RING,
                event = name,
                ring = %ring.id,
                kind = %ring.kind,
                witness = line.witness,
                members = line.members,
                cut = line.cut,
                "{message}"
            )
        };
    }
    match event.voice() {
        Voice::Warn => line!(warn),
        Voice::Info => line!(info),
        Voice::Quiet => line!(debug),
    }
}

/// The parts of a line, with names instead of ids.
struct Line {
    witness: String,
    members: String,
    cut: String,
    /// What to do, in words.
    remove: Option<String>,
    cuts: usize,
}

impl Line {
    fn new(ring: &Ring<PeerId>, names: &BTreeMap<PeerId, String>) -> Self {
        let name = |peer: &PeerId| display_name(peer, names);
        let circuit = ring.witness.iter().chain(ring.witness.first()).map(name);
        let cut = ring
            .cuts
            .first()
            .map(|cut| format!("{} -> {} ({})", name(&cut.from), name(&cut.to), cut.address));
        Self {
            witness: circuit.collect::<Vec<_>>().join(" -> "),
            members: ring.members.iter().map(name).collect::<Vec<_>>().join(", "),
            cut: cut.unwrap_or_default(),
            remove: ring.cuts.first().map(|cut| {
                let (from, to) = (name(&cut.from), name(&cut.to));
                format!(
                    "Remove the join {} (to {to}) from the configuration of {from}",
                    cut.address
                )
            }),
            cuts: ring.cuts.len(),
        }
    }

    fn advice(&self) -> String {
        match (&self.remove, self.cuts) {
            (None, _) => String::new(),
            (Some(remove), 1) => remove.clone(),
            (Some(remove), more) => format!("{remove}, and {} more joins, see /statusz", more - 1),
        }
    }
}

/// What a line calls a node: its name, with the end of its peer id where another node has the same name.
fn display_name(peer: &PeerId, names: &BTreeMap<PeerId, String>) -> String {
    let id = peer.to_base58();
    match names.get(peer).filter(|name| !name.is_empty()) {
        None => id,
        Some(name) if names.values().filter(|other| *other == name).count() > 1 => {
            format!("{name} ({})", &id[id.len().saturating_sub(8)..])
        }
        Some(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use unring_cycle_detector::{Join, find_rings};
    use unring_peer::Identity;

    use super::*;

    #[test]
    fn a_line_names_the_circuit_and_the_join_to_cut() {
        let mut peers: Vec<_> = (0..3).map(|_| Identity::generate().peer_id()).collect();
        peers.sort();
        let joins = (0..3).map(|from| {
            let target = (from + 1) % 3;
            let address = format!("https://server{}:5871", target + 1);
            let join =
                Join { address, targets: [peers[target]].into(), since_unix_ms: [1, 3, 2][from] };
            (peers[from], vec![join])
        });
        let names = (0..3).map(|index| (peers[index], format!("server{}", index + 1))).collect();
        let line = Line::new(&find_rings(&joins.collect())[0], &names);
        assert_eq!(line.witness, "server1 -> server2 -> server3 -> server1");
        assert_eq!(line.members, "server1, server2, server3");
        assert_eq!(
            line.advice(),
            "Remove the join https://server3:5871 (to server3) from the configuration of server2"
        );
    }

    #[test]
    fn nodes_of_the_same_name_can_be_told_apart() {
        let (a, b) = (Identity::generate().peer_id(), Identity::generate().peer_id());
        let names = [(a, "server".to_owned()), (b, "server".to_owned())].into();
        assert_ne!(display_name(&a, &names), display_name(&b, &names));
        assert!(display_name(&a, &names).starts_with("server ("));
    }
}
