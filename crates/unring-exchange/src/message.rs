//! Requests and answers in the types of the domain. The wire form is the adapter's business.

use std::collections::BTreeSet;
use std::time::Duration;

use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

use crate::{Records, RequestId, Trace};

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Answer from the book.
    Local,
    /// Ask the upstreams too.
    Recursive,
}

/// A request for peers, as it was received.
#[derive(Clone, Debug)]
pub struct Request {
    /// How far it may go.
    pub scope: Scope,
    /// How many records the caller wants beside those that others join to; 0 leaves it to the receiver.
    pub max_peers: usize,
    /// Where it comes from; a plain client sends none, which makes the receiver the origin.
    pub trace: Option<Trace>,
    /// The caller's own record.
    pub caller_record: Option<UnverifiedRecord>,
}

/// A request that this node sends to an upstream.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    /// How far it may go.
    pub scope: Scope,
    /// How many records we want beside those that others join to; 0 leaves it to the upstream.
    pub max_peers: usize,
    /// The way so far, this node included; none for a local request.
    pub trace: Option<Trace>,
    /// Our own record.
    pub caller_record: Option<SignedRecord>,
}

/// Why an answer holds less than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Incomplete {
    /// The request came back to a node that it had passed: a ring.
    Loop,
    /// The node had forwarded this request before.
    Duplicate,
    /// The hop limit was used up.
    HopLimit,
    /// No slot was free towards an upstream.
    Busy,
    /// The CPU budget was used up: answered from the book instead.
    Degraded,
    /// The dedup store was full, in total or for this caller.
    DedupFull,
    /// The request's time is too far from the receiver's clock.
    ClockSkew,
    /// An upstream failed, was backing off or did not answer in time.
    UpstreamFailed,
    /// Too little time was left to ask further.
    Deadline,
}

impl Incomplete {
    /// Whether records may be missing for this reason. A loop or a duplicate takes nothing away: the node where the
    /// request was cut off answers on the way that came first.
    #[must_use]
    pub fn loses_records(self) -> bool {
        !matches!(self, Self::Loop | Self::Duplicate)
    }
}

/// What became of one upstream that a request was forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamOutcome {
    /// The address as configured.
    pub address: String,
    /// Who answered.
    pub peer: Option<PeerId>,
    /// Records in its answer.
    pub records: usize,
    /// What went wrong, for people.
    pub error: Option<String>,
}

/// This node's answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who answers.
    pub responder: PeerId,
    /// The records: the asker's own, ours, those that others join to, then the others.
    pub records: Records,
    /// Why it may hold less than was asked for.
    pub incomplete: BTreeSet<Incomplete>,
    /// What became of each upstream; empty for a local answer.
    pub upstreams: Vec<UpstreamOutcome>,
    /// The request's name, where it had one.
    pub request_id: Option<RequestId>,
    /// After how long asking again is worth it.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Whether every node that can be reached had its say.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.incomplete.iter().any(|reason| reason.loses_records())
    }
}

/// An upstream's answer, as it was received.
#[derive(Clone, Debug)]
pub struct RemoteAnswer {
    /// Who answered, as the transport authenticated it.
    pub responder: PeerId,
    /// Its records; a broken one is counted in `refused` and does not cost the others.
    pub records: Vec<UnverifiedRecord>,
    /// Records that could not be read.
    pub refused: usize,
    /// Why it may hold less than was asked for.
    pub incomplete: BTreeSet<Incomplete>,
    /// After how long asking again is worth it.
    pub retry_after: Option<Duration>,
}
