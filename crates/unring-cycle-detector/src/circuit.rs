//! The witness of a ring: its shortest circuit.

use std::collections::VecDeque;

use crate::{
    budget::Budget,
    graph::{Csr, NOWHERE, narrow},
};

/// The shortest circuit, from its smallest node; among equally short ones the lexicographically least. Empty if there is
/// none. Time: one breadth-first search per node, cut off at the best length so far.
///
/// When the budget is over it is the shortest through the nodes searched from so far. In a strongly connected graph the
/// search from the first node, which is always finished, finds one.
pub(crate) fn shortest_circuit(graph: &Csr, budget: &mut Budget) -> Vec<u32> {
    let n = narrow(graph.len());
    let mut best: Option<(usize, u32)> = None; // (length, smallest node)
    let mut seen_from = vec![NOWHERE; graph.len()];
    let mut level = Vec::new();
    let mut next_level = Vec::new();
    for start in 0..n {
        if best.is_some_and(|(length, _)| length == 2 || budget.is_over()) {
            break;
        }
        level.clear();
        level.push(start);
        let mut length = 1;
        // Only nodes above `start`: circuits through smaller ones have been found. Ascending starts, so that the first one
        // of the least length is the smallest.
        'search: while !level.is_empty() && best.is_none_or(|(least, _)| length < least) {
            next_level.clear();
            for &node in &level {
                let successors = graph.of(node as usize);
                budget.spend(1 + successors.len());
                if budget.is_over() && best.is_some() {
                    break 'search;
                }
                for &to in successors {
                    if to == start {
                        best = Some((length, start));
                        break 'search;
                    }
                    if to > start && seen_from[to as usize] != start {
                        seen_from[to as usize] = start;
                        next_level.push(to);
                    }
                }
            }
            std::mem::swap(&mut level, &mut next_level);
            length += 1;
        }
    }
    best.map_or_else(Vec::new, |(length, start)| least_walk(graph, start, length))
}

/// The lexicographically least circuit of `length` from `start` through larger nodes, which is known to exist.
fn least_walk(graph: &Csr, start: u32, length: usize) -> Vec<u32> {
    let predecessors = graph.reversed();
    // Edges from each node to `start`, as far as they matter.
    let mut distance = vec![usize::MAX; graph.len()];
    distance[start as usize] = 0;
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let further = distance[node as usize] + 1;
        if further == length {
            break;
        }
        for &from in predecessors.of(node as usize) {
            if from > start && distance[from as usize] == usize::MAX {
                distance[from as usize] = further;
                queue.push_back(from);
            }
        }
    }
    let mut walk = vec![start];
    let mut node = start;
    for left in (1..length).rev() {
        let mut onward = graph.of(node as usize).iter();
        let Some(&next) = onward.find(|&&to| to > start && distance[to as usize] == left) else {
            break;
        };
        walk.push(next);
        node = next;
    }
    walk
}
