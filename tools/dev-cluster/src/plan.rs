//! What a run does, and when.

use std::time::Duration;

use crate::baseline;
use crate::cluster::Setup;
use crate::mixed;
use crate::partition::Partition;

/// How often the nodes are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How soon a stop is noticed.
pub(crate) const STOP_POLL: Duration = Duration::from_millis(50);

/// The most triggers at the beginning, and again at the end. Each is waited for and kept for the report: a second of work
/// of a small cluster.
pub const MAX_TRIGGERS: usize = 1000;

/// The last triggers are sent so long before the end, or a quarter of a short run.
const LAST_TRIGGERS: Duration = Duration::from_secs(2);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to start.
    pub setup: Setup,
    /// The seed of the topology, for the report.
    pub seed: u64,
    /// How long to watch, from the moment when all are ready; without it until a stop.
    pub watch_for: Option<Duration>,
    /// How many triggers to send at the beginning, and again at the end.
    pub triggers: usize,
    /// How long a key may take to be found.
    pub found_within: Duration,
    /// When the nodes are cut into two halves, and for how long; it needs [`Setup::netns`].
    pub partition: Option<Partition>,
    /// Nodes without loop protection to compare with, after these and for as long.
    pub baseline: Option<baseline::Setup>,
    /// Which of them are servers of K3s, if any are.
    pub mixed: Option<mixed::Setup>,
}

/// When the triggers of the end are sent.
pub(crate) fn last_triggers(end: Duration) -> Duration {
    end - LAST_TRIGGERS.min(end / 4)
}
