//! Who was connected, and until when: whoever was there when a node stopped is dialled first when it starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use unring_peer::{PeerId, UnixMillis};

/// Peers whose last connection is remembered: more than a node chooses to be connected to, at 50 bytes each. Above it who
/// left first is forgotten.
pub(crate) const MAX_MET: usize = 256;

/// Who was lost so long before the last change was still there when the node stopped: a cluster is stopped one node after
/// the other.
const SAME_TIME: Duration = Duration::from_secs(60);

/// When there was last a connection to whom.
#[derive(Debug, Default)]
pub(super) struct Met {
    last: BTreeMap<PeerId, UnixMillis>,
    connected: BTreeSet<PeerId>,
}

impl Met {
    pub(super) fn new(last: BTreeMap<PeerId, UnixMillis>) -> Self {
        let mut met = Self { last, connected: BTreeSet::new() };
        met.forget();
        met
    }

    /// Connected are now these and no others; whether that is news.
    pub(super) fn connected(&mut self, peers: BTreeSet<PeerId>, now: UnixMillis) -> bool {
        if peers == self.connected {
            return false;
        }
        // A clock that was set back: who left before that did not leave in the future.
        for at in self.last.values_mut() {
            *at = now.min(*at);
        }
        for peer in peers.union(&self.connected) {
            self.last.insert(*peer, now);
        }
        self.connected = peers;
        self.forget();
        true
    }

    fn forget(&mut self) {
        if self.last.len() > MAX_MET {
            let mut latest: Vec<_> = self.all();
            latest.sort_unstable_by_key(|(_, at)| std::cmp::Reverse(*at));
            latest.truncate(MAX_MET);
            self.last = latest.into_iter().collect();
        }
    }

    pub(super) fn all(&self) -> Vec<(PeerId, UnixMillis)> {
        self.last.iter().map(|(peer, at)| (*peer, *at)).collect()
    }

    /// Who was there at the end.
    pub(super) fn latest(&self) -> BTreeSet<PeerId> {
        let Some(end) = self.last.values().max() else { return BTreeSet::new() };
        let recent = self.last.iter().filter(|(_, at)| at.saturating_add(SAME_TIME) >= *end);
        recent.map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use unring_peer::Identity;

    use super::*;

    const START: UnixMillis = UnixMillis::new(1_790_000_000_000);

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| Identity::generate().peer_id()).collect()
    }

    fn after(seconds: u64) -> UnixMillis {
        START.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn who_was_there_at_the_end_is_remembered_also_when_all_leave_one_by_one() {
        let peers = peers(4);
        let set = |these: &[usize]| these.iter().map(|at| peers[*at]).collect::<BTreeSet<_>>();
        let mut met = Met::default();
        assert!(met.connected(set(&[0, 1, 2, 3]), after(0)));
        assert!(!met.connected(set(&[0, 1, 2, 3]), after(1)), "no news");
        assert!(met.connected(set(&[1, 2, 3]), after(100)));
        for (gone, left) in [(200, &[1, 2][..]), (201, &[1]), (202, &[])] {
            assert!(met.connected(set(left), after(gone)));
        }
        let restarted = Met::new(met.all().into_iter().collect());
        assert_eq!(restarted.latest(), set(&[1, 2, 3]));
    }

    #[test]
    fn who_left_while_the_clock_was_ahead_is_not_the_only_one_that_was_there() {
        let peers = peers(3);
        let mut met = Met::default();
        met.connected([peers[0]].into(), after(100_000));
        met.connected([peers[1], peers[2]].into(), after(100_001));
        met.connected([peers[1], peers[2], peers[0]].into(), after(5));
        met.connected([peers[1], peers[2]].into(), after(6));
        met.connected([peers[1]].into(), after(500));
        assert_eq!(met.latest(), [peers[1], peers[2]].into());
    }

    #[test]
    fn who_left_first_is_forgotten_at_the_bound() {
        let peers = peers(MAX_MET + 10);
        let mut met = Met::default();
        for (at, peer) in peers.iter().enumerate() {
            met.connected([*peer].into(), after(at as u64));
        }
        assert_eq!(met.all().len(), MAX_MET);
        assert!(!met.last.contains_key(&peers[0]) && met.last.contains_key(&peers[MAX_MET + 9]));
    }
}
