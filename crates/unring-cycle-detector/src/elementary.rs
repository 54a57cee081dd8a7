//! All circuits of a ring, up to a cap.

use std::collections::BTreeSet;

use crate::graph::{Csr, components, narrow};

/// At most `max` elementary circuits (no node twice), each from its smallest node, ordered by nodes; and whether there are
/// more. Johnson 1975, "Finding all the elementary circuits of a directed graph", with its recursion on the heap: the time
/// between two circuits is linear in the graph, although a ring of n nodes can have more than 2^n of them.
pub(crate) fn elementary_circuits(graph: &Csr, max: usize) -> (Vec<Vec<u32>>, bool) {
    let mut found = Vec::new();
    let mut least = 0;
    loop {
        // Every circuit through `least` has been found: go on with the smallest node that is in one above it.
        let above: Vec<u32> = (least..narrow(graph.len())).collect();
        let Some(part) = components(&graph.induced(&above)).into_iter().min() else {
            return (found, false);
        };
        let nodes: Vec<u32> = part.into_iter().map(|at| above[at as usize]).collect();
        if !search(&graph.induced(&nodes), &nodes, max, &mut found) {
            return (found, true);
        }
        least = nodes[0] + 1;
    }
}

/// A node on the way, its next edge, and whether a circuit was closed behind it.
struct Step {
    node: usize,
    edge: usize,
    closed: bool,
}

/// All circuits through node 0 of a strongly connected graph; `false` if there was one too many.
fn search(graph: &Csr, names: &[u32], max: usize, found: &mut Vec<Vec<u32>>) -> bool {
    let mut blocked = vec![false; graph.len()];
    let mut blocked_by: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); graph.len()];
    let mut way = vec![Step { node: 0, edge: 0, closed: false }];
    blocked[0] = true;
    while let Some(step) = way.last_mut() {
        if let Some(&next) = graph.of(step.node).get(step.edge) {
            step.edge += 1;
            let next = next as usize;
            if next == 0 {
                step.closed = true;
                if found.len() == max {
                    return false;
                }
                found.push(way.iter().map(|step| names[step.node]).collect());
            } else if !blocked[next] {
                blocked[next] = true;
                way.push(Step { node: next, edge: 0, closed: false });
            }
            continue;
        }
        let Step { node, closed, .. } = *step;
        way.pop();
        if closed {
            unblock(node, &mut blocked, &mut blocked_by);
            if let Some(before) = way.last_mut() {
                before.closed = true;
            }
        } else {
            for &next in graph.of(node) {
                blocked_by[next as usize].insert(node);
            }
        }
    }
    true
}

fn unblock(node: usize, blocked: &mut [bool], blocked_by: &mut [BTreeSet<usize>]) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if std::mem::take(&mut blocked[node]) {
            open.extend(std::mem::take(&mut blocked_by[node]));
        }
    }
}
