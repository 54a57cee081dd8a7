//! How long news may wait on their way, to go together with others.

use std::time::Duration;

use unring_peer::{NodeRecord, UnixMillis};

use crate::config::{HEARTBEAT_INTERVAL, RENEWAL_HOP_SHARE, RENEWAL_TRAVEL};

/// The least part of its ttl after which a node signs a record anew for its age alone, which it does at a third. Whatever
/// is signed sooner has another cause, even if it says the same: a restart, or somebody else with its key.
const SOONEST_RENEWAL: u32 = 4;

/// How long a new version of a record may wait here, at one hop, before it is passed on. Zero if it is not a renewal of
/// `before`: if it says something else, was signed soon after, or if the node was not known.
///
/// A renewal has [`RENEWAL_TRAVEL`] of its ttl, from when it was signed, to get everywhere, and waits at each hop for at
/// most [`RENEWAL_HOP_SHARE`] of what is left of that. So all its waits together stay below that time however long the
/// way is, and it is passed on at once when it is over. A clock that is behind that of the signer adds by how much it is.
/// One that was signed late does not wait: others may forget `before` soon, so it needs as much time as this left.
pub(crate) fn may_wait(
    before: Option<&NodeRecord>,
    record: &NodeRecord,
    now: UnixMillis,
) -> Duration {
    let is_renewed = |before: &NodeRecord| {
        let soonest = before.issued_at.saturating_add(record.ttl / SOONEST_RENEWAL);
        let left = before.expires_at().saturating_since(now);
        record.issued_at >= soonest
            && left >= record.ttl / RENEWAL_TRAVEL
            && before.same_content(record)
    };
    if !before.is_some_and(is_renewed) {
        return Duration::ZERO;
    }
    let age = now.saturating_since(record.issued_at);
    let left = (record.ttl / RENEWAL_TRAVEL).saturating_sub(age);
    (left / RENEWAL_HOP_SHARE).min(HEARTBEAT_INTERVAL)
}
