//! What the nodes do, second by second.

use std::thread;
use std::time::{Duration, Instant};

use crate::child::Exit;
use crate::cluster::Cluster;
use crate::error_chain;
use crate::messages::MessageTally;
use crate::node_process::NodeProcess;
use crate::statusz::{Page, Statusz};
use crate::usage::{self, Usage};

/// The start is dear (connections, signatures, the first exchange); CPU is measured from here on.
pub const STEADY_AFTER: Duration = Duration::from_secs(5);

/// A mean over less than this says little: the kernel counts a process's CPU in steps of 10 ms.
const MIN_SPAN: Duration = Duration::from_millis(500);

/// How many nodes are asked at once. They share the machine with whoever asks.
const READERS: usize = 4;

/// One look at one node.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When, from the moment when all were ready.
    pub at: Duration,
    /// Its status, or why there is none.
    pub page: Result<Page, String>,
    /// What its process has used; `None` when it has ended.
    pub usage: Option<Usage>,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
}

/// What was seen of all nodes so far.
#[derive(Debug, Default)]
pub struct Watch {
    nodes: Vec<NodeWatch>,
    tally: MessageTally,
}

/// What was seen of one node so far.
#[derive(Debug, Default)]
pub struct NodeWatch {
    /// The last status that it gave.
    pub last: Page,
    /// Why the latest look got no status.
    pub error: Option<String>,
    /// The latest usage of its process.
    pub usage: Option<Usage>,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
    steady: Option<Reading>,
    before: Option<Reading>,
    latest: Option<Reading>,
}

/// CPU seconds at a time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Duration,
    p2p: f64,
    process: f64,
}

/// Looks at all nodes once.
pub fn look(cluster: &mut Cluster, began: Instant) -> Vec<Sample> {
    let exits: Vec<Option<Exit>> =
        cluster.nodes_mut().iter_mut().map(NodeProcess::exited).collect();
    let nodes: Vec<(&NodeProcess, Option<Exit>)> = cluster.nodes().iter().zip(exits).collect();
    let share = nodes.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = nodes
            .chunks(share)
            .map(|nodes| {
                scope.spawn(move || {
                    nodes.iter().map(|&(node, exit)| sample(node, exit, began)).collect()
                })
            })
            .collect();
        // A reader has nothing to panic over; if it did, its nodes would be missing and the judge would say so.
        readers
            .into_iter()
            .filter_map(|reader| reader.join().ok())
            .flat_map(|samples: Vec<Sample>| samples)
            .collect()
    })
}

fn sample(node: &NodeProcess, exit: Option<Exit>, began: Instant) -> Sample {
    let page = match exit {
        Some(exit) => Err(format!("it has ended with {exit}")),
        None => node.status_page().map_err(|err| error_chain(&err)),
    };
    let usage = node.pid().filter(|_| exit.is_none()).and_then(usage::read);
    Sample { at: began.elapsed(), page, usage, exit }
}

impl Watch {
    /// A watch of so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|_| NodeWatch::default()).collect(),
            tally: MessageTally::default(),
        }
    }

    /// Takes one look at all nodes, in order.
    pub fn record(&mut self, samples: Vec<Sample>) {
        for (node, sample) in self.nodes.iter_mut().zip(samples) {
            node.record(sample);
        }
        let answered = self.nodes.iter().enumerate().filter(|(_, node)| node.error.is_none());
        self.tally
            .record(answered.map(|(index, node)| (index, &*node.last.status.exchange.recent)));
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> &[NodeWatch] {
        &self.nodes
    }

    /// The messages of requests.
    pub fn messages(&self) -> &MessageTally {
        &self.tally
    }

    /// Whether every process has ended.
    pub fn all_ended(&self) -> bool {
        self.nodes.iter().all(|node| node.exit.is_some())
    }
}

impl NodeWatch {
    fn record(&mut self, sample: Sample) {
        let Sample { at, page, usage, exit } = sample;
        self.exit = self.exit.or(exit);
        self.usage = usage.or(self.usage);
        match page {
            Ok(page) => {
                self.last = page;
                self.error = None;
            }
            Err(error) => {
                self.error = Some(error);
                return;
            }
        }
        let Some(usage) = usage else { return };
        let reading = Reading {
            at,
            p2p: self.last.status.budget.p2p_cpu_seconds,
            process: usage.cpu_seconds,
        };
        self.before = self.latest.replace(reading);
        if at >= STEADY_AFTER {
            self.steady.get_or_insert(reading);
        }
    }

    /// The last status that it gave.
    pub fn status(&self) -> &Statusz {
        &self.last.status
    }

    /// CPU of the P2P runtime and of the process after the first 5 s, in percent of one core.
    pub fn steady_cpu(&self) -> Option<(f64, f64)> {
        mean(self.steady?, self.latest?)
    }

    /// CPU of the P2P runtime between the last two looks, in percent of one core.
    pub fn current_cpu(&self) -> Option<f64> {
        mean(self.before?, self.latest?).map(|(p2p, _)| p2p)
    }
}

fn mean(from: Reading, to: Reading) -> Option<(f64, f64)> {
    let span = to.at.saturating_sub(from.at);
    let percent = |from: f64, to: f64| (to - from) / span.as_secs_f64() * 100.0;
    (span >= MIN_SPAN).then(|| (percent(from.p2p, to.p2p), percent(from.process, to.process)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Sample, Watch};
    use crate::statusz::{Page, Recent};
    use crate::usage::Usage;

    fn sample(at_ms: u64, p2p: f64, process: f64) -> Sample {
        let mut page = Page::default();
        page.status.budget.p2p_cpu_seconds = p2p;
        let recent = Recent { origin: "a".into(), request_id: "1".into(), sent: 2 };
        page.status.exchange.recent.push(recent);
        let usage = Some(Usage { cpu_seconds: process, rss_mib: 10.0, peak_rss_mib: 10.0 });
        Sample { at: Duration::from_millis(at_ms), page: Ok(page), usage, exit: None }
    }

    fn rounded(percent: Option<(f64, f64)>) -> Option<(i64, i64)> {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        percent.map(|(p2p, process)| {
            ((p2p * 1000.0).round() as i64, (process * 1000.0).round() as i64)
        })
    }

    #[test]
    fn steady_cpu_is_the_mean_after_five_seconds() {
        let mut watch = Watch::new(1);
        watch.record(vec![sample(0, 0.5, 1.0)]);
        watch.record(vec![sample(4_999, 0.9, 2.0)]);
        assert_eq!(watch.nodes()[0].steady_cpu(), None);
        watch.record(vec![sample(5_200, 1.0, 2.0)]);
        assert_eq!(watch.nodes()[0].steady_cpu(), None, "one reading is no mean");
        watch.record(vec![sample(6_200, 1.001, 2.01)]);
        watch.record(vec![sample(15_200, 1.01, 2.1)]);
        assert_eq!(rounded(watch.nodes()[0].steady_cpu()), Some((100, 1_000)));
        assert_eq!(rounded(watch.nodes()[0].current_cpu().map(|cpu| (cpu, 0.0))), Some((100, 0)));
    }

    #[test]
    fn a_look_without_an_answer_keeps_what_was_seen() {
        let mut watch = Watch::new(2);
        watch.record(vec![sample(0, 0.5, 1.0), sample(0, 0.5, 1.0)]);
        let failed = Sample { page: Err("timed out".into()), ..sample(1_000, 0.0, 0.0) };
        watch.record(vec![failed, sample(1_000, 0.5, 1.0)]);
        assert_eq!(watch.nodes()[0].error.as_deref(), Some("timed out"));
        assert_eq!(watch.nodes()[0].status().exchange.recent.len(), 1);
        assert_eq!(watch.nodes()[0].current_cpu(), None);
        assert_eq!(watch.messages().dearest().unwrap().messages(), 4);
        assert!(!watch.all_ended());
    }
}
