//! An engine whose clock a test turns, and peers that are nothing but a key.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use unring_peer::{
    Identity, InvalidRecord, Join, Membership, NodeRecord, PeerId, SignedRecord, UnixMillis,
    UnverifiedRecord,
};

use crate::{
    Action, Admission, Answer, Batch, CallFailure, CallId, Config, Disposition, Engine, InboundId,
    InvalidTrace, Now, Origin, OutboundRequest, RemoteAnswer, Request, RequestId, Scope,
    Signatures, StreamId, Trace, Verifier,
};

/// The wall clock when an engine under test starts.
pub(super) const EPOCH: UnixMillis = UnixMillis::new(1_790_000_000_000);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const BUDGET: Duration = Duration::from_secs(10);

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Really checks signatures, and counts how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Counting {
    pub(super) records: Rc<Cell<usize>>,
    pub(super) traces: Rc<Cell<usize>>,
}

impl Verifier for Counting {
    fn verify_record(&self, record: UnverifiedRecord) -> Result<SignedRecord, InvalidRecord> {
        self.records.set(self.records.get() + 1);
        Signatures.verify_record(record)
    }

    fn verify_trace(&self, trace: &Trace) -> Result<(), InvalidTrace> {
        self.traces.set(self.traces.get() + 1);
        Signatures.verify_trace(trace)
    }
}

/// An engine with its clock, and what it has asked for.
pub(super) struct Harness {
    pub(super) engine: Engine<Counting>,
    pub(super) now: Now,
    pub(super) verified: Counting,
    /// What is on disk.
    pub(super) persisted: u64,
    pub(super) asked_to_persist: u64,
    /// Nothing more gets there.
    pub(super) disk_hangs: bool,
    /// Taken from the engine and not yet shown to the test.
    kept: Vec<Action>,
    signed: u64,
    /// Whether the other ends of streams send no heartbeats.
    pub(super) silence: bool,
    /// Streams whose other end does not take what is pushed.
    pub(super) stalled: BTreeSet<StreamId>,
}

impl Harness {
    /// A node with these upstreams that answers requests and does nothing by itself.
    pub(super) fn new(upstreams: &[&str]) -> Self {
        Self::with(upstreams, |config| config.refresh = false)
    }

    pub(super) fn with(upstreams: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        Self::with_identity(Identity::generate(), 0, upstreams, change)
    }

    pub(super) fn with_identity(
        identity: Identity,
        last_seq: u64,
        upstreams: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let now = Now { mono: seconds(1), unix: EPOCH };
        let mut config = Config::new("me", [7; 32]);
        change(&mut config);
        let origin = Origin {
            identity,
            last_seq,
            addresses: Vec::new(),
            grpc_url: None,
            membership: Membership::default(),
        };
        let verified = Counting::default();
        let mut engine = Engine::new(now, config, origin, verified.clone());
        engine.set_upstreams(now, configured(upstreams));
        let mut harness = Self {
            engine,
            now,
            verified,
            persisted: last_seq,
            asked_to_persist: last_seq,
            disk_hangs: false,
            kept: Vec::new(),
            signed: 0,
            silence: false,
            stalled: BTreeSet::new(),
        };
        let _start = harness.actions();
        harness.signed = harness.engine.counters().signed;
        harness
    }

    pub(super) fn me(&self) -> PeerId {
        self.engine.me()
    }

    /// Takes the actions as a node does. Our own record goes nowhere before its `seq` is on disk.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        let mut all = std::mem::take(&mut self.kept);
        loop {
            let actions = self.engine.take_actions();
            if actions.is_empty() {
                return all;
            }
            for action in &actions {
                if let Action::PersistSeq { seq } = action {
                    assert!(*seq > self.asked_to_persist, "{seq} after {}", self.asked_to_persist);
                    self.asked_to_persist = *seq;
                }
                for record in records_in(action) {
                    self.assert_persisted(record);
                }
                if let Action::Push { stream, .. } = action
                    && !self.stalled.contains(stream)
                {
                    self.engine.on_stream_taken(*stream);
                }
            }
            all.extend(actions);
            if !self.disk_hangs {
                self.persisted = self.asked_to_persist;
                self.engine.on_seq_persisted(self.now, self.persisted);
            }
        }
    }

    /// Lets the disk do what it was asked to; other actions stay for the next look.
    pub(super) fn persist(&mut self) {
        self.kept = self.actions();
    }

    /// How often our own record was signed since this was last asked.
    pub(super) fn signings(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.signed, self.engine.counters().signed);
        self.signed - before
    }

    /// The same after `act`.
    pub(super) fn signings_in<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> u64 {
        act(self);
        self.signings()
    }

    fn assert_persisted(&self, record: &SignedRecord) {
        let record = record.record();
        if record.peer_id == self.me() {
            let waited = self.disk_hangs && self.engine.counters().seqs_unpersisted > 0;
            assert!(waited || record.seq <= self.persisted, "seq {} is not on disk", record.seq);
        }
    }

    /// Lets time pass, without the engine's timer.
    pub(super) fn skip(&mut self, duration: Duration) {
        self.now.mono += duration;
        self.now.unix = self.now.unix.saturating_add(duration);
    }

    /// Lets time pass and runs the timer whenever the engine wants it.
    pub(super) fn run(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.now.mono + duration;
        let mut actions = self.actions();
        for turn in 0.. {
            assert!(turn < 100_000, "the timer never rests");
            let due = self.engine.next_timer(self.now).filter(|due| *due <= end);
            let Some(due) = due else { break };
            self.skip(due.saturating_sub(self.now.mono));
            if !self.silence {
                self.engine.all_are_heard(self.now);
            }
            self.engine.on_timer(self.now);
            actions.extend(self.actions());
        }
        self.skip(end - self.now.mono);
        actions
    }

    pub(super) fn request(
        &mut self,
        caller: Option<PeerId>,
        request: Request,
    ) -> Result<Disposition, InvalidTrace> {
        self.request_within(caller, request, BUDGET)
    }

    pub(super) fn request_within(
        &mut self,
        caller: Option<PeerId>,
        request: Request,
        budget: Duration,
    ) -> Result<Disposition, InvalidTrace> {
        let result = self.engine.on_request(self.now, caller, request, Admission::Full, budget);
        if let Ok(Disposition::Answered(answer)) = &result {
            answer.records.iter().for_each(|record| self.assert_persisted(record));
        }
        result
    }

    /// The answer to a request that must not wait.
    pub(super) fn answered(&mut self, caller: Option<PeerId>, request: Request) -> Answer {
        match self.request(caller, request) {
            Ok(Disposition::Answered(answer)) => *answer,
            other => panic!("not answered at once: {other:?}"),
        }
    }

    /// The calls that a request leads to.
    pub(super) fn forwarded(
        &mut self,
        caller: Option<PeerId>,
        request: Request,
    ) -> (InboundId, Vec<Call>) {
        match self.request(caller, request) {
            Ok(Disposition::Pending(inbound)) => (inbound, calls(self.actions())),
            other => panic!("not forwarded: {other:?}"),
        }
    }

    pub(super) fn call_done(&mut self, call: CallId, from: &Identity, records: &[SignedRecord]) {
        let answer = remote(from, records);
        self.engine.on_call_done(self.now, call, Ok(answer), true);
    }

    pub(super) fn call_failed(&mut self, call: CallId) {
        self.engine.on_call_done(self.now, call, Err(CallFailure::new("refused")), false);
    }

    /// `peer` watches us and shows its record.
    pub(super) fn watcher(&mut self, peer: &Identity, record: &SignedRecord) -> StreamId {
        let record = Some(unverified(record));
        let opened = self.engine.on_watcher(self.now, Some(peer.peer_id()), record, None);
        opened.expect("there is room")
    }

    /// Runs until a stream to an upstream is wanted, and opens it to `peer`.
    pub(super) fn open_stream(&mut self, peer: &Identity) -> StreamId {
        let actions = self.run(seconds(1));
        let (stream, _) = *opened(&actions).last().expect("a stream is wanted");
        self.engine.on_stream_opened(self.now, stream, peer.peer_id(), true);
        stream
    }

    pub(super) fn stream_records(
        &mut self,
        stream: StreamId,
        records: &[SignedRecord],
        complete: bool,
    ) {
        let records = records.iter().map(unverified).collect();
        let batch = Batch { records, snapshot_complete: complete, ..Batch::default() };
        self.engine.on_stream_records(self.now, stream, batch, 0);
    }

    pub(super) fn known(&self) -> BTreeSet<(PeerId, u64)> {
        let peers = self.engine.peers(self.now);
        let known = peers.iter().map(|peer| peer.record.record());
        known.map(|record| (record.peer_id, record.seq)).collect()
    }

    pub(super) fn own_seq(&self) -> u64 {
        self.engine.own_record().expect("it is signed").record().seq
    }
}

/// An [`Action::Call`].
#[derive(Debug)]
pub(super) struct Call {
    pub(super) call: CallId,
    pub(super) request: OutboundRequest,
    pub(super) timeout: Duration,
}

pub(super) fn calls(actions: Vec<Action>) -> Vec<Call> {
    let calls = actions.into_iter().filter_map(|action| match action {
        Action::Call { call, request, timeout, .. } => {
            Some(Call { call, request: *request, timeout })
        }
        _ => None,
    });
    calls.collect()
}

pub(super) fn answers(actions: Vec<Action>) -> Vec<(InboundId, Answer)> {
    let answers = actions.into_iter().filter_map(|action| match action {
        Action::Answer { inbound, answer } => Some((inbound, answer)),
        _ => None,
    });
    answers.collect()
}

/// The streams that are to be opened, each with the `seq` of the record that goes with it.
pub(super) fn opened(actions: &[Action]) -> Vec<(StreamId, u64)> {
    let opened = actions.iter().filter_map(|action| match action {
        Action::OpenStream { stream, caller_record, .. } => {
            Some((*stream, caller_record.record().seq))
        }
        _ => None,
    });
    opened.collect()
}

/// What was pushed on `stream`.
pub(super) fn pushed(actions: &[Action], stream: StreamId) -> Vec<(PeerId, u64)> {
    let pushes = actions.iter().filter_map(|action| match action {
        Action::Push { stream: on, batch } if *on == stream => Some(&batch.records),
        _ => None,
    });
    pushes.flatten().map(|record| (record.record().peer_id, record.record().seq)).collect()
}

fn records_in(action: &Action) -> Vec<&SignedRecord> {
    match action {
        Action::Answer { answer, .. } => answer.records.iter().collect(),
        Action::Call { request, .. } => request.caller_record.iter().collect(),
        Action::OpenStream { caller_record, .. } => vec![caller_record],
        Action::Push { batch, .. } => batch.records.iter().collect(),
        Action::PersistSeq { .. }
        | Action::Probe { .. }
        | Action::CloseStream { .. }
        | Action::PersistTargets { .. }
        | Action::BookChanged
        | Action::Ring(_)
        | Action::Notice(_) => Vec::new(),
    }
}

pub(super) fn configured(upstreams: &[&str]) -> Vec<(String, UnixMillis)> {
    upstreams.iter().map(|upstream| ((*upstream).to_owned(), UnixMillis::new(1))).collect()
}

/// A record of `identity`, issued at the epoch, valid for half an hour. Each version says something else.
pub(super) fn record(identity: &Identity, seq: u64) -> SignedRecord {
    record_with(identity, seq, |record| record.version = seq.to_string())
}

pub(super) fn record_with(
    identity: &Identity,
    seq: u64,
    change: impl FnOnce(&mut NodeRecord),
) -> SignedRecord {
    let mut record = NodeRecord {
        seq,
        issued_at: EPOCH,
        ttl: seconds(30 * 60),
        ..NodeRecord::new(identity.peer_id(), "peer")
    };
    change(&mut record);
    SignedRecord::sign(identity, record).expect("a valid record")
}

pub(super) fn join(address: &str, targets: &[PeerId]) -> Join {
    let targets = targets.iter().copied().collect();
    Join { address: address.to_owned(), targets, since: UnixMillis::new(1) }
}

pub(super) fn unverified(record: &SignedRecord) -> UnverifiedRecord {
    UnverifiedRecord::decode(record.envelope().clone(), record.membership_tag().clone())
        .expect("it can be read")
}

pub(super) fn remote(from: &Identity, records: &[SignedRecord]) -> RemoteAnswer {
    RemoteAnswer {
        responder: from.peer_id(),
        records: records.iter().map(unverified).collect(),
        refused: 0,
        incomplete: BTreeSet::new(),
        retry_after: None,
    }
}

/// A trace that `origin` starts at the epoch.
pub(super) fn trace(origin: &Identity, id: u8) -> Trace {
    Trace::start(origin, RequestId::new([id; 16]), EPOCH, 64)
}

/// A recursive request, as a plain client sends it or with a trace.
pub(super) fn recursive(trace: Option<Trace>) -> Request {
    Request { scope: Scope::Recursive, max_peers: 0, trace, caller_record: None }
}

pub(super) fn local() -> Request {
    Request { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None }
}
