//! Open files: a node with many connections needs more than the usual soft limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;
use crate::log::NODE;

/// Files beside connections: database, listeners, timers, standard streams.
const OTHER_FILES: u64 = 64;

/// Raises the soft limit on open files to what the configured connections need, as far as the hard limit allows, and
/// warns where that is not enough: connections beyond it would be refused without a word.
pub(crate) fn make_room(limits: &Limits) {
    let connections = u64::from(limits.max_connections) + limits.max_grpc_connections as u64;
    let needed = connections + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is unlimited.
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let allowed = if raised { wanted } else { current.unwrap_or(needed) };
    if allowed < needed {
        tracing::warn!(
            target: NODE,
            allowed,
            needed,
            "fewer files may be open than the configured connections need: raise the limit (LimitNOFILE= of systemd, ulimit -n), or lower limits.max_grpc_connections and limits.max_connections"
        );
    }
}
