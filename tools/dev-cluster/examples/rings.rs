//! Prints the joins and rings of a few seeded topologies: `cargo run -p dev-cluster --example rings`.

use std::io::{Result, Write as _, stdout};

use dev_cluster::topology::Shape;

fn main() -> Result<()> {
    let mut out = stdout().lock();
    for seed in 1..=5 {
        let topology = Shape::Random.build(12, seed);
        writeln!(out, "seed {seed}: {} joins", topology.joins())?;
        for ring in topology.graph().rings() {
            let names: Vec<&str> =
                ring.members.iter().map(|&node| &*topology.nodes[node].name).collect();
            writeln!(out, "  ring of {}, shortest circuit {}", names.join(", "), ring.shortest)?;
        }
    }
    Ok(())
}
