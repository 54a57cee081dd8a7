//! One run: start, watch, trigger, end, judge, report.

mod look_up;
mod parted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::baseline::Cost;
use crate::child::Exit;
use crate::cluster::{Cluster, StartError, Stop};
use crate::compare;
use crate::dir::{ClusterDir, DirError};
use crate::error_chain;
use crate::logs::{self, LogSummary};
use crate::messages::RequestKey;
use crate::mixed::{self, Legacy, Planned};
use crate::partition::PartitionReport;
use crate::plan::{LOOK_EVERY, Plan, STOP_POLL, last_triggers};
use crate::providers::ProvidersReport;
use crate::report::{InOrder, NodeReport, Report, Verdict, to_json};
use crate::screen::Screen;
use crate::talk;
use crate::trigger::{self, Fired, Trigger};
use crate::verdict::{self, NodeObserved, Observed};
use crate::watch::{NodeWatch, Watch, look};

/// A node lists its last 64 requests; its messages are read before that many are sent.
const TRIGGERS_PER_LOOK: usize = 32;

/// How often the last look is repeated for a node that does not answer.
const LAST_LOOKS: usize = 3;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the cluster's folder cannot be written.
    #[error("the run cannot be reported")]
    Dir(#[from] DirError),
    /// The report cannot be written as JSON.
    #[error("the report cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Runs a cluster to its end and writes `report.json`; whatever goes wrong with the nodes is in the report.
///
/// # Errors
/// The report cannot be written.
pub fn run(
    plan: &Plan,
    dir: &Arc<ClusterDir>,
    stop: &Stop,
    trigger: &mut dyn Trigger,
    screen: &mut Screen,
) -> Result<Report, RunError> {
    let mixed = match plan.mixed.as_ref().map(Planned::new).transpose() {
        Ok(mixed) => mixed,
        Err(source) => return finish(not_started(plan, &StartError::Ports(source)), dir),
    };
    let mut setup = plan.setup.clone();
    if let Some(mixed) = &mixed {
        setup.topology = mixed.setup.split.unring.clone();
    }
    let mut report = match Cluster::start(dir, &setup, stop) {
        Ok(cluster) => {
            let mut failures = Vec::new();
            let legacy = mixed.as_ref().and_then(|mixed| {
                let legacy = Legacy::start(mixed, &cluster, stop);
                let told =
                    |error| failures.push(format!("no server of K3s: {}", error_chain(&error)));
                legacy.map_err(told).ok()
            });
            let run = Run {
                plan,
                stop,
                screen: &mut *screen,
                cluster,
                began: Instant::now(),
                failures,
                mixed: mixed.as_ref(),
                legacy,
                answered: 0,
                partition: None,
            };
            let (mut report, cost) = run.watch(trigger)?;
            match compare::run(plan, dir.path(), cost, stop, screen) {
                Ok(baseline) => report.baseline = baseline,
                Err(error) => report.failures.push(format!("there is no baseline: {error}")),
            }
            report
        }
        Err(err) => not_started(plan, &err),
    };
    if !report.failures.is_empty() {
        report.verdict = Verdict::Fail;
    }
    finish(report, dir)
}

fn finish(report: Report, dir: &ClusterDir) -> Result<Report, RunError> {
    dir.write("report.json", &to_json(&report)?)?;
    Ok(report)
}

struct Run<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    screen: &'a mut Screen,
    cluster: Cluster,
    began: Instant,
    failures: Vec<String>,
    /// Triggers that were answered.
    answered: usize,
    mixed: Option<&'a Planned>,
    /// Servers of K3s among the nodes.
    legacy: Option<Legacy>,
    /// What became of the partition.
    partition: Option<PartitionReport>,
}

impl Run<'_> {
    fn watch(mut self, trigger: &mut dyn Trigger) -> Result<(Report, Cost), RunError> {
        let dir = Arc::clone(self.cluster.dir());
        dir.write("cluster.json", &to_json(&talk::endpoints(&self.cluster))?)?;
        let client = talk::client_cert(&self.plan.setup.unring, dir.path());
        let prefix = self.plan.setup.netns.as_ref().map(|netns| netns.prefix()).unwrap_or_default();
        self.screen.note(&talk::how_to(&self.cluster, client.as_deref().ok(), &prefix));
        if let Err(error) = client {
            self.failures.push(format!(
                "`unring client-cert` wrote no certificate, expected one for tools: {error}"
            ));
        }

        let mut watch = Watch::new(self.cluster.nodes().len());
        self.look(&mut watch);
        self.trigger(&mut watch, trigger, 0);
        if let (Some(partition), Some(netns)) = (self.plan.partition, &self.plan.setup.netns) {
            self.part(&mut watch, partition, netns);
        }
        let end = self.plan.watch_for;
        self.watch_until(&mut watch, end.map(last_triggers));
        self.trigger(&mut watch, trigger, self.plan.triggers);
        self.watch_until(&mut watch, end);
        if end.is_some() {
            self.wait_for_suspicions(&mut watch);
        }
        // Before the nodes: what they asked meanwhile is allowed, and not counted.
        let sent = self.legacy.as_mut().map(Legacy::look).unwrap_or_default();
        for _ in 0..LAST_LOOKS {
            self.look(&mut watch);
            if watch.nodes().iter().all(|node| node.error.is_none() || node.exit.is_some()) {
                break;
            }
        }
        let ran = self.began.elapsed();
        // Behind the last look, so that it costs the nodes nothing in the verdict on their CPU.
        let providers = self.look_up(&watch);
        self.finish(&watch, ran, &sent, providers)
    }

    /// Looks at the nodes every second until `end`, a stop, or the end of all of them.
    fn watch_until(&mut self, watch: &mut Watch, end: Option<Duration>) {
        let over =
            |run: &Self| run.stop.is_wanted() || end.is_some_and(|end| run.began.elapsed() >= end);
        while !over(self) && !watch.all_ended() {
            self.look(watch);
            let next = Instant::now() + LOOK_EVERY;
            while !over(self) && Instant::now() < next {
                thread::sleep(STOP_POLL);
            }
        }
    }

    /// Goes on while a ring through servers of K3s is not suspected that must be: how long that takes depends on how busy
    /// the machine is.
    fn wait_for_suspicions(&mut self, watch: &mut Watch) {
        let Some(mixed) = self.mixed else { return };
        let (split, places) = (&mixed.setup.split, &mixed.places);
        let pending = |watch: &Watch| {
            mixed::is_pending(split, places, watch.nodes().iter().map(NodeWatch::status))
        };
        while pending(watch) && self.began.elapsed() < mixed::SUSPECTED_WITHIN {
            let next = self.began.elapsed() + LOOK_EVERY;
            self.watch_until(watch, Some(next));
            if self.stop.is_wanted() || watch.all_ended() {
                return;
            }
        }
    }

    fn look(&mut self, watch: &mut Watch) {
        watch.record(look(&mut self.cluster, self.began));
        self.screen.show(self.cluster.topology(), watch, self.began.elapsed());
    }

    /// Sends the triggers of one batch, of which the first `skipped` nodes had their turn in an earlier one. A stop
    /// ends it.
    fn trigger(&mut self, watch: &mut Watch, trigger: &mut dyn Trigger, skipped: usize) {
        let mut sent = 0;
        while sent < self.plan.triggers && !self.stop.is_wanted() && !watch.all_ended() {
            let count = TRIGGERS_PER_LOOK.min(self.plan.triggers - sent);
            let before = self.own_requests(watch);
            let fired = trigger::fire(&self.cluster, trigger, skipped + sent, count, self.stop);
            sent += count;
            self.look(watch);
            let answered = fired.iter().filter(|fired| fired.error.is_none()).count();
            self.answered += answered;
            let mut costs = self.own_requests(watch);
            costs.retain(|request, _| !before.contains_key(request));
            let costs: Vec<String> = costs.values().map(u64::to_string).collect();
            let costs = if costs.is_empty() { "none".to_owned() } else { costs.join(", ") };
            self.screen.note(&format!(
                "{answered} of {} triggers were answered; messages of new requests: {costs}",
                fired.len()
            ));
            for Fired { node, error } in fired {
                let (Some(node), Some(error)) = (self.cluster.nodes().get(node), error) else {
                    continue;
                };
                self.failures.push(format!(
                    "{} did not answer a ListPeers with SCOPE_RECURSIVE, expected an answer within its deadline: \
                     {error}; see exchange in {} and {}",
                    node.name(),
                    node.status_file().display(),
                    node.log().display()
                ));
            }
        }
    }

    /// Requests that started at one of the nodes and are still listed: their messages by origin and id.
    fn own_requests(&self, watch: &Watch) -> BTreeMap<RequestKey, u64> {
        let requests = self.cluster.peer_ids().iter().flat_map(|origin| {
            let own = watch.messages().requests_of(origin);
            own.into_iter().map(|(id, messages)| ((origin.clone(), id.to_owned()), messages))
        });
        requests.collect()
    }

    fn finish(
        mut self,
        watch: &Watch,
        ran: Duration,
        sent: &[(u64, bool)],
        providers: Option<ProvidersReport>,
    ) -> Result<(Report, Cost), RunError> {
        for (node, seen) in self.cluster.nodes().iter().zip(watch.nodes()) {
            if let Err(err) = std::fs::write(node.status_file(), &seen.last.json) {
                let file = node.status_file();
                self.failures
                    .push(format!("{} cannot be written: {err}; see its folder", file.display()));
            }
        }
        self.screen.note("Ending the nodes.");
        let exits = self.cluster.stop().unwrap_or_else(|err| {
            self.failures
                .push(format!("the nodes could not be waited for: {err}; see whether any is left"));
            Vec::new()
        });
        let nodes = self.cluster.nodes().iter().enumerate();
        let nodes: Vec<NodeObserved> = nodes
            .zip(watch.nodes())
            .map(|((index, node), seen)| {
                let log_file = node.log();
                let exit = exits.get(index).copied().flatten();
                NodeObserved {
                    peer_id: self.cluster.peer_ids().get(index).cloned().unwrap_or_default(),
                    status: seen.error.clone().map_or_else(|| Ok(seen.status().clone()), Err),
                    ended_early: seen.exit.map(|exit| exit.to_string()),
                    unclean_exit: exit.filter(|_| seen.exit.is_none()).and_then(unclean),
                    p2p_cpu_percent: seen.steady_cpu().map(|(p2p, _)| p2p),
                    rss_mib: seen.usage.map(|usage| usage.rss_mib),
                    // A node that was started has a log; one that cannot be read shows as one without a line.
                    log: logs::summarise(&log_file).unwrap_or_default(),
                    log_file,
                    status_file: node.status_file(),
                }
            })
            .collect();
        let per_node = nodes.iter().zip(watch.nodes()).zip(self.cluster.nodes());
        let per_node = per_node
            .map(|((observed, seen), node)| (node.name().to_owned(), numbers(seen, &observed.log)));
        let per_node = InOrder(per_node.collect());
        let cost = nodes.iter().zip(watch.nodes()).map(|(node, seen)| cost(seen, &node.log)).sum();
        let topology = self.cluster.topology().clone();
        let observed = Observed {
            topology,
            ran,
            nodes,
            triggered: self.answered,
            dearest: watch.messages().dearest().cloned(),
        };
        let judgement = verdict::judge(&observed);
        let mut failures = [self.failures, judgement.failures].concat();
        let legacy = self.mixed.map(|mixed| {
            let (split, places) = (&mixed.setup.split, &mixed.places);
            let seen = mixed::Seen { split, places, sent, ran };
            mixed::judge(&seen, &observed.nodes, &mut failures)
        });
        let report = Report {
            topology: observed.topology.name,
            nodes: observed.nodes.len(),
            seed: self.plan.seed,
            duration_s: rounded(ran.as_secs_f64(), 1),
            ready_s: Some(rounded(self.cluster.ready_after().as_secs_f64(), 2)),
            invariants: judgement.invariants,
            rings: judgement.rings,
            per_node,
            providers,
            partition: self.partition,
            baseline: None,
            legacy,
            verdict: if failures.is_empty() { Verdict::Pass } else { Verdict::Fail },
            failures,
        };
        Ok((report, cost))
    }
}

fn not_started(plan: &Plan, error: &StartError) -> Report {
    let topology = &plan.setup.topology;
    let observed = Observed {
        topology: topology.clone(),
        ran: Duration::ZERO,
        nodes: Vec::new(),
        triggered: 0,
        dearest: None,
    };
    // Nothing was seen; what was expected is still known.
    let invariants = verdict::judge(&observed).invariants;
    Report {
        topology: topology.name.clone(),
        nodes: topology.nodes.len(),
        seed: plan.seed,
        duration_s: 0.0,
        ready_s: None,
        invariants: crate::report::Invariants {
            all_reachable_known: false,
            connected: false,
            ..invariants
        },
        rings: Vec::new(),
        per_node: InOrder(Vec::new()),
        providers: None,
        partition: None,
        baseline: None,
        legacy: None,
        verdict: Verdict::Fail,
        failures: vec![error_chain(error)],
    }
}

fn cost(seen: &NodeWatch, log: &LogSummary) -> Cost {
    let exchange = &seen.status().exchange;
    Cost {
        messages: exchange.messages(),
        cpu_seconds: seen.usage.map_or(0.0, |usage| usage.cpu_seconds),
        log_lines: log.lines,
        peak_rss_mib: seen.usage.map_or(0.0, |usage| usage.peak_rss_mib),
        capped: false,
    }
}

fn unclean(exit: Exit) -> Option<String> {
    (exit.forced || !exit.status.success()).then(|| exit.to_string())
}

fn numbers(seen: &NodeWatch, log: &LogSummary) -> NodeReport {
    let status = seen.status();
    let cpu = seen.steady_cpu();
    NodeReport {
        peers_known: status.peers.len(),
        connected: status.libp2p.connected_peers.len(),
        served: status.exchange.served,
        sent: status.exchange.sent,
        duplicates: status.exchange.duplicates,
        loops: status.exchange.loops,
        throttled: status.exchange.throttled,
        cpu_percent_of_core: cpu.map(|(p2p, _)| rounded(p2p, 3)),
        process_cpu_percent: cpu.map(|(_, process)| rounded(process, 3)),
        rss_mib: seen.usage.map(|usage| rounded(usage.rss_mib, 1)),
        log_lines: log.lines,
    }
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}
