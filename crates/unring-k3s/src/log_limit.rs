//! One line a minute for each client, and one for its refusals.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::limits;

/// How often a client is spoken of.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(60);

/// Who was spoken of when. Time is measured from any fixed point.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    lines: HashMap<(IpAddr, Kind), Spoken>,
    swept: Duration,
}

/// What a line says. Those of one kind do not hide the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The client got what it asked for, or nothing is wrong with it.
    Ordinary,
    /// It was refused, or the node cannot answer.
    Refusal,
}

#[derive(Debug)]
struct Spoken {
    at: Duration,
    withheld: u64,
}

impl LogLimit {
    /// Whether to speak of this client now, and how many lines of this kind were withheld since the last time. While more
    /// than [`limits::MAX_LOGGED_CLIENTS`] kinds of lines come within a minute, those beyond are not written.
    pub(crate) fn line(&mut self, client: IpAddr, kind: Kind, now: Duration) -> Option<u64> {
        if let Some(spoken) = self.lines.get_mut(&(client, kind)) {
            if now.saturating_sub(spoken.at) < LOG_EVERY {
                spoken.withheld = spoken.withheld.saturating_add(1);
                return None;
            }
            spoken.at = now;
            return Some(std::mem::take(&mut spoken.withheld));
        }
        if self.lines.len() >= limits::MAX_LOGGED_CLIENTS {
            // At most once a second: a flood from many addresses must not pay for a sweep with each.
            if now.saturating_sub(self.swept) < Duration::from_secs(1) {
                return None;
            }
            self.swept = now;
            self.lines.retain(|_, spoken| now.saturating_sub(spoken.at) < LOG_EVERY);
            if self.lines.len() >= limits::MAX_LOGGED_CLIENTS {
                return None;
            }
        }
        self.lines.insert((client, kind), Spoken { at: now, withheld: 0 });
        Some(0)
    }
}
