//! The benches that there are. A new one adds its module and a line.

use anyhow::Result;

use crate::{Report, Run, exchange, fanout};

/// One bench.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Its name on the command line, and of its files.
    pub name: &'static str,
    /// What it compares, in a line.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&Run) -> Result<Report>,
}

/// All of them, in the order in which they run.
pub const BENCHES: &[Bench] = &[
    Bench {
        name: "dedup",
        about: "the dedup store beside moka, quick_cache, scc and a swept DashMap",
        run: crate::dedup::run,
    },
    Bench {
        name: "cycle",
        about: "rings of joins, against libraries that keep a topological order",
        run: crate::cycle::run,
    },
    Bench {
        name: "growth",
        about: "messages and time to converge from 10 to 10 000 nodes, in virtual time",
        run: crate::growth::run,
    },
    Bench {
        name: "storm",
        about: "one request in a ring of joins: K3s before its fix, as fixed, and unring",
        run: crate::storm::run,
    },
    Bench {
        name: "governor",
        about: "an admission beside a bare keyed governor; a flooded node against its CPU budget",
        run: crate::governor::run,
    },
    Bench {
        name: "exchange",
        about: "an answer from the book against a bare tonic method that sends as many bytes",
        run: exchange::run,
    },
    Bench {
        name: "fanout",
        about: "a changed record to 1000 streams against bare tonic streams of the same bytes",
        run: fanout::run,
    },
    Bench {
        name: "dht",
        about: "twenty nodes and two of js-libp2p find what any of them advertises",
        run: crate::dht::run,
    },
];
