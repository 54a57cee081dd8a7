//! The witness of a ring: its shortest circuit.

use crate::{budget::Budget, graph::reversed};

/// The shortest circuit, from its smallest node; among equally short ones the lexicographically least. Empty if there is
/// none. Time: one breadth-first search per node, cut off at the best length so far.
///
/// When the budget is over it is the shortest through the nodes searched from so far. In a strongly connected graph the
/// search from the first node, which is always finished, finds one.
pub(crate) fn shortest_circuit(successors: &[Vec<usize>], budget: &mut Budget) -> Vec<usize> {
    let n = successors.len();
    let mut best: Option<(usize, usize)> = None; // (length, smallest node)
    let mut seen_from = vec![usize::MAX; n];
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
                budget.spend(1 + successors[node].len());
                if budget.is_over() && best.is_some() {
                    break 'search;
                }
                for &to in &successors[node] {
                    if to == start {
                        best = Some((length, start));
                        break 'search;
                    }
                    if to > start && seen_from[to] != start {
                        seen_from[to] = start;
                        next_level.push(to);
                    }
                }
            }
            std::mem::swap(&mut level, &mut next_level);
            length += 1;
        }
    }
    best.map_or_else(Vec::new, |(length, start)| least_walk(successors, start, length))
}

/// The lexicographically least circuit of `length` from `start` through larger nodes, which is known to exist.
fn least_walk(successors: &[Vec<usize>], start: usize, length: usize) -> Vec<usize> {
    let predecessors = reversed(successors);
    let mut distance = vec![usize::MAX; successors.len()];
    distance[start] = 0;
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &from in &predecessors[node] {
            if from > start && distance[from] == usize::MAX {
                distance[from] = distance[node] + 1;
                queue.push_back(from);
            }
        }
    }
    let mut walk = vec![start];
    let mut node = start;
    for left in (1..length).rev() {
        let Some(&next) = successors[node].iter().find(|&&to| to > start && distance[to] == left)
        else {
            break;
        };
        walk.push(next);
        node = next;
    }
    walk
}
