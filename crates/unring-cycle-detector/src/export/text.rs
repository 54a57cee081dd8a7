//! For a terminal.

use std::fmt::{self, Write};

use super::{Picture, picture::PictureJoin, plain};

pub(super) fn write(picture: &Picture, out: &mut impl Write) -> fmt::Result {
    for (at, node) in picture.nodes.iter().enumerate() {
        out.write_str(&label(picture, at))?;
        for (is_so, what) in [
            (node.local, "this node"),
            (!node.known, "not known itself"),
            (node.unverified, "unverified"),
        ] {
            if is_so {
                write!(out, ", {what}")?;
            }
        }
        out.write_char('\n')?;
        let first = picture.joins.partition_point(|join| join.from < at);
        for join in picture.joins[first..].iter().take_while(|join| join.from == at) {
            let mark = match (join.cut, join.on_ring) {
                (true, _) => " [ring, to cut]",
                (false, true) => " [ring]",
                (false, false) => "",
            };
            writeln!(out, "  {}{mark}", arrow(picture, join))?;
        }
    }
    for ring in &picture.rings {
        write!(out, "\nring {} ({}", ring.id, ring.kind)?;
        if ring.unverified {
            out.write_str(", unverified")?;
        }
        let first = ring.witness.first();
        let circuit: Vec<String> =
            ring.witness.iter().chain(first).map(|&node| label(picture, node)).collect();
        writeln!(out, ", {} members): {}", ring.member_count, circuit.join(" -> "))?;
        for &cut in &ring.cuts {
            let join = &picture.joins[cut];
            writeln!(out, "  to cut: {} {}", label(picture, join.from), arrow(picture, join))?;
        }
        if ring.cuts.len() < ring.cut_count {
            writeln!(out, "  and {} more to cut", ring.cut_count - ring.cuts.len())?;
        }
    }
    if let Some(truncation) = picture.truncation() {
        writeln!(out, "\n{truncation}")?;
    }
    Ok(())
}

/// Where a join leads, and by which address.
fn arrow(picture: &Picture, join: &PictureJoin) -> String {
    let targets: Vec<String> = join.targets.iter().map(|&node| label(picture, node)).collect();
    let targets = if targets.is_empty() { "?".to_owned() } else { targets.join(" | ") };
    format!("-> {targets} ({})", plain(&join.address).collect::<String>())
}

/// Name and the end of the id, which tells peer ids apart: they all begin alike.
pub(super) fn label(picture: &Picture, node: usize) -> String {
    let node = &picture.nodes[node];
    let id: Vec<char> = plain(&node.id).collect();
    let id = match id.len().checked_sub(8) {
        Some(cut) if cut > 1 => format!("…{}", id[cut..].iter().collect::<String>()),
        _ => id.iter().collect(),
    };
    if node.name.is_empty() || node.name == node.id {
        return id;
    }
    // A name of the length that people give; a longer one is there to fill screens.
    let name: String = plain(&node.name).take(64).collect();
    format!("{name} {id}")
}
