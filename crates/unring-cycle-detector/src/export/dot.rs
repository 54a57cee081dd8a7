//! The language of Graphviz.

use std::fmt::{self, Write};

use super::{Picture, plain, text::label};

pub(super) fn write(picture: &Picture, out: &mut impl Write) -> fmt::Result {
    out.write_str("digraph joins {\n  node [shape=box];\n")?;
    for (at, node) in picture.nodes.iter().enumerate() {
        write!(
            out,
            "  n{at} [label={}, tooltip={}",
            Quoted(&label(picture, at)),
            Quoted(&node.id)
        )?;
        if node.local {
            out.write_str(", penwidth=2")?;
        }
        if !node.known || node.unverified {
            out.write_str(", style=dashed")?;
        }
        out.write_str("];\n")?;
    }
    for join in &picture.joins {
        for to in &join.targets {
            write!(out, "  n{} -> n{to} [label={}", join.from, Quoted(&join.address))?;
            if join.on_ring {
                out.write_str(", color=red")?;
            }
            // A cut is a plain join, so one style says both.
            if join.cut {
                out.write_str(", style=bold, headlabel=\"cut\"")?;
            } else if join.targets.len() > 1 {
                out.write_str(", style=dashed")?;
            }
            out.write_str("];\n")?;
        }
    }
    if let Some(truncation) = picture.truncation() {
        writeln!(out, "  label=\"{truncation}\";")?;
    }
    out.write_str("}\n")
}

/// A quoted string. Labels are read twice: a backslash begins an escape, an ampersand an entity.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in plain(self.0) {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '&' => f.write_str("&amp;")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
