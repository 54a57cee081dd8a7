//! The `[bootstrap]` group: where the first peer comes from.

use toml::Value;
use unring_bootstrap::Candidate;

use super::settings::Settings;
use super::{Bootstrap, ConfigError};

/// Addresses in `bootstrap.peers`: as many as are dialled of one source.
const MAX_PEERS: usize = unring_bootstrap::limits::MAX_FOUND;

pub(super) fn read(s: &Settings) -> Result<Bootstrap, ConfigError> {
    Ok(Bootstrap {
        peers: s.parse_list("bootstrap.peers", MAX_PEERS, candidate)?.unwrap_or_default(),
    })
}

fn candidate(value: &Value) -> Option<Candidate> {
    value.as_str()?.parse().ok()
}
