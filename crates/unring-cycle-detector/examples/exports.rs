//! A ring of three as a terminal, Graphviz, Mermaid and a program get it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeSet, time::Duration};

use unring_cycle_detector::{Config, Detector, Format, Join, SetJoinsError};

fn main() -> Result<(), SetJoinsError> {
    let mut detector = Detector::new(Config::new("id-1"));
    let joins = [("id-1", "id-2", 10), ("id-2", "id-3", 20), ("id-3", "id-1", 30)];
    for (from, to, since_unix_ms) in joins {
        let address = format!("https://{}:6443", to.replace("id-", "server"));
        let join = Join { address, targets: BTreeSet::from([to]), since_unix_ms };
        detector.set_joins(Duration::ZERO, from, from.replace("id-", "server"), vec![join])?;
    }
    detector.poll(Duration::ZERO, 0);
    let topology = detector.topology();
    for format in Format::ALL {
        println!("--- {format} ({})\n{}", format.media_type(), topology.export(format));
    }
    Ok(())
}
