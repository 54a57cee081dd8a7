//! When requests to one server were in flight.

use std::collections::VecDeque;
use std::time::Duration;

use super::{LATE_FOR, LEAST_SHARE, WINDOWS, When};

/// The last requests to a server; several at once are one.
#[derive(Debug)]
pub(super) struct History {
    /// Since when the share is measured.
    since: Duration,
    /// Those that ended, from when to when.
    windows: VecDeque<(Duration, Duration)>,
    in_flight: u32,
    opened: Duration,
    latest: Duration,
    /// Until when what comes may be due to a request that we gave up.
    late_until: Duration,
    gave_up: bool,
}

impl History {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            since: now,
            windows: VecDeque::new(),
            in_flight: 0,
            opened: now,
            latest: now,
            late_until: Duration::ZERO,
            gave_up: false,
        }
    }

    fn at(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(super) fn start(&mut self, now: Duration) {
        let now = self.at(now);
        if self.in_flight == 0 {
            self.opened = now;
            self.gave_up = false;
        }
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// Whether it was the last one in flight.
    pub(super) fn end(&mut self, now: Duration, gave_up: bool) -> bool {
        let now = self.at(now);
        if self.in_flight == 0 {
            return false;
        }
        self.in_flight -= 1;
        self.gave_up |= gave_up;
        if self.in_flight > 0 {
            return false;
        }
        if self.gave_up {
            self.late_until = now.saturating_add(LATE_FOR);
        }
        self.windows.push_back((self.opened, now));
        if self.windows.len() > WINDOWS {
            // What lies before the oldest one kept is forgotten with the one that ended there.
            self.since = self.windows.pop_front().map_or(self.since, |(_, end)| end);
        }
        true
    }

    pub(super) fn when(&mut self, now: Duration) -> When {
        let now = self.at(now);
        if self.in_flight > 0 {
            return When::During { share: self.share(now) };
        }
        match now < self.late_until {
            true => When::Late,
            false => When::Outside { share: self.share(now) },
        }
    }

    fn share(&self, now: Duration) -> f64 {
        let open =
            if self.in_flight > 0 { now.saturating_sub(self.opened) } else { Duration::ZERO };
        let closed: Duration = self.windows.iter().map(|(from, to)| to.saturating_sub(*from)).sum();
        let all = now.saturating_sub(self.since);
        if all.is_zero() {
            return 1.0;
        }
        (closed + open).div_duration_f64(all).clamp(LEAST_SHARE, 1.0 - LEAST_SHARE)
    }
}
