//! Who belongs to the cluster, and what happens when that changes.

use unring_peer::{Membership, NotAMember};

use crate::action::StreamEnd;
use crate::backoff::out_of_step;
use crate::config::MEMBERS_SPREAD;
use crate::engine::Engine;
use crate::now::Now;
use crate::stream::{Side, Stream};
use crate::upstream::Link;
use crate::verifier::Verifier;

impl<V: Verifier> Engine<V> {
    /// Who belongs to the cluster from now on. Records and streams of those who do not any more go; our own record is
    /// signed anew, so that it has the tags of the tokens in use.
    ///
    /// Streams to upstreams are opened anew, within [`MEMBERS_SPREAD`] and without resuming: only then is it checked
    /// again who is there, and are records told again that had been refused, here or there.
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
        let streams = self.streams.iter().filter(|(_, stream)| self.has_left(stream));
        for stream in streams.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_stream(now, stream, StreamEnd::NotAMember);
        }
        self.ask_upstreams_anew(now);
        self.sign_own(now);
    }

    fn ask_upstreams_anew(&mut self, now: Now) {
        let ids: Vec<_> = self.upstreams.keys().copied().collect();
        for id in ids {
            let to_it = |stream: &Stream| stream.side == Side::Watching(id);
            let open = self.streams.iter().find(|(_, stream)| to_it(stream)).map(|(id, _)| *id);
            if let Some(open) = open {
                self.end_stream(now, open, StreamEnd::Unwanted);
            }
            let until = now.mono + out_of_step(MEMBERS_SPREAD, &mut self.rng);
            let Some(upstream) = self.upstreams.get_mut(&id) else { continue };
            // A stream that is being opened has its handshake before it, or has shown what counts now.
            if !matches!(upstream.link, Link::Opening(_)) {
                upstream.begin_anew(until);
            }
        }
    }

    /// Whether the other end of a stream does not belong to the cluster any more. What it showed when it called is not
    /// kept; so where there is a token, a caller whose record is not here has to call again.
    fn has_left(&self, stream: &Stream) -> bool {
        let watches_us = stream.side == Side::Serving;
        match stream.peer {
            Some(peer) if self.membership.check_peer(&peer).is_err() => true,
            _ if self.membership.keyring().is_none() || !watches_us => false,
            Some(peer) => self.book.get(&peer).is_none(),
            None => true,
        }
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
