#![doc = include_str!("../README.md")]
//! # Definitions
//!
//! A **join** is a configured address of a node together with the node ids that the address led to. With one target it is
//! *plain*, with several *shared* (a virtual IP, a load balancer), with none it was not reached yet and is no edge.
//!
//! The graph has two layers, the plain joins and all joins. Its rings ([`RingKind`]) are
//!
//! - **plain**: each strongly connected component of more than one node of the graph of plain joins,
//! - **self-join**: each node with a plain join to itself,
//! - **shared**: each strongly connected component of more than one node of the graph of all joins that holds a shared join
//!   and has not the same members as a plain ring. A node that reaches itself through a shared address is no ring.
//!
//! The **witness** of a ring is its shortest circuit in its own layer, written from the smallest id of the circuit; among
//! equally short ones the lexicographically least. Self-joins belong to no witness but that of a self-join ring.
//!
//! The **cuts** of a plain ring are a feedback arc set: joins without which the plain joins of the ring have no circuit.
//! Up to [`EXACT_CUT_NODES`] members they are the fewest there can be, above that the result of a local search: none of
//! them can be put back, but a smaller set may exist. Among sets of equal size the one with the more recently configured
//! joins is taken. No shared join is ever cut. Cutting never splits the cluster: were all joins between two parts of a ring
//! cut, those of one direction could be put back without closing a circuit, so the set was no minimum.
//!
//! Others decide how big a ring is, so the work is bounded: [`MAX_RING_STEPS`] for each ring of the local node,
//! [`MAX_OTHER_RINGS_STEPS`] for all others together. What is found when a bound ends the search is no longer the least,
//! but the cuts still break every circuit and leave the nodes together, and the witness is a circuit of the ring. The
//! members of a ring agree on both whatever the bounds, others may show a longer witness and more cuts. The next analysis
//! waits in proportion to the work of the last, so that a tenth of the time is spent at most.
//!
//! # Cost
//!
//! Ids are interned when joins change ([`JoinGraph`]); an analysis works on dense numbers in compressed sparse rows. The
//! components are linear in nodes and edges (Tarjan), a witness takes a breadth-first search from each member, cut off at the
//! best length so far. `cargo xtask bench cycle` measures that as *detection*, with the change of one node's joins before it,
//! and ring ids and cuts on top as *analysis*. An order kept up incrementally (Pearce and Kelly 2006) would say sooner that
//! a join closes a circuit, but it has none once there is a ring, and a configured join is there whether it closes one or not.
//!
//! # Rules for events
//!
//! A node speaks only of rings that it is a member of, and only after it has itself seen, as an authenticated caller
//! ([`Detector::caller_seen`]), a member that is joined to it in the ring's layer: nobody can sign others into a ring. A
//! self-join needs no such proof, since the node reached itself. See [`Event`] and [`Voice`] for what is said and when.
#![forbid(unsafe_code)]

mod analysis;
mod budget;
mod circuit;
mod config;
mod cuts;
mod detector;
mod elementary;
mod export;
mod graph;
mod memory;
mod model;
mod watch;

#[cfg(test)]
mod tests;

pub use crate::{
    analysis::{MAX_OTHER_RINGS_STEPS, MAX_RING_STEPS, find_rings},
    config::{
        Config, DEFAULT_ANALYSIS_GAP, DEFAULT_FORGET_UNVERIFIED_AFTER, DEFAULT_MAX_CALLERS,
        DEFAULT_MAX_EDGES, DEFAULT_MAX_JOINS_PER_NODE, DEFAULT_MAX_NODES,
        DEFAULT_MAX_TARGETS_PER_JOIN, DEFAULT_MAX_TARGETS_PER_NODE, DEFAULT_MAX_TEXT_BYTES,
        DEFAULT_REMINDER_INTERVAL, DEFAULT_SETTLE, DEFAULT_SETTLE_MAX, DEFAULT_WARN_INTERVAL,
        FEW_TARGETS,
    },
    cuts::EXACT_CUT_NODES,
    detector::{Detector, MAX_WORK_AT_ONCE, Outcome, SetJoinsError},
    export::{
        ExportLimits, Format, LeftOut, Picture, PictureJoin, PictureNode, PictureRing,
        UnknownFormat,
    },
    graph::JoinGraph,
    memory::{RememberedNode, RememberedRing, RingMemory},
    model::{
        Circuits, Cut, Detected, Event, Join, NodeId, Ring, RingId, RingKind, Topology,
        TopologyNode, Voice,
    },
};
