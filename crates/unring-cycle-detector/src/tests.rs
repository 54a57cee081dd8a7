//! Tests of the whole crate, through its public interface where that can show it.

mod bounds;
mod brute_force;
mod policy;
mod restart;
mod rings;

use std::{collections::BTreeSet, time::Duration};

use crate::{Config, Detector, Event, Join, RingKind, Voice};

/// Joins as `"1>2 2>3@70 3>1,2"`: from, targets, and since when (unix ms, else 0).
fn parse(text: &str) -> Vec<(u32, Join<u32>)> {
    text.split_whitespace()
        .map(|word| {
            let (edge, since) = word.split_once('@').unwrap_or((word, "0"));
            let (from, targets) = edge.split_once('>').unwrap();
            let targets: BTreeSet<u32> =
                targets.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
            let join =
                Join { address: edge.to_owned(), targets, since_unix_ms: since.parse().unwrap() };
            (from.parse().unwrap(), join)
        })
        .collect()
}

/// A detector of node 1 on a fake clock that starts at a wall time of its own.
struct Scene {
    detector: Detector<u32>,
    now: Duration,
    unix_ms: u64,
}

impl Scene {
    fn new() -> Self {
        Scene {
            detector: Detector::new(Config::new(1)),
            now: Duration::ZERO,
            unix_ms: 1_000_000_000,
        }
    }

    /// The whole process anew, with what it wrote down.
    fn restart(self, down_for: u64) -> Self {
        let memory = self.detector.memory();
        let mut scene = Scene::new();
        scene.unix_ms = self.unix_ms + down_for * 1000;
        scene.detector.restore(scene.now, scene.unix_ms, memory);
        scene
    }

    fn seen(mut self, caller: u32) -> Self {
        self.detector.caller_seen(self.now, &caller);
        self
    }

    /// Sets the joins of each node named in `text`; `"2>"` has a join that leads nowhere.
    fn joins(&mut self, text: &str) {
        let joins = parse(text);
        for node in joins.iter().map(|(from, _)| *from).collect::<BTreeSet<_>>() {
            let own = joins
                .iter()
                .filter(|(from, _)| *from == node)
                .map(|(_, join)| join.clone())
                .collect();
            self.detector.set_joins(self.now, node, format!("n{node}"), own).unwrap();
        }
    }

    /// Lets `seconds` pass, polling exactly when asked to, and writes down what is said and when.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let end = self.now + Duration::from_secs(seconds);
        let mut said = Vec::new();
        for _ in 0..10_000 {
            for event in self.detector.poll(self.now, self.unix_ms) {
                said.push(format!("{}: {}", self.now.as_secs(), show(&event)));
            }
            let next = self.detector.next_wake().unwrap_or(end);
            assert!(
                next > self.now || end == self.now,
                "woken at {next:?} for nothing, now {:?}",
                self.now
            );
            let next = next.min(end);
            self.unix_ms += u64::try_from((next - self.now).as_millis()).unwrap();
            self.now = next;
            if next == end {
                for event in self.detector.poll(self.now, self.unix_ms) {
                    said.push(format!("{}: {}", self.now.as_secs(), show(&event)));
                }
                return said;
            }
        }
        panic!("woken too often: {said:?}");
    }
}

fn show(event: &Event<u32>) -> String {
    let ring = event.ring();
    let members: Vec<String> = ring.members.iter().map(u32::to_string).collect();
    let what = match event {
        Event::RingFound { .. } => "found".to_owned(),
        Event::RingChanged { previous, .. } => format!("changed from {previous:?}"),
        Event::RingReminder { .. } => "reminder".to_owned(),
        Event::RingGone { .. } => "gone".to_owned(),
    };
    let voice = match event.voice() {
        Voice::Warn => "WARN",
        Voice::Info => "INFO",
        Voice::Quiet => "quiet",
    };
    let kind = match ring.kind {
        RingKind::SelfJoin => "self ",
        RingKind::Plain => "",
        RingKind::Shared => "shared ",
    };
    let unverified = if ring.unverified { " unverified" } else { "" };
    format!("{voice} {what} {kind}[{}]{unverified}", members.join(" "))
}
