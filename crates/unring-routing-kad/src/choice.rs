//! Which of the wanted peers get a place.
//!
//! Hearsay is free to make: one node can tell of thousands of peers that do not exist, with ids ground to lie next to
//! ours. So it comes last, in an order that nobody can choose, and who does not answer makes room for the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::config::{FAILURES_TO_GIVE_UP, HEARSAY_SHARE, MAX_KNOWN_PEERS};

/// A wanted peer.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// At most [`crate::MAX_ADDRESSES_PER_PEER`].
    pub(crate) addresses: Vec<Multiaddr>,
    /// Those of `addresses` where somebody else answered; tried again when no other is left.
    pub(crate) wrong: Vec<Multiaddr>,
    /// In a row.
    pub(crate) failures: u32,
    pub(crate) due: Instant,
    /// We are told so now.
    pub(crate) told_as_hearsay: bool,
    /// It was connected once since it is wanted.
    pub(crate) met: bool,
    /// Its last connection was stable.
    pub(crate) lasted: bool,
    pub(crate) turn: Turn,
}

/// A place in the queue: when it was taken, and a random number among those that took one at the same time.
pub(crate) type Turn = (u64, u64);

/// Who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// Connected, or corroborated and not given up.
    Sound,
    /// Corroborated, but failed [`FAILURES_TO_GIVE_UP`] times in a row.
    Failing,
    Hearsay,
    FailingHearsay,
    /// Nothing to dial, so it would hold its place for ever.
    Unreachable,
}

impl Candidate {
    /// Nothing but the word of others says that it exists.
    pub(crate) fn is_hearsay(&self) -> bool {
        self.told_as_hearsay && !self.met
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.failures >= FAILURES_TO_GIVE_UP
    }

    fn tier(&self, connected: bool) -> Tier {
        match (self.is_hearsay(), self.is_given_up()) {
            _ if connected => Tier::Sound,
            _ if self.addresses.is_empty() => Tier::Unreachable,
            (false, false) => Tier::Sound,
            (false, true) => Tier::Failing,
            (true, false) => Tier::Hearsay,
            (true, true) => Tier::FailingHearsay,
        }
    }
}

/// The peers worth knowing, at most [`MAX_KNOWN_PEERS`], and those of them with a place, at most `places`.
pub(crate) fn choose(
    local: PeerId,
    candidates: &BTreeMap<PeerId, Candidate>,
    is_connected: impl Fn(&PeerId) -> bool,
    places: usize,
) -> (BTreeSet<PeerId>, BTreeSet<PeerId>) {
    let mut order: Vec<_> = candidates
        .iter()
        .map(|(peer, candidate)| (candidate.tier(is_connected(peer)), candidate.turn, *peer))
        .collect();
    // All nodes see sound peers in the same circle, each from its own position.
    let circle = |peer: &PeerId| (*peer < local, *peer);
    order.sort_unstable_by(|(tier1, turn1, peer1), (tier2, turn2, peer2)| {
        tier1.cmp(tier2).then_with(|| match tier1 {
            Tier::Sound => circle(peer1).cmp(&circle(peer2)),
            _ => turn1.cmp(turn2),
        })
    });
    order.truncate(MAX_KNOWN_PEERS);

    let count =
        |from: Tier, to: Tier| order.iter().filter(|(tier, ..)| (from..=to).contains(tier)).count();
    let failing = count(Tier::Failing, Tier::Failing);
    let hearsay = count(Tier::Hearsay, Tier::FailingHearsay);
    let free = places.saturating_sub(count(Tier::Sound, Tier::Sound));
    let mut failing_left = failing.min(free - hearsay.min(free / HEARSAY_SHARE));
    let chosen = order
        .iter()
        .filter(|(tier, ..)| {
            let takes = *tier != Tier::Failing || failing_left > 0;
            failing_left -= usize::from(takes && *tier == Tier::Failing);
            takes
        })
        .take(places)
        .map(|(.., peer)| *peer)
        .collect();
    (order.iter().map(|(.., peer)| *peer).collect(), chosen)
}
