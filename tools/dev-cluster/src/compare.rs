//! The baseline of a run: the same topology, the same triggers, the same time, after the nodes under test have ended.
//!
//! One after the other, because side by side a storm would take the machine from the nodes that it is compared with,
//! and their CPU and their verdict would be the storm's.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::baseline::{Baseline, BaselineReport, Cost, MAX_MESSAGES};
use crate::cluster::Stop;
use crate::error_chain;
use crate::plan::{LOOK_EVERY, Plan, STOP_POLL, last_triggers};
use crate::screen::Screen;

/// How often the messages are shown.
const SHOW_EVERY: Duration = Duration::from_secs(5);

/// Runs the baseline that was asked for, if any. A stop ends it without a result: it would have run for a shorter time
/// than what it is compared with.
///
/// # Errors
/// It did not start, for people.
pub(crate) fn run(
    plan: &Plan,
    cluster: &Path,
    unring: Cost,
    stop: &Stop,
    screen: &mut Screen,
) -> Result<Option<BaselineReport>, String> {
    let (Some(setup), Some(end)) = (&plan.baseline, plan.watch_for) else { return Ok(None) };
    if stop.is_wanted() {
        screen.note("Stopped: no baseline.");
        return Ok(None);
    }
    let topology = &plan.setup.topology;
    if topology.has_literal_upstreams() {
        screen.note("Naive nodes do not join URLs: the baseline is without those joins.");
    }
    let mut baseline = Baseline::start(cluster, setup, topology, end, stop)
        .map_err(|error| error_chain(&error))?;
    screen.note(&format!(
        "Now {} naive nodes for as long; their logs are in {}",
        topology.nodes.len(),
        baseline.dir().display()
    ));
    let began = Instant::now();
    let trigger = |baseline: &mut Baseline, skipped: usize| {
        let nodes = (0..topology.nodes.len()).cycle().skip(skipped % topology.nodes.len().max(1));
        baseline.trigger(nodes.take(plan.triggers)).map_err(|error| error.to_string())
    };
    let mut shown = SHOW_EVERY;
    let mut watch = |baseline: &mut Baseline, until: Duration| {
        while began.elapsed() < until && !stop.is_wanted() {
            let next = (began.elapsed() + LOOK_EVERY).min(until);
            while began.elapsed() < next && !stop.is_wanted() {
                thread::sleep(STOP_POLL);
            }
            let messages = baseline.messages();
            if began.elapsed() >= shown {
                shown += SHOW_EVERY;
                screen.note(&format!(
                    "naive: {messages} messages after {} s",
                    began.elapsed().as_secs()
                ));
            }
            // Their own shares keep them below it; this is for one that cannot count.
            if messages >= MAX_MESSAGES {
                return;
            }
        }
    };
    trigger(&mut baseline, 0)?;
    watch(&mut baseline, last_triggers(end));
    trigger(&mut baseline, plan.triggers)?;
    watch(&mut baseline, end);
    let mut cost = baseline.stop();
    if stop.is_wanted() {
        screen.note("Stopped: no baseline.");
        return Ok(None);
    }
    cost.capped |= cost.messages >= MAX_MESSAGES;
    Ok(Some(BaselineReport::new(rounded(cost), rounded(unring), setup.cap.map(|cap| cap.get()))))
}

/// As precise as it was measured.
fn rounded(cost: Cost) -> Cost {
    let to = |number: f64, digits: f64| (number * digits).round() / digits;
    Cost {
        cpu_seconds: to(cost.cpu_seconds, 100.0),
        peak_rss_mib: to(cost.peak_rss_mib, 10.0),
        ..cost
    }
}
