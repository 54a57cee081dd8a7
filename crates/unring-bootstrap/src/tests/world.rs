//! A table on a clock of its own, and whom it asks and dials.

use std::time::Duration;

use unring_peer::{Identity, PeerId};

use crate::{Action, Answer, Attempt, Candidate, Kind, Myself, Outcome, Table};

pub(super) const OWN: &str = "/ip4/10.0.0.9/tcp/5872";

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn someone() -> PeerId {
    Identity::generate().peer_id()
}

pub(super) fn at(text: &str) -> Candidate {
    text.parse().unwrap()
}

pub(super) fn named(text: &str, peer: PeerId) -> Candidate {
    Candidate { peer: Some(peer), ..at(text) }
}

/// A table that asks `answer` for each action and moves time to whatever is due next.
pub(super) struct World {
    pub(super) table: Table,
    pub(super) me: PeerId,
    pub(super) now: Duration,
    pub(super) asked: Vec<(Duration, usize)>,
    pub(super) said: Vec<(Duration, usize)>,
}

impl World {
    pub(super) fn new(kinds: &[Kind]) -> Self {
        let me = someone();
        let addresses = [at(OWN).address].into();
        let mut table = Table::new(Myself { peer: me, addresses }, 7);
        for kind in kinds {
            table.add(Duration::ZERO, *kind, format!("{kind:?}")).unwrap();
        }
        Self { table, me, now: Duration::ZERO, asked: Vec::new(), said: Vec::new() }
    }

    /// What is to be done now, beside lines.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        self.table.on_timer(self.now);
        let actions = self.table.take_actions();
        for action in &actions {
            match action {
                Action::Ask(attempt) => self.asked.push((self.now, attempt.source)),
                Action::Say(source) => self.said.push((self.now, *source)),
                _ => {}
            }
        }
        actions.into_iter().filter(|action| !matches!(action, Action::Say(_))).collect()
    }

    /// Lets time pass until `end`; each question is answered by `answer`, each dial by `dial`.
    pub(super) fn run(
        &mut self,
        end: Duration,
        mut answer: impl FnMut(usize) -> Option<Result<Vec<Candidate>, String>>,
        mut dial: impl FnMut(&Candidate) -> Option<Answer>,
    ) {
        loop {
            loop {
                let actions = self.actions();
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        Action::Ask(attempt) => {
                            if let Some(answer) = answer(attempt.source) {
                                self.table.answered(self.now, attempt, answer);
                            }
                        }
                        Action::Dial(attempt, candidate) => {
                            if let Some(outcome) = dial(&candidate) {
                                self.table.dialled(self.now, attempt, &candidate, outcome);
                            }
                        }
                        _ => {}
                    }
                }
            }
            let due = self.table.next_due().unwrap_or(end);
            if due > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(due);
        }
    }

    pub(super) fn ask(&mut self) -> Attempt {
        let actions = self.actions();
        let asked = actions.iter().find_map(|action| match action {
            Action::Ask(attempt) => Some(*attempt),
            _ => None,
        });
        asked.unwrap()
    }

    /// How the only source's last attempt ended.
    pub(super) fn last(&self) -> (Outcome, usize, usize, Option<String>) {
        let last = self.table.view(0).unwrap().last.unwrap();
        (last.outcome, last.addresses, last.reached, last.error)
    }
}
