//! The cycle detector against libraries that keep a topological order while edges are put in.
//!
//! The graph is random: each node has joins to three nodes picked at random. About 94 in 100 nodes are then on one ring, the
//! worst for all: a cluster has few rings, small ones. Ids are as long as peer ids.
//!
//! - *detection*: one node's joins change, then which rings there are with members and witness. Strongly connected
//!   components and shortest circuits, without ring ids and cuts. Bringing the change in counts.
//! - *analysis*: the same with ring ids and cuts.
//! - *whole*: the graph is built from nothing, then the same as an analysis.
//! - the libraries: all joins put in one by one, into a new graph. They refuse a join that would close a circuit and
//!   say no more of it, so they find neither who is on it nor all of them. Their nodes are numbers: no id is hashed.

use std::collections::BTreeSet;
use std::hint::black_box;

use anyhow::{Context as _, Result};
use incremental_topo::IncrementalTopo;
use petgraph::acyclic::Acyclic;
use petgraph::data::Build as _;
use petgraph::graph::DiGraph;
use unring_cycle_detector::{Join, JoinGraph};

use crate::chart::{Axis, Chart, Scale, lines};
use crate::fit::exponent;
use crate::{Contender, Report, Run};

const JOINS: usize = 3;

const CONTENDERS: [&str; 5] =
    ["detection", "analysis", "whole", "petgraph-acyclic", "incremental-topo"];

/// Measures.
pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("cycle");
    let sizes: &[usize] = run.pick(&[10, 100, 1000, 10_000], &[10, 100, 1000]);
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> =
        CONTENDERS.iter().map(|name| (*name, Vec::new())).collect();
    for &nodes in sizes {
        let edges = random_joins(nodes);
        // To put 30 000 joins in takes the libraries seconds, and there are ten samples of each in a round.
        let rounds = if nodes > 1000 { 2 } else { 9 };
        let measured = run.rounds(&format!("cycle-{nodes}"), contenders(&edges)?, rounds)?;
        for (name, curve) in &mut curves {
            let us = measured.median(name)? / 1000.0;
            report.value(&format!("{}_{nodes}", key(name)), us, "us");
            curve.push((number(nodes), us));
        }
        for other in ["petgraph-acyclic", "incremental-topo"] {
            let ratio = measured.ratio(other, "whole")?.ratio;
            report.value(&format!("{}_{nodes}_to_whole_ratio", key(other)), ratio, "");
        }
        if nodes == 1000 {
            let us = measured.median("detection")? / 1000.0;
            let what = "detection at 1000 nodes with 3 joins each";
            report.target(what, "< 150 us", format!("{us:.1} us"), us < 150.0);
        }
    }
    for (name, curve) in &curves {
        let exponent = exponent(curve).context("no curve to fit")?;
        report.value(&format!("{}_exponent", key(name)), exponent, "");
    }
    let chart = Chart {
        name: "cycle",
        title: "Rings in a random graph with 3 joins a node",
        x: Axis { label: "nodes", scale: Scale::Log },
        y: Axis { label: "time (us)", scale: Scale::Log },
    };
    lines(run, &chart, &curves)?;
    Ok(report)
}

fn contenders(edges: &[[usize; JOINS]]) -> Result<Vec<Contender<'_>>> {
    let graph = whole(edges);
    let (mut detected, mut analysed) = (graph.clone(), graph);
    let (mut turn, mut other_turn) = (0, 0);
    let mut change = move |graph: &mut JoinGraph<String>| {
        turn += 1;
        change_one(graph, edges, turn)
    };
    let mut other_change = move |graph: &mut JoinGraph<String>| {
        other_turn += 1;
        change_one(graph, edges, other_turn)
    };
    let refused = (in_petgraph(edges), in_incremental_topo(edges)?);
    anyhow::ensure!(refused.0 > 0 && refused.1 > 0, "a random graph has circuits");
    Ok(vec![
        Contender::new(CONTENDERS[0], move || {
            change(&mut detected);
            black_box(detected.detect().len())
        }),
        Contender::new(CONTENDERS[1], move || {
            other_change(&mut analysed);
            analysed.rings().len()
        }),
        Contender::new(CONTENDERS[2], || whole(edges).rings().len()),
        Contender::new(CONTENDERS[3], || in_petgraph(edges)),
        Contender::new(CONTENDERS[4], || in_incremental_topo(edges).unwrap_or(0)),
    ])
}

/// Three targets of each node, the same in each run: never the node itself.
fn random_joins(nodes: usize) -> Vec<[usize; JOINS]> {
    // SplitMix64 (Steele, Lea and Flood 2014).
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(0) % bound
    };
    (0..nodes).map(|node| std::array::from_fn(|_| (node + 1 + below(nodes - 1)) % nodes)).collect()
}

/// As long as a peer id.
fn id(node: usize) -> String {
    format!("12D3KooWBu3fmjZgSmLkQ2p1n8wXq6QkXoXgq4Y1vJ7s{node:08}")
}

/// `turn` decides when the joins were configured, and with it what to cut.
fn joins(node: usize, targets: &[usize; JOINS], turn: usize) -> Vec<Join<String>> {
    let join = |(at, to): (usize, &usize)| Join {
        address: format!("https://server{to}:6443"),
        targets: BTreeSet::from([id(*to)]),
        since_unix_ms: u64::try_from(node * 7 + at * 13 + turn).unwrap_or(0),
    };
    targets.iter().enumerate().map(join).collect()
}

fn whole(edges: &[[usize; JOINS]]) -> JoinGraph<String> {
    let mut graph = JoinGraph::new();
    for (node, targets) in edges.iter().enumerate() {
        graph.set_joins(id(node), joins(node, targets, 0));
    }
    graph
}

fn change_one(graph: &mut JoinGraph<String>, edges: &[[usize; JOINS]], turn: usize) {
    let node = turn % edges.len();
    graph.set_joins(id(node), joins(node, &edges[node], turn));
}

/// How many joins were refused.
fn in_petgraph(edges: &[[usize; JOINS]]) -> usize {
    let mut graph = Acyclic::<DiGraph<(), ()>>::new();
    let nodes: Vec<_> = edges.iter().map(|_| graph.add_node(())).collect();
    let mut refused = 0;
    for (from, targets) in edges.iter().enumerate() {
        for &to in targets {
            refused += usize::from(graph.try_add_edge(nodes[from], nodes[to], ()).is_err());
        }
    }
    refused
}

/// As [`in_petgraph`].
fn in_incremental_topo(edges: &[[usize; JOINS]]) -> Result<usize> {
    let mut graph = IncrementalTopo::new();
    let nodes: Vec<_> = edges.iter().map(|_| graph.add_node()).collect();
    let mut refused = 0;
    for (from, targets) in edges.iter().enumerate() {
        for &to in targets {
            refused += usize::from(graph.add_dependency(nodes[from], nodes[to]).is_err());
        }
    }
    anyhow::ensure!(graph.len() == edges.len(), "all nodes are in the graph");
    Ok(refused)
}

fn key(name: &str) -> String {
    name.replace('-', "_")
}

#[expect(clippy::cast_precision_loss, reason = "at most 10 000 nodes")]
fn number(nodes: usize) -> f64 {
    nodes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_contenders_see_that_there_are_circuits() {
        let edges = random_joins(50);
        assert!(edges.iter().enumerate().all(|(node, targets)| !targets.contains(&node)));
        assert!(whole(&edges).detect().iter().any(|ring| ring.members.len() > 40));
        assert!(in_petgraph(&edges) > 0 && in_incremental_topo(&edges).unwrap() > 0);
    }
}
