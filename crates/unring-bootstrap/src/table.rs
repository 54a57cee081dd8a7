//! All sources side by side: a state machine without clock, socket or task.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;
use unring_peer::{PeerAddress, PeerId};

use crate::backoff::{backoff, refresh};
use crate::candidate::Candidate;
use crate::entry::{Dialling, Entry, LastView, Phase};
use crate::limits::{
    ANSWERS_TO_FORGET, ATTEMPT_LIMIT, MAX_ERROR_BYTES, MAX_FOUND, MAX_SOURCES, STABLE_AFTER,
};
use crate::source::Outcome;

/// Who this node is, so that it does not take itself for its first peer.
#[derive(Clone, Debug)]
pub struct Myself {
    /// Its peer id.
    pub peer: PeerId,
    /// Where it is reached, and where it listens.
    pub addresses: BTreeSet<PeerAddress>,
}

/// Which attempt of which source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// As [`Table::add`] returned it; no other source ever has this number.
    pub source: usize,
    pub(crate) number: u64,
}

/// Who answered a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This peer.
    Peer(PeerId),
    /// Somebody to whom there are as many connections as allowed, whoever it is.
    Connected,
    /// This node itself.
    Myself,
    /// Nobody; why, for people.
    Nobody(String),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the source, and tell [`Table::answered`].
    Ask(Attempt),
    /// Dial, and tell [`Table::dialled`].
    Dial(Attempt, Candidate),
    /// What [`Table::peers`] gives has changed.
    PeersChanged,
    /// Write a line about this source, which [`Table::view`] shows. At most one in [`crate::limits::QUIET`] each.
    Say(usize),
}

/// More than [`MAX_SOURCES`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("at most {MAX_SOURCES} sources are asked")]
pub struct TooManySources;

/// The sources of first peers.
///
/// Each is tried at once, and again after a back-off for as long as nobody is connected; then every
/// [`crate::limits::REFRESH`]. It is told what happened, each time with the time since any fixed moment, and leaves
/// [`Action`]s. The same calls with the same seed leave the same actions.
#[derive(Debug)]
pub struct Table {
    myself: Myself,
    /// By the numbers that [`add`](Self::add) gave them.
    entries: BTreeMap<usize, Entry>,
    added: usize,
    /// Time has begun: what is added from now on is added while the node runs.
    begun: bool,
    /// Bounded by the connections that a node may have.
    connected: BTreeSet<PeerId>,
    connected_since: Option<Duration>,
    attempts: u64,
    actions: Vec<Action>,
    rng: StdRng,
}

impl Table {
    /// No sources yet; `seed` feeds the jitter.
    #[must_use]
    pub fn new(myself: Myself, seed: u64) -> Self {
        Self {
            myself,
            entries: BTreeMap::new(),
            added: 0,
            begun: false,
            connected: BTreeSet::new(),
            connected_since: None,
            attempts: 0,
            actions: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// What is to be done since the last call, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`on_timer`](Self::on_timer) has something to do if nothing happens before.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.entries.values().map(Entry::next_due).min()
    }

    /// Begins what is due, and gives up what took too long.
    pub fn on_timer(&mut self, now: Duration) {
        self.begun = true;
        let all: Vec<_> = self.entries.keys().copied().collect();
        all.into_iter().for_each(|at| self.step(now, at));
        self.speak(now);
    }

    fn step(&mut self, now: Duration, at: usize) {
        let Some(entry) = self.entries.get_mut(&at) else { return };
        match &entry.phase {
            Phase::Waiting { due } if *due <= now => {
                self.attempts += 1;
                let number = self.attempts;
                entry.phase = Phase::Asking { since: now, number };
                self.actions.push(Action::Ask(Attempt { source: at, number }));
            }
            Phase::Asking { since, .. } if *since + entry.kind.ask_limit() <= now => {
                let error = format!("no answer within {:?}", entry.kind.ask_limit());
                self.ended(now, at, Outcome::TimedOut, 0, 0, Some(error));
            }
            Phase::Dialling(dialling) if dialling.since + ATTEMPT_LIMIT <= now => {
                self.dials_ended(now, at, Some("not all dials ended in time"));
            }
            _ => {}
        }
    }

    /// Who is connected now, over all parts of the node.
    ///
    /// With the last one gone every source is due again at once; where the connection did not last for [`STABLE_AFTER`],
    /// when it was due before, or after the wait that it had reached.
    pub fn set_connected(&mut self, now: Duration, peers: BTreeSet<PeerId>) {
        let (was, is) = (!self.connected.is_empty(), !peers.is_empty());
        self.connected = peers;
        match (was, is) {
            (false, true) => {
                self.connected_since = Some(now);
                for entry in self.entries.values_mut() {
                    entry.due_before = None;
                    if let Phase::Waiting { due } = &mut entry.phase
                        && entry.last.is_some()
                    {
                        entry.due_before = Some(*due);
                        *due = now + refresh(&mut self.rng);
                    }
                }
            }
            (true, false) => {
                let lasted = self.connected_since.take().map(|since| now.saturating_sub(since));
                for entry in self.entries.values_mut() {
                    if lasted.is_some_and(|lasted| lasted >= STABLE_AFTER) {
                        entry.failures = 0;
                    }
                    let before = entry.due_before.take();
                    if let Phase::Waiting { due } = &mut entry.phase {
                        let soon = now + backoff(&mut self.rng, entry.failures);
                        // Not later than without the connection: who comes and goes must not put it off for ever.
                        *due = soon.min(before.unwrap_or(*due)).min(*due);
                    }
                }
            }
            _ => {}
        }
    }

    /// What the source told, or why it told nothing, for people. An attempt that was given up is ignored.
    ///
    /// Of the addresses at most [`MAX_FOUND`] that are not this node's own are used, each once.
    pub fn answered(
        &mut self,
        now: Duration,
        attempt: Attempt,
        answer: Result<Vec<Candidate>, String>,
    ) {
        let Some(entry) = self.entries.get_mut(&attempt.source) else { return };
        let since = match &entry.phase {
            Phase::Asking { since, number } if *number == attempt.number => *since,
            _ => return,
        };
        let (source, me) = (attempt.source, &self.myself);
        let told = match answer {
            Ok(told) => told,
            Err(error) => return self.ended(now, source, Outcome::Failed, 0, 0, Some(error)),
        };
        if told.is_empty() {
            return self.told_nobody(now, source, Outcome::Empty);
        }
        let is_own = |candidate: &Candidate| {
            candidate.peer == Some(me.peer) || me.addresses.contains(&candidate.address)
        };
        let mut others: Vec<Candidate> = Vec::new();
        for candidate in told {
            if others.len() < MAX_FOUND && !is_own(&candidate) && !others.contains(&candidate) {
                others.push(candidate);
            }
        }
        if others.is_empty() {
            return self.told_nobody(now, source, Outcome::OnlySelf);
        }
        entry.told_nobody = 0;
        let mut changed = entry.forget_others(&others);
        let mut dialling = Dialling {
            since,
            number: attempt.number,
            open: BTreeSet::new(),
            addresses: others.len(),
            reached: 0,
            error: None,
        };
        for candidate in others {
            // Another dial would only add a connection.
            let known = candidate.peer.or_else(|| entry.who_is_at(&candidate.address));
            if let Some(peer) = known.filter(|peer| self.connected.contains(peer)) {
                dialling.reached += 1;
                changed |= entry.found(peer, candidate.address);
                continue;
            }
            self.actions.push(Action::Dial(attempt, candidate.clone()));
            dialling.open.insert(candidate);
        }
        entry.phase = Phase::Dialling(dialling);
        if changed {
            self.actions.push(Action::PeersChanged);
        }
        self.end_when_all_dialled(now, source);
    }

    /// The source knows of nobody else. One such answer may be a server that has just started; who was found before is
    /// forgotten with the second in a row, or a name that leads nowhere any more would keep the dead for ever.
    fn told_nobody(&mut self, now: Duration, source: usize, outcome: Outcome) {
        if let Some(entry) = self.entries.get_mut(&source) {
            entry.told_nobody = entry.told_nobody.saturating_add(1);
            if entry.told_nobody >= ANSWERS_TO_FORGET && entry.forget_others(&[]) {
                self.actions.push(Action::PeersChanged);
            }
        }
        self.ended(now, source, outcome, 0, 0, None);
    }

    /// What a dial came to. Who answered is kept also when the attempt was given up meanwhile.
    pub fn dialled(
        &mut self,
        now: Duration,
        attempt: Attempt,
        candidate: &Candidate,
        answer: Answer,
    ) {
        let Some(entry) = self.entries.get_mut(&attempt.source) else { return };
        // A peer that is known by name is worth dialling later, too.
        let found = match &answer {
            Answer::Peer(peer) => Some(*peer),
            Answer::Nobody(_) | Answer::Connected => candidate.peer,
            Answer::Myself => None,
        };
        if let Some(peer) = found
            && entry.found(peer, candidate.address.clone())
        {
            self.actions.push(Action::PeersChanged);
        }
        let dialling = match &mut entry.phase {
            Phase::Dialling(dialling) if dialling.number == attempt.number => dialling,
            _ => return,
        };
        if !dialling.open.remove(candidate) {
            return;
        }
        match answer {
            Answer::Peer(_) | Answer::Connected => dialling.reached += 1,
            Answer::Myself => dialling.addresses -= 1,
            Answer::Nobody(why) => _ = dialling.error.get_or_insert(why),
        }
        self.end_when_all_dialled(now, attempt.source);
    }

    fn end_when_all_dialled(&mut self, now: Duration, at: usize) {
        let phase = self.entries.get(&at).map(|entry| &entry.phase);
        if matches!(phase, Some(Phase::Dialling(dialling)) if dialling.open.is_empty()) {
            self.dials_ended(now, at, None);
        }
    }

    fn dials_ended(&mut self, now: Duration, at: usize, late: Option<&str>) {
        let phase = self.entries.get(&at).map(|entry| &entry.phase);
        let Some(Phase::Dialling(dialling)) = phase else { return };
        let (addresses, reached) = (dialling.addresses, dialling.reached);
        let error = dialling.error.clone().or_else(|| late.map(str::to_owned));
        let outcome = match (addresses, reached) {
            (0, _) => Outcome::OnlySelf,
            (_, 0) => Outcome::Unreachable,
            _ => Outcome::Ok,
        };
        self.ended(now, at, outcome, addresses, reached, error);
    }

    fn ended(
        &mut self,
        now: Duration,
        at: usize,
        outcome: Outcome,
        addresses: usize,
        reached: usize,
        error: Option<String>,
    ) {
        let Some(entry) = self.entries.get_mut(&at) else { return };
        let wait = if self.connected.is_empty() {
            backoff(&mut self.rng, entry.failures)
        } else {
            refresh(&mut self.rng)
        };
        // A connection that has just come may be gone at once, as it was the last time: only one that has lasted when it is
        // lost ends the back-off, else such a peer would have its source asked without end.
        entry.failures = entry.failures.saturating_add(1);
        entry.phase = Phase::Waiting { due: now + wait };
        let error = error.map(cut);
        entry.note(LastView { outcome, addresses, reached, error, at: now });
        self.speak(now);
    }

    fn speak(&mut self, now: Duration) {
        for (at, entry) in &mut self.entries {
            if entry.speaks(now) {
                self.actions.push(Action::Say(*at));
            }
        }
    }
}

/// At most [`MAX_ERROR_BYTES`], on one line.
fn cut(text: String) -> String {
    let mut text = text.replace(|c: char| c.is_control(), " ");
    if text.len() > MAX_ERROR_BYTES {
        let end = (0..=MAX_ERROR_BYTES).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    text
}
