//! Who belongs to the cluster, and what happens when that changes.

use unring_peer::{Membership, NotAMember, PeerId};

use crate::action::StreamEnd;
use crate::engine::Engine;
use crate::now::Now;
use crate::verifier::Verifier;

impl<V: Verifier> Engine<V> {
    /// Who belongs to the cluster from now on. Records and streams of those who do not any more go; our own record is
    /// signed anew, so that it has the tags of the tokens in use.
    pub fn set_membership(&mut self, now: Now, membership: Membership) {
        self.membership = membership;
        let checked = |record: &_| self.membership.check_record(record).err();
        let gone: Vec<_> = self
            .book
            .iter()
            .filter_map(|record| Some((record.record().peer_id, checked(record)?)))
            .collect();
        for (peer, why) in gone {
            self.book.evict(&peer);
            self.book_changed = true;
            self.count_not_a_member(why);
            self.detector.forget(now.mono, &peer);
        }
        let kept_out = |peer: &Option<PeerId>| {
            peer.is_some_and(|peer| self.membership.check_peer(&peer).is_err())
        };
        let streams = self.streams.iter().filter(|(_, stream)| kept_out(&stream.peer));
        for stream in streams.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_stream(now, stream, StreamEnd::NotAMember);
        }
        self.sign_own(now);
    }

    /// Who belongs to the cluster.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) fn count_not_a_member(&mut self, why: NotAMember) {
        let count = match why {
            NotAMember::Denied { .. } | NotAMember::NotAllowed { .. } => {
                &mut self.counters.records_denied
            }
            NotAMember::NothingShown => &mut self.counters.records_without_tag,
            NotAMember::OtherToken => &mut self.counters.records_wrong_tag,
        };
        *count += 1;
    }
}
