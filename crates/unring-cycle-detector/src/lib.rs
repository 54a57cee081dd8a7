//! Finds the rings that the joins of a cluster form, and which join to cut.
//!
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
//! The **cuts** of a plain ring are a feedback arc set: the fewest joins without which the plain joins of the ring have no
//! circuit. Up to [`EXACT_CUT_NODES`] members the set is a true minimum, above that the result of a local search which no
//! single join can be taken out of. Among sets of equal size the one with the more recently configured joins is taken.
//! No shared join is ever cut. Cutting never splits the cluster: were all joins between two parts of a ring cut, those of
//! one direction could be put back without closing a circuit, so the set was no minimum.
#![forbid(unsafe_code)]

mod analysis;
mod circuit;
mod cuts;
mod graph;
mod model;

pub use crate::{
    analysis::find_rings,
    cuts::EXACT_CUT_NODES,
    model::{Cut, Event, Join, NodeId, Ring, RingId, RingKind, Topology, TopologyNode, Voice},
};
