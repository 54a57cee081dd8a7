//! One line a minute for each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::limits;

/// How often a client is spoken of.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(60);

/// Who was spoken of when. Time is measured from any fixed point.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    clients: HashMap<IpAddr, Spoken>,
    swept: Duration,
}

#[derive(Debug)]
struct Spoken {
    at: Duration,
    withheld: u64,
}

impl LogLimit {
    /// Whether to speak of this client now, and how many lines were withheld since the last time. While more clients than
    /// [`limits::MAX_LOGGED_CLIENTS`] come within a minute, those beyond are not spoken of.
    pub(crate) fn line(&mut self, client: IpAddr, now: Duration) -> Option<u64> {
        if let Some(spoken) = self.clients.get_mut(&client) {
            if now.saturating_sub(spoken.at) < LOG_EVERY {
                spoken.withheld = spoken.withheld.saturating_add(1);
                return None;
            }
            spoken.at = now;
            return Some(std::mem::take(&mut spoken.withheld));
        }
        if self.clients.len() >= limits::MAX_LOGGED_CLIENTS {
            // At most once a second: a flood from many addresses must not pay for a sweep with each.
            if now.saturating_sub(self.swept) < Duration::from_secs(1) {
                return None;
            }
            self.swept = now;
            self.clients.retain(|_, spoken| now.saturating_sub(spoken.at) < LOG_EVERY);
            if self.clients.len() >= limits::MAX_LOGGED_CLIENTS {
                return None;
            }
        }
        self.clients.insert(client, Spoken { at: now, withheld: 0 });
        Some(0)
    }
}
