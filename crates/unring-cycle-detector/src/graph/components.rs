//! Strongly connected components.

use super::csr::{Csr, NOWHERE, narrow};

/// The strongly connected components of more than one node, each ascending (Tarjan 1972, "Depth-first search and linear
/// graph algorithms"; the variant of Pearce 2016, "A space-efficient algorithm for finding strongly connected components",
/// which keeps one number per node: the visit while a component is open, [`NOWHERE`] once it is closed).
///
/// The stack is on the heap: joins of other nodes decide how deep the search goes.
pub(crate) fn components(graph: &Csr) -> Vec<Vec<u32>> {
    let n = graph.len();
    // 0: not visited.
    let mut low = vec![0_u32; n];
    // Nodes of open components that the search has left.
    let mut open: Vec<u32> = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut visits = 0;
    let mut found = Vec::new();
    for root in 0..n {
        if low[root] != 0 {
            continue;
        }
        calls.push(Call::new(graph, root, &mut low, &mut visits));
        while let Some(call) = calls.last_mut() {
            let mut descend = None;
            while call.edge < call.end {
                let to = graph.successor(call.edge);
                if low[to] == 0 {
                    // Looked at again after the return: then its number is known.
                    descend = Some(to);
                    break;
                }
                call.edge += 1;
                // A closed one has the greatest number and lowers nothing.
                call.low = call.low.min(low[to]);
            }
            if let Some(to) = descend {
                calls.push(Call::new(graph, to, &mut low, &mut visits));
                continue;
            }
            let Call { node, low: reached, .. } = *call;
            calls.pop();
            if reached < low[node] {
                low[node] = reached;
                open.push(narrow(node));
                continue;
            }
            // The root of a component: the open nodes visited after it are its members.
            let first = open
                .iter()
                .rposition(|&member| low[member as usize] < reached)
                .map_or(0, |before| before + 1);
            if first < open.len() {
                let mut members = open.split_off(first);
                for &member in &members {
                    low[member as usize] = NOWHERE;
                }
                members.push(narrow(node));
                members.sort_unstable();
                found.push(members);
            }
            low[node] = NOWHERE;
        }
    }
    found
}

struct Call {
    node: usize,
    /// The next edge to look at, and the end of the node's edges.
    edge: u32,
    end: u32,
    /// The first visited node of an open component that is reached from here.
    low: u32,
}

impl Call {
    fn new(graph: &Csr, node: usize, low: &mut [u32], visits: &mut u32) -> Self {
        *visits += 1;
        low[node] = *visits;
        let edges = graph.range(node);
        Call { node, edge: edges.start, end: edges.end, low: *visits }
    }
}
