//! A Mermaid flowchart.

use std::fmt::{self, Write};

use super::{Picture, plain, text::label};

pub(super) fn write(picture: &Picture, out: &mut impl Write) -> fmt::Result {
    out.write_str("flowchart LR\n")?;
    for (at, node) in picture.nodes.iter().enumerate() {
        writeln!(out, "  n{at}[\"{}\"]", Entities(&label(picture, at)))?;
        if node.local {
            writeln!(out, "  style n{at} stroke-width:3px")?;
        }
        if !node.known || node.unverified {
            writeln!(out, "  style n{at} stroke-dasharray:4")?;
        }
    }
    let mut links = 0_usize;
    let mut styles = String::new();
    for join in &picture.joins {
        for to in &join.targets {
            let arrow = if join.targets.len() > 1 { "-.->" } else { "-->" };
            let cut = if join.cut { "cut: " } else { "" };
            writeln!(out, "  n{} {arrow}|\"{cut}{}\"| n{to}", join.from, Entities(&join.address))?;
            if join.on_ring {
                let width = if join.cut { ",stroke-width:4px" } else { "" };
                writeln!(styles, "  linkStyle {links} stroke:red{width}")?;
            }
            links += 1;
        }
    }
    out.write_str(&styles)?;
    if let Some(truncation) = picture.truncation() {
        writeln!(out, "  truncated[\"{truncation}\"]")?;
    }
    Ok(())
}

/// Text within quotes. Mermaid looks for directives (`%%{`), Markdown and its own entities even there, so all but letters,
/// digits and what addresses are made of is written as an entity.
struct Entities<'a>(&'a str);

impl fmt::Display for Entities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in plain(self.0) {
            if c.is_alphanumeric() || matches!(c, ' ' | '.' | ':' | '/' | '-' | '_' | '…') {
                f.write_char(c)?;
            } else {
                write!(f, "#{};", u32::from(c))?;
            }
        }
        Ok(())
    }
}
