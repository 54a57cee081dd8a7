//! Directed graphs on the numbers `0..n`, and their strongly connected components.

/// For each node its successors, ascending and without repetition. No node is its own successor.
pub(crate) type Adjacency = Vec<Vec<usize>>;

/// The same edges, turned round.
pub(crate) fn reversed(successors: &[Vec<usize>]) -> Adjacency {
    let mut predecessors = vec![Vec::new(); successors.len()];
    for (from, targets) in successors.iter().enumerate() {
        for &to in targets {
            predecessors[to].push(from);
        }
    }
    predecessors
}

/// The part of a graph on `nodes` (ascending), renumbered by position.
pub(crate) fn induced(successors: &[Vec<usize>], nodes: &[usize]) -> Adjacency {
    nodes
        .iter()
        .map(|&node| {
            successors[node].iter().filter_map(|to| nodes.binary_search(to).ok()).collect()
        })
        .collect()
}

const UNVISITED: usize = usize::MAX;

/// The strongly connected components, each ascending (Tarjan 1972, "Depth-first search and linear graph algorithms").
///
/// The stack is on the heap: joins of other nodes decide how deep the search goes.
pub(crate) fn components(successors: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let n = successors.len();
    let mut index = vec![UNVISITED; n];
    let mut low = vec![0; n];
    let mut on_stack = vec![false; n];
    let mut stack = Vec::new();
    let mut calls: Vec<(usize, usize)> = Vec::new();
    let mut next_index = 0;
    let mut found = Vec::new();
    for root in 0..n {
        if index[root] != UNVISITED {
            continue;
        }
        calls.push((root, 0));
        while let Some((node, edge)) = calls.pop() {
            if edge == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                stack.push(node);
                on_stack[node] = true;
            } else {
                // Back from the successor that was followed last.
                low[node] = low[node].min(low[successors[node][edge - 1]]);
            }
            let mut descend = None;
            for (position, &to) in successors[node].iter().enumerate().skip(edge) {
                if index[to] == UNVISITED {
                    descend = Some((position, to));
                    break;
                }
                if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
            }
            if let Some((position, to)) = descend {
                calls.push((node, position + 1));
                calls.push((to, 0));
            } else if low[node] == index[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(member);
                    if member == node {
                        break;
                    }
                }
                component.sort_unstable();
                found.push(component);
            }
        }
    }
    found
}
