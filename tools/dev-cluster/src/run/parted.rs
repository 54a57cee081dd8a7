//! The nodes are cut into two halves, and must find each other again.

use std::thread;
use std::time::Instant;

use super::{Run, rounded};
use crate::error_chain;
use crate::netns::Netns;
use crate::partition::{self, FOUND_WITHIN, Partition, PartitionReport, Seen};
use crate::plan::STOP_POLL;
use crate::providers::{self, Answers, Question};
use crate::watch::Watch;

/// What was missing at last after a partition, and when nothing was any more, in seconds after its end.
struct Healed {
    peers: Vec<String>,
    peers_s: Option<f64>,
    records_s: Option<f64>,
    answers: Answers,
}

impl Run<'_> {
    /// Cuts the nodes into two halves and mends it again, whatever happens in between; then waits until they have found each
    /// other and each other's keys.
    pub(super) fn part(&mut self, watch: &mut Watch, partition: Partition, netns: &Netns) {
        self.watch_until(watch, Some(partition.at));
        let questions = providers::questions(&self.cluster, watch);
        let before = providers::ask(&questions, self.plan.found_within, providers::FEW, self.stop);
        self.not_found(&before, " before the partition");
        self.look(watch);
        let records_before = partition::records(watch);
        let began = self.began.elapsed();
        let cut = netns.cut();
        self.screen.note(&self.halves(partition, netns));
        self.watch_until(watch, Some(began.saturating_add(partition.lasts)));
        self.look(watch);
        let noticed = partition::is_noticed(&self.cluster, watch, netns.left());
        let records_kept = partition::records(watch);
        let outcome = cut.and_then(|()| netns.heal());
        let lasted = self.began.elapsed() - began;
        if let Err(error) = outcome {
            self.failures.push(format!("the nodes were not parted: {}", error_chain(&error)));
            return;
        }
        self.screen.note(&format!(
            "The cut is mended after {:.0} s. Waiting until all have found each other, for {} s at most.",
            lasted.as_secs_f64(),
            FOUND_WITHIN.as_secs()
        ));
        let healed = self.heal(watch, &questions, records_before);
        if self.stop.is_wanted() {
            return;
        }
        let validity = partition::validity(self.cluster.topology());
        let seen = Seen { lasted, noticed, validity, records_before, records_kept };
        self.failures.extend(partition::judge(&seen, &healed.peers, healed.records_s));
        self.not_found(&healed.answers, " after the partition");
        let after = |found: &Result<providers::Found, String>| Some(found.as_ref().ok()?.after);
        let last: Option<Vec<_>> = healed.answers.iter().map(|(_, found)| after(found)).collect();
        let last = last.map(|last| last.into_iter().max().unwrap_or_default());
        let providers_s = last.map(|last| rounded(last.as_secs_f64(), 1));
        self.partition = Some(PartitionReport {
            at_s: rounded(began.as_secs_f64(), 1),
            lasted_s: rounded(lasted.as_secs_f64(), 1),
            noticed,
            records_before,
            records_kept,
            records_again_s: healed.records_s,
            peers_again_s: healed.peers_s,
            providers_again_s: providers_s,
            found_again_s: healed.peers_s.zip(providers_s).map(|(a, b)| a.max(b)),
        });
    }

    /// Who is cut off from whom, for people.
    fn halves(&self, partition: Partition, netns: &Netns) -> String {
        let names: Vec<_> = self.cluster.nodes().iter().map(|node| node.name()).collect();
        let (first, second) = names.split_at(netns.left().min(names.len()));
        format!(
            "Cut for {}: {} hear nothing of {} any more, nor the other way round. This tool still reaches all of them.",
            humantime::format_duration(partition.lasts),
            first.join(", "),
            second.join(", ")
        )
    }

    /// Looks and asks at the same time until nothing is missing, for as long as it may take.
    fn heal(&mut self, watch: &mut Watch, questions: &[Question], records: usize) -> Healed {
        let (ended, stop) = (Instant::now(), self.stop);
        let seconds = || rounded(ended.elapsed().as_secs_f64(), 1);
        thread::scope(|scope| {
            let asking =
                scope.spawn(|| providers::ask(questions, FOUND_WITHIN, providers::MANY, stop));
            let (mut peers_s, mut records_s) = (None, None);
            let peers = loop {
                self.look(watch);
                let missing = partition::missing(&self.cluster, watch);
                if missing.is_empty() && peers_s.is_none() {
                    peers_s = Some(seconds());
                }
                if partition::records(watch) >= records && records_s.is_none() {
                    records_s = Some(seconds());
                }
                let done = missing.is_empty() && records_s.is_some() && asking.is_finished();
                if done || ended.elapsed() > FOUND_WITHIN || stop.is_wanted() {
                    break missing;
                }
                thread::sleep(STOP_POLL);
            };
            // It has nothing to panic over; if it did, its answers would be missing.
            let answers = asking.join().unwrap_or_default();
            Healed { peers, peers_s, records_s, answers }
        })
    }
}
