//! Whether a node is alone, and when it says so.

use std::time::Duration;

use crate::limits::{ALONE_AFTER, QUIET};

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Every source was tried, and nobody is there.
    Alone,
    /// It said so before, and somebody is there now.
    NoLonger,
}

/// Decides when to say that a node is alone, and that it is not any more: the first once nobody has been there for
/// [`ALONE_AFTER`], the second at once, and never more than one such pair in [`QUIET`]. Times are since any fixed moment.
#[derive(Debug, Default)]
pub struct Alone {
    /// Since when nobody is there and every source has been tried.
    since: Option<Duration>,
    said: bool,
    said_at: Option<Duration>,
}

impl Alone {
    /// Nothing was said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `tried`: every source has been tried; `company`: somebody is connected. What is to be said now, once.
    pub fn update(&mut self, now: Duration, tried: bool, company: bool) -> Option<Company> {
        if company {
            self.since = None;
            return std::mem::take(&mut self.said).then_some(Company::NoLonger);
        }
        if !tried || self.said {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now < self.due(since) {
            return None;
        }
        (self.said, self.said_at) = (true, Some(now));
        Some(Company::Alone)
    }

    /// Whether it said that it is alone.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.said
    }

    /// When [`update`](Self::update) has something to say if nothing changes before.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.since.filter(|_| !self.said).map(|since| self.due(since))
    }

    fn due(&self, since: Duration) -> Duration {
        let quiet = self.said_at.map_or(Duration::ZERO, |at| at + QUIET);
        (since + ALONE_AFTER).max(quiet)
    }
}
