//! `growth`: what nodes say to each other as there are more of them, counted in virtual time.
//!
//! Counted is what one cause costs, in messages, against the joins that there are:
//!
//! - a *request*: one recursive request to a network that has converged. Bound: one message per join;
//! - a *version*: one node signs its record anew. Bound: one push per join and direction;
//! - the *steady state*: all that a node sends in a third of the ttl, in which each node renews its record once or twice.
//!
//! Above 100 nodes the requests of a cold start are answered with nothing, so that the time to converge is that of streams
//! alone there, and its curve is of two parts; from 3000 nodes on books are too small for all records.
//!
//! Not measured against joins is the sum over all causes: N records that each cross E joins are N times E pushes, and N
//! nodes that start at once with a request each are as many messages. No protocol that tells each node of each is below
//! N times N. It shows in the records of the steady state: a node hears of the renewal of each other node. The messages
//! that carry them are counted together with heartbeats, whose place they take.

mod network;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use unring_sim::Shape;

use self::network::{Found, Network};
use crate::chart::{self, Axis, Chart, Scale};
use crate::fit::exponent;
use crate::{Report, Run};

/// The fitted exponent of messages in joins.
const LINEAR: f64 = 1.05;

/// The fitted exponent of what is to stay the same.
const CONSTANT: f64 = 0.05;

/// A join on a ring is looked at every 5 minutes, with jitter: twice in the 10 minutes that are counted.
const LOOKS_PER_JOIN: f64 = 2.5;

/// Room for all nodes there are.
const WHOLE_BOOK: usize = 4096;

/// A record takes up to 1 kB in an engine, so that 10 000 engines with a [`WHOLE_BOOK`] do not fit into a machine. With
/// this one a version reaches only the nodes that have room for it, so that versions are not fitted there.
const SMALL_BOOK: usize = 128;

const SHAPES: [(&str, Shape); 4] = [
    ("ring", Shape::Ring),
    ("tree", Shape::Tree),
    ("mesh3", Shape::Torus),
    ("random", Shape::Random(1)),
];

/// What is fitted and drawn: x and y.
type Points = Vec<(f64, f64)>;

pub(crate) fn run(run: &Run) -> Result<Report> {
    let whole: &[usize] = run.pick(&[10, 30, 100, 300, 1000], &[10, 30]);
    let small: &[usize] = run.pick(&[3000, 10_000], &[]);
    let mut report = Report::new("growth");
    let mut charted: BTreeMap<&str, Vec<(&str, Points)>> = BTreeMap::new();
    for (name, shape) in SHAPES {
        let sizes = whole.iter().map(|nodes| (*nodes, WHOLE_BOOK));
        let sizes = sizes.chain(small.iter().map(|nodes| (*nodes, SMALL_BOOK)));
        let mut found = Vec::new();
        for (nodes, book) in sizes {
            let network = Network { shape, nodes, book };
            let one = network.measure().with_context(|| format!("{name} of {nodes}"))?;
            println!("{name} of {nodes}, books of {book}: {}", one.line());
            found.push((network, one));
        }
        for (chart, points) in judge(&mut report, name, &found) {
            charted.entry(chart).or_default().push((name, points));
        }
    }
    let x = Axis { label: "nodes", scale: Scale::Log };
    for (name, title, label) in [
        ("growth-request", "Messages of one request", "messages"),
        ("growth-convergence", "Time until all nodes know all, from a cold start", "time (s)"),
    ] {
        let y = Axis { label, scale: Scale::Log };
        let series = charted.remove(name).unwrap_or_default();
        chart::lines(run, &Chart { name, title, x, y }, &series)?;
    }
    Ok(report)
}

/// Adds values and targets of one shape; gives back what is drawn.
fn judge(
    report: &mut Report,
    shape: &str,
    found: &[(Network, Found)],
) -> [(&'static str, Points); 2] {
    let nodes = |network: &Network| network.nodes as f64;
    let is_whole = |network: &Network| network.nodes < network.book;
    let all = |y: fn(&Found) -> f64| found.iter().map(move |(_, found)| (found.joins, y(found)));
    let whole = || found.iter().filter(|(network, _)| is_whole(network));

    let requests: Points = all(|found| found.request_messages).collect();
    let per_join = requests.iter().map(|(joins, messages)| messages / joins).fold(0.0, f64::max);
    fitted(report, format!("{shape}: messages of a request in joins"), &requests, LINEAR);
    bounded(report, format!("{shape}: messages of a request per join"), per_join, 1.0);

    let versions: Points = whole().map(|(_, found)| (found.joins, found.version_pushes)).collect();
    let per_join = versions.iter().map(|(joins, pushes)| pushes / joins).fold(0.0, f64::max);
    fitted(report, format!("{shape}: pushes of a version in joins"), &versions, LINEAR);
    bounded(report, format!("{shape}: pushes of a version per join"), per_join, 2.0);

    let requests = |found: &Found| (found.steady.local + found.steady.streams) as f64;
    let asked = found.iter().map(|(_, found)| requests(found) / found.joins).fold(0.0, f64::max);
    let what = format!("{shape}: steady requests per join in 10 min");
    bounded(report, what, asked, LOOKS_PER_JOIN);
    let steady: Points = whole()
        .map(|(network, found)| (nodes(network), found.steady_messages() / found.joins))
        .collect();
    let what = format!("{shape}: steady messages of a join, in nodes");
    fitted(report, what, &steady, CONSTANT);

    for (network, found) in found {
        let key = |what: &str| format!("{shape}_{}_{what}", network.nodes);
        let each = nodes(network);
        report.value(&key("joins"), found.joins, "");
        report.value(&key("book"), network.book as f64, "records");
        report.value(&key("known"), found.known, "records");
        report.value(&key("converged"), found.converged_s, "s");
        report.value(&key("cold_requests_per_node"), found.cold.recursive as f64 / each, "");
        report.value(&key("cold_bytes_per_node"), found.cold.bytes as f64 / each, "bytes");
        report.value(&key("request_messages"), found.request_messages, "");
        report.value(&key("version_pushes"), found.version_pushes, "");
        report.value(&key("steady_requests_per_node"), requests(found) / each, "");
        report.value(&key("steady_heartbeats_per_node"), found.steady.heartbeats as f64 / each, "");
        report.value(&key("steady_pushes_per_node"), found.steady.pushes as f64 / each, "");
        report.value(&key("steady_messages_per_node"), found.steady_messages() / each, "");
        let records = found.steady.pushed_records as f64;
        report.value(&key("steady_records_per_node"), records / each, "");
        report.value(&key("steady_bytes_per_node"), found.steady.bytes as f64 / each, "bytes");
    }
    let converged = whole().map(|(network, found)| (nodes(network), found.converged_s)).collect();
    let asked = found.iter().map(|(network, found)| (nodes(network), found.request_messages));
    [("growth-convergence", converged), ("growth-request", asked.collect())]
}

/// A target for a fitted exponent, with its value.
fn fitted(report: &mut Report, what: String, points: &Points, most: f64) {
    let found = exponent(points);
    let got = found.map_or("nothing to fit".to_owned(), |found| format!("{found:.2}"));
    let ok = found.is_some_and(|found| found <= most);
    report.target(what, format!("exponent <= {most}"), got, ok);
}

fn bounded(report: &mut Report, what: String, got: f64, most: f64) {
    report.target(what, format!("<= {most}"), format!("{got:.2}"), got <= most);
}
