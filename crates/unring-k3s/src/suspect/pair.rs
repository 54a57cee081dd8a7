//! One client beside one server.

use std::net::IpAddr;

use super::{MISSES_TO_WITHDRAW, SUSPECT_AT, Suspicion, When};
use crate::url::ServerUrl;

/// The highest score: as much again as half of what is needed, so that old evidence does not outweigh much that is new.
const MOST: f64 = 1.5 * SUSPECT_AT;

/// The score of a client, and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Pair {
    score: f64,
    hits: u64,
    others: u64,
    /// Whether it came during the request of ours that is in flight.
    hit_now: bool,
    misses: u32,
    pub(super) suspected: bool,
}

impl Pair {
    pub(super) fn score(&self) -> f64 {
        self.score
    }

    pub(super) fn arrived(&mut self, when: When) {
        match when {
            // One hit for each request of ours: those after the first may come of it.
            When::During { share } if !self.hit_now => {
                self.hit_now = true;
                self.hits = self.hits.saturating_add(1);
                self.add((0.5 / share).log2());
            }
            When::During { .. } | When::Late => {}
            When::Outside { share } => {
                self.others = self.others.saturating_add(1);
                self.add((0.5 / (1.0 - share)).log2().min(0.0));
            }
        }
    }

    fn add(&mut self, bits: f64) {
        self.score = (self.score + bits).clamp(0.0, MOST);
        self.suspected = match self.suspected {
            true => self.score > 0.0,
            false => self.score >= SUSPECT_AT,
        };
    }

    /// Our request is over. Whether what was suspected is not any more.
    pub(super) fn window_over(&mut self, got_there: bool) -> bool {
        match (std::mem::take(&mut self.hit_now), got_there) {
            (true, _) => self.misses = 0,
            (false, true) => self.misses = self.misses.saturating_add(1),
            (false, false) => {}
        }
        let over = self.misses >= MISSES_TO_WITHDRAW;
        if over && !self.suspected {
            self.clear();
        }
        over && self.suspected
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_idle(&self) -> bool {
        self.score <= 0.0 && !self.suspected && !self.hit_now
    }

    pub(super) fn suspicion(
        &self,
        server: &ServerUrl,
        client: IpAddr,
        remote: Option<IpAddr>,
    ) -> Suspicion {
        Suspicion {
            server: server.clone(),
            client,
            direct: remote == Some(client),
            hits: self.hits,
            others: self.others,
            bits: self.score,
        }
    }
}
