//! Records that others bring: judged before their signature is paid for, then kept, and told to the detector.

use std::collections::BTreeSet;
use std::time::Duration;

use unring_cycle_detector::{Detector, Join as DetectedJoin};
use unring_peer::{Join, PeerId, SignedRecord, UnverifiedRecord};

use crate::book::{Introducer, Judgement, KeptOut};
use crate::engine::Engine;
use crate::now::Now;
use crate::verifier::Verifier;

/// How often at most the detector is searched for nodes that can make room.
const DETECTOR_SWEEP_INTERVAL: Duration = Duration::from_secs(60);

impl<V: Verifier> Engine<V> {
    /// Takes in what `introducer` brought. Each record stands for itself: a broken one does not cost the others.
    pub(crate) fn accept_all(
        &mut self,
        now: Now,
        records: Vec<UnverifiedRecord>,
        introducer: Introducer,
    ) {
        for record in records {
            self.accept(now, record, introducer);
        }
    }

    pub(crate) fn accept(&mut self, now: Now, record: UnverifiedRecord, introducer: Introducer) {
        let (peer, seq) = (record.peer_id(), record.seq());
        if peer == self.me() {
            return self.accept_own(now, record, introducer);
        }
        match self.book.judge(now.unix, &record) {
            Ok(Judgement::Wanted) => {}
            Ok(Judgement::Known) => {
                self.counters.records_known += 1;
                let kept = self.book.get(&peer).map(SignedRecord::envelope);
                let same = kept.is_some_and(|kept| kept == record.envelope());
                if same {
                    self.mend_tag(now, &record, introducer);
                }
                if let Some(stream) = introducer.stream.and_then(|id| self.streams.get_mut(&id)) {
                    if !same && introducer.peer == Some(peer) {
                        // Two processes sign with its key and have come to the same `seq`: only who signs can go past it.
                        stream.owe_its_own(now.mono);
                    } else {
                        stream.note_has(peer, seq);
                    }
                }
                return;
            }
            Ok(Judgement::Older) => {
                self.counters.records_known += 1;
                return;
            }
            Err(why) => return self.count_kept_out(why),
        }
        if let Err(why) = self.membership.check_unverified(&record) {
            return self.count_not_a_member(why);
        }
        if let Err(why) = self.book.room_for(&peer, introducer, self.share_of(introducer)) {
            return self.count_kept_out(why);
        }
        let Ok(record) = self.verifier.verify_record(record) else {
            self.counters.records_invalid += 1;
            return;
        };
        self.counters.records_kept += 1;
        self.keep(now, record, introducer);
    }

    /// Takes over the tag of a record that is known when it was made with more of the tokens that count than the one that is
    /// here: whoever relayed it can have damaged the part that nodes with another token need. At most as often as there
    /// are parts; tags that are alike cost nothing.
    fn mend_tag(&mut self, now: Now, record: &UnverifiedRecord, introducer: Introducer) {
        let Some(keyring) = self.membership.keyring() else { return };
        let Some(kept) = self.book.get(&record.peer_id()) else { return };
        let (new, old) = (record.membership_tag(), kept.membership_tag());
        let fitting = |tag| keyring.fitting(record.envelope(), tag);
        if new == old || self.membership.check_unverified(record).is_err() {
            return;
        }
        if fitting(new) > fitting(old) {
            let mended = kept.clone().with_membership_tag(new.clone());
            self.keep(now, mended, introducer);
        }
    }

    /// Puts a record into the book that is wanted there, and tells everybody who is concerned.
    pub(crate) fn keep(&mut self, now: Now, record: SignedRecord, introducer: Introducer) {
        let peer = record.record().peer_id;
        let may_wait = self.book.insert(now, record.clone(), introducer);
        self.book_changed = true;
        // A renewal says the joins that are known.
        if may_wait.is_zero() || !self.is_detected(&peer) {
            self.set_detector_joins(now, peer, &record.record().name, &record.record().joins);
        }
        for (id, stream) in &mut self.streams {
            if Some(*id) != introducer.stream {
                stream.schedule(now.mono, may_wait);
            }
        }
    }

    fn accept_own(&mut self, now: Now, record: UnverifiedRecord, introducer: Introducer) {
        if self.is_own_record(record.envelope()) {
            self.counters.records_known += 1;
            if let Some(stream) = introducer.stream.and_then(|id| self.streams.get_mut(&id)) {
                stream.note_has_own(record.seq());
            }
            return;
        }
        if !self.is_news_of_us(now, record.seq()) {
            self.counters.records_known += 1;
            return;
        }
        match self.verifier.verify_record(record) {
            Ok(record) => self.on_foreign_own_record(now, &record),
            Err(_) => self.counters.records_invalid += 1,
        }
    }

    /// How many nodes an introducer may bring. An upstream is our own choice and may bring them all; a caller chose
    /// itself and gets a quarter, all anonymous ones together another.
    fn share_of(&self, introducer: Introducer) -> usize {
        let capacity = self.config.book_capacity.get();
        let is_upstream = introducer
            .peer
            .is_some_and(|peer| self.upstreams.values().any(|upstream| upstream.leads_to(&peer)));
        if is_upstream { capacity } else { capacity.div_ceil(4) }
    }

    pub(crate) fn count_kept_out(&mut self, why: KeptOut) {
        match why {
            KeptOut::Expired => self.counters.records_expired += 1,
            KeptOut::ClockSkew => self.counters.clock_skew += 1,
            KeptOut::BookFull | KeptOut::IntroducerFull => self.counters.records_full += 1,
        }
    }

    /// Tells the detector of a node's joins. When it is full of nodes whose records expired, which it keeps for a day,
    /// they make room, but for those on a ring with us.
    pub(crate) fn set_detector_joins(
        &mut self,
        now: Now,
        peer: PeerId,
        name: &str,
        joins: &[Join],
    ) {
        if !self.config.find_rings {
            return;
        }
        let set = |detector: &mut Detector<PeerId>| {
            detector.set_joins(now.mono, peer, name.to_owned(), detected(joins))
        };
        let mut outcome = set(&mut self.detector);
        if outcome.is_err() && self.make_detector_room(now) {
            outcome = set(&mut self.detector);
        }
        if outcome.is_err() {
            self.counters.records_full += 1;
        }
    }

    fn is_detected(&self, peer: &PeerId) -> bool {
        self.detector.graph().get(peer).is_some_and(|known| !known.unverified)
    }

    /// Looks at every node, so that it is done at most once a minute.
    fn make_detector_room(&mut self, now: Now) -> bool {
        if self.detector_swept.is_some_and(|at| now.mono < at + DETECTOR_SWEEP_INTERVAL) {
            return false;
        }
        self.detector_swept = Some(now.mono);
        let me = self.me();
        let topology = self.detector.topology();
        let ours = topology.rings.iter().filter(|ring| ring.members.binary_search(&me).is_ok());
        let ours: BTreeSet<_> = ours.flat_map(|ring| ring.members.iter().copied()).collect();
        let stale = topology.nodes.iter().filter(|node| node.unverified);
        for node in stale.filter(|node| !ours.contains(&node.id)) {
            self.detector.forget(now.mono, &node.id);
        }
        true
    }

    /// Takes out what is expired. The joins of a dead node stay known, as unverified: its ring may still be there.
    pub(crate) fn expire(&mut self, now: Now) {
        for peer in self.book.expire(now.unix) {
            self.counters.records_expired += 1;
            self.book_changed = true;
            self.detector.mark_unverified(now.mono, &peer);
        }
    }
}

fn detected(joins: &[Join]) -> Vec<DetectedJoin<PeerId>> {
    let joins = joins.iter().map(|join| DetectedJoin {
        address: join.address.clone(),
        targets: join.targets.clone(),
        since_unix_ms: join.since.get(),
    });
    joins.collect()
}
