//! Every way to a first peer in one form, for status page and metrics: the sources that are asked here, the upstreams that
//! the engine asks, the book, and the node itself.

use std::time::Duration;

use unring_bootstrap::{Activity, Kind, Outcome, SourceView};
use unring_exchange::{LastResult, Link, Now, UpstreamView};

use crate::keeper::View;
use crate::node::Parts;

/// One way to a first peer.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) last: Option<Outcome>,
    /// That it told last.
    pub(crate) addresses: Option<usize>,
    /// Of these.
    pub(crate) reached: Option<usize>,
    pub(crate) error: Option<String>,
    pub(crate) ago: Option<Duration>,
    pub(crate) next: Option<Duration>,
    /// Attempts that ended, by how.
    pub(crate) ended: Vec<(Outcome, u64)>,
}

/// All of them, in the order of their kinds.
pub(crate) fn rows(parts: &Parts) -> Vec<Row> {
    let disk = parts.exchange.disk();
    let (now, upstreams) = parts.exchange.read(|engine, now| (now, engine.upstreams(now)));
    let mut rows: Vec<_> =
        parts.sources.views().into_iter().map(|view| asked(view, now.mono)).collect();
    rows.extend(upstreams.into_iter().map(|view| upstream(view, now)));
    rows.push(book(&disk, now.mono));
    rows.push(own(parts, now.mono));
    rows
}

fn asked(view: SourceView, now: Duration) -> Row {
    let (state, next) = match view.activity {
        Activity::Waiting { due } => ("waiting", Some(due.saturating_sub(now))),
        Activity::Asking => ("asking", None),
        Activity::Dialling => ("dialling", None),
    };
    let last = view.last.as_ref();
    Row {
        kind: view.kind,
        name: view.name,
        state,
        last: last.map(|last| last.outcome),
        addresses: last.map(|last| last.addresses),
        reached: last.map(|last| last.reached),
        error: last.and_then(|last| last.error.clone()),
        ago: last.map(|last| now.saturating_sub(last.at)),
        next,
        ended: Outcome::ALL.map(|outcome| (outcome, view.counts.of(outcome))).to_vec(),
    }
}

fn upstream(view: UpstreamView, now: Now) -> Row {
    let (state, next) = match view.link {
        Link::Waiting { until } => ("waiting", Some(until.saturating_sub(now.mono))),
        Link::Opening(_) => ("asking", None),
        Link::Streaming(_) => ("streaming", None),
        Link::Polling { next } => ("polling", Some(next.saturating_sub(now.mono))),
    };
    let (ago, last, error) = match view.last {
        None => (None, None, None),
        Some((ago, LastResult::Ok)) => (Some(ago), Some(Outcome::Ok), None),
        Some((ago, LastResult::Failed(why))) => (Some(ago), Some(Outcome::Failed), Some(why)),
    };
    Row {
        kind: Kind::Grpc,
        name: view.address,
        state,
        last,
        // The engine tells peers and not addresses.
        addresses: last.is_some().then_some(view.targets.len()),
        reached: None,
        error,
        ago,
        next,
        ended: vec![(Outcome::Ok, view.answers), (Outcome::Failed, view.failures)],
    }
}

/// It is read once, at the start.
fn book(disk: &View, now: Duration) -> Row {
    let (outcome, error) = match (&disk.last_error, disk.open, disk.restored.kept) {
        (_, _, 1..) => (Outcome::Ok, None),
        (Some((why, _)), false, _) => (Outcome::Failed, Some(why.clone())),
        _ => (Outcome::Empty, None),
    };
    once(Kind::Book, "unring.redb", outcome, disk.restored.kept, error, now)
}

fn own(parts: &Parts, now: Duration) -> Row {
    let addresses = parts.advertised.libp2p.len();
    let outcome = if addresses == 0 { Outcome::Empty } else { Outcome::Ok };
    once(Kind::Own, "this node", outcome, addresses, None, now)
}

fn once(
    kind: Kind,
    name: &str,
    outcome: Outcome,
    addresses: usize,
    error: Option<String>,
    now: Duration,
) -> Row {
    Row {
        kind,
        name: name.to_owned(),
        state: "done",
        last: Some(outcome),
        addresses: Some(addresses),
        reached: None,
        error,
        ago: Some(now),
        next: None,
        ended: vec![(outcome, 1)],
    }
}
