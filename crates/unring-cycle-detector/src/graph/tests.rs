//! A graph that changes against one that is built anew.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{Config as RunnerConfig, RngSeed},
};

use super::JoinGraph;
use crate::model::Join;

/// `None`: the node is taken out.
type Change = (u32, Option<Vec<BTreeSet<u32>>>);

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let joins = prop::collection::vec(prop::collection::btree_set(0_u32..9, 0..3), 0..4);
    prop::collection::vec((0_u32..9, prop::option::weighted(0.8, joins)), 1..40)
}

fn joins(targets: Vec<BTreeSet<u32>>) -> Vec<Join<u32>> {
    let join = |targets: BTreeSet<u32>| Join {
        address: format!("{targets:?}"),
        since_unix_ms: targets.iter().map(|&target| u64::from(target)).sum(),
        targets,
    };
    targets.into_iter().map(join).collect()
}

proptest! {
    #![proptest_config(RunnerConfig { cases: 500, rng_seed: RngSeed::Fixed(5), ..RunnerConfig::default() })]

    #[test]
    fn a_history_leaves_no_trace(changes in any_changes()) {
        let mut graph = JoinGraph::new();
        let mut model: BTreeMap<u32, Vec<Join<u32>>> = BTreeMap::new();
        for (node, change) in changes {
            match change.map(joins) {
                Some(joins) => {
                    model.insert(node, joins.clone());
                    graph.set_joins(node, joins);
                }
                None => prop_assert_eq!(graph.remove(&node).map(|node| node.joins), model.remove(&node)),
            }
            let mut anew = JoinGraph::new();
            for (node, joins) in model.iter().rev() {
                anew.set_joins(*node, joins.clone());
            }
            prop_assert_eq!(graph.rings(), anew.rings());
            prop_assert_eq!(graph.detect(), anew.detect());
            let nodes: Vec<_> = graph.nodes().map(|node| (node.id, node.joins.clone())).collect();
            prop_assert_eq!(nodes, model.clone().into_iter().collect::<Vec<_>>());
            // Nine ids were ever named.
            prop_assert!(graph.slots.len() <= 9, "{} slots", graph.slots.len());
        }
        for node in 0..9 {
            graph.remove(&node);
        }
        prop_assert!(graph.is_empty() && graph.slots.in_use() == 0);
    }

    #[test]
    fn rings_are_what_is_detected(changes in any_changes()) {
        let mut graph = JoinGraph::new();
        for (node, change) in changes {
            graph.set_joins(node, joins(change.unwrap_or_default()));
        }
        let rings = graph.rings();
        let detected: Vec<_> = graph.detect().into_iter().map(|found| {
            (found.kind, found.members.into_iter().copied().collect(), found.witness.into_iter().copied().collect())
        }).collect();
        prop_assert_eq!(
            detected,
            rings.into_iter().map(|ring| (ring.kind, ring.members, ring.witness)).collect::<Vec<_>>()
        );
    }
}
