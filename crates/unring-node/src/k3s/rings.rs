//! Rings through K3s's servers: suspected by when requests come, said once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use unring_k3s::ServerUrl;
use unring_k3s::suspect::{Ended, LegacyRings, RingNews, Suspicion};

use crate::exchange::Clock;
use crate::log::RING;

/// How soon a ring may be warned of again, as for other rings (law L4).
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// Rings of which it is remembered what was said: those that were spoken of longest ago give way.
const MAX_SPOKEN_RINGS: usize = 256;

/// What is suspected, and what was said of it.
#[derive(Debug)]
pub(crate) struct Rings {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    suspected: LegacyRings,
    spoken: Spoken,
}

impl Rings {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now().mono
    }

    /// A request of ours is about to be sent.
    pub(crate) fn started(&self, server: &ServerUrl) {
        // A configuration names no more servers than are watched.
        let _ = self.state.lock().suspected.fetch_started(server, self.now());
    }

    pub(crate) fn ended(&self, server: &ServerUrl, how: Ended) {
        self.tell(|rings, now| rings.fetch_ended(server, how, now));
    }

    /// A client that is let in asked for addresses.
    pub(crate) fn arrived(&self, client: IpAddr) {
        self.tell(|rings, now| rings.request_arrived(client, now));
    }

    /// A server is not asked any more.
    pub(crate) fn forget(&self, server: &ServerUrl) {
        self.tell(|rings, _| rings.forget(server));
    }

    pub(crate) fn suspicions(&self) -> Vec<Suspicion> {
        self.state.lock().suspected.suspicions().collect()
    }

    fn tell(&self, event: impl FnOnce(&mut LegacyRings, Duration) -> Vec<RingNews>) {
        let mut state = self.state.lock();
        // Under the lock, so that its clock never goes back.
        let now = self.now();
        let mut news = event(&mut state.suspected, now);
        // What is suspected still, and was not said because it was said so shortly before.
        let standing: Vec<_> = state.suspected.suspicions().map(RingNews::Suspected).collect();
        news.retain(|news| matches!(news, RingNews::Withdrawn(_)));
        let news = news.into_iter().chain(standing);
        let said: Vec<_> = news.filter(|news| state.spoken.is_due(news, now)).collect();
        drop(state);
        said.iter().for_each(say);
    }
}

/// What was said of which ring: between which server and which client.
#[derive(Debug, Default)]
struct Spoken(BTreeMap<(ServerUrl, IpAddr), Word>);

#[derive(Debug)]
struct Word {
    at: Duration,
    /// It was warned of, and not said to be gone.
    open: bool,
}

impl Spoken {
    /// Whether this is said now: a ring once in [`AGAIN`], and that it is gone if it was said.
    fn is_due(&mut self, news: &RingNews, now: Duration) -> bool {
        let (RingNews::Suspected(ring) | RingNews::Withdrawn(ring)) = news;
        let key = (ring.server.clone(), ring.client);
        let known = self.0.get_mut(&key);
        match (news, known) {
            (RingNews::Withdrawn(_), Some(word)) => std::mem::take(&mut word.open),
            (RingNews::Withdrawn(_), None) => false,
            (RingNews::Suspected(_), Some(word)) => {
                let due = !word.open && now.saturating_sub(word.at) >= AGAIN;
                if due {
                    *word = Word { at: now, open: true };
                }
                due
            }
            (RingNews::Suspected(_), None) => {
                if self.0.len() >= MAX_SPOKEN_RINGS {
                    let oldest = self.0.iter().min_by_key(|(_, word)| word.at);
                    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                        self.0.remove(&key);
                    }
                }
                self.0.insert(key, Word { at: now, open: true });
                true
            }
        }
    }
}

fn say(news: &RingNews) {
    match news {
        RingNews::Suspected(ring) => tracing::warn!(
            target: RING,
            event = "legacy_ring_suspected",
            server = %ring.server,
            client = %ring.client,
            direct = ring.direct,
            hits = ring.hits,
            others = ring.others,
            bits = ring.bits.round(),
            "{ring}. It is told by when requests come, so it may be wrong; the K3s servers between the two do not say who \
             they are. Look for the server: of each, and remove the one that leads back here. K3s before v1.30.12, \
             v1.31.8, v1.32.4 and v1.33.0 storms in such a ring if this node is not in it"
        ),
        RingNews::Withdrawn(ring) => tracing::info!(
            target: RING,
            event = "legacy_ring_gone",
            server = %ring.server,
            client = %ring.client,
            "the ring of joins through {} is not suspected any more: requests to it do not come back from {}",
            ring.server,
            ring.client
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(client: u8) -> Suspicion {
        Suspicion {
            server: "https://server2:6443".parse().unwrap(),
            client: [10, 0, 0, client].into(),
            direct: false,
            hits: 3,
            others: 0,
            bits: 21.0,
        }
    }

    #[test]
    fn a_ring_that_flaps_is_warned_of_every_ten_minutes_and_gone_once() {
        let mut spoken = Spoken::default();
        let mut due = |news: fn(Suspicion) -> RingNews, minute: u64| {
            spoken.is_due(&news(ring(3)), Duration::from_secs(60 * minute))
        };
        assert!(!due(RingNews::Withdrawn, 0), "nothing was said of it");
        assert!(due(RingNews::Suspected, 1));
        assert!(due(RingNews::Withdrawn, 2));
        for minute in 3..11 {
            assert!(!due(RingNews::Suspected, minute) && !due(RingNews::Withdrawn, minute));
        }
        assert!(due(RingNews::Suspected, 11));
        assert!(due(RingNews::Withdrawn, 12));
    }

    #[test]
    fn what_was_said_is_bounded() {
        let mut spoken = Spoken::default();
        for second in 0..MAX_SPOKEN_RINGS as u64 + 10 {
            let server = format!("https://s{second}:6443").parse().unwrap();
            let news = RingNews::Suspected(Suspicion { server, ..ring(3) });
            assert!(spoken.is_due(&news, Duration::from_secs(second)));
        }
        assert_eq!(spoken.0.len(), MAX_SPOKEN_RINGS);
        assert!(!spoken.0.contains_key(&("https://s0:6443".parse().unwrap(), ring(3).client)));
    }
}
