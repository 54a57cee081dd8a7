//! JSON (RFC 8259), one entry a line.

use std::fmt::{self, Display, Write};

use super::{Picture, is_deceptive};

pub(super) fn write(picture: &Picture, out: &mut impl Write) -> fmt::Result {
    let left_out = picture.left_out;
    write!(
        out,
        "{{\"local\":{},\"truncated\":{},\"left_out\":{{\"nodes\":{},\"joins\":{},\"rings\":{}}},\"nodes\":",
        Text(&picture.local),
        picture.is_truncated(),
        left_out.nodes,
        left_out.joins,
        left_out.rings
    )?;
    lines(out, &picture.nodes, |out, node| {
        write!(
            out,
            "{{\"id\":{},\"name\":{},\"known\":{},\"unverified\":{}}}",
            Text(&node.id),
            Text(&node.name),
            node.known,
            node.unverified
        )
    })?;
    let id = |node: usize| Text(&picture.nodes[node].id);
    out.write_str(",\"joins\":")?;
    lines(out, &picture.joins, |out, join| {
        write!(
            out,
            "{{\"from\":{},\"address\":{},\"targets\":{},\"since_unix_ms\":{},\"shared\":{},\"on_ring\":{},\"cut\":{}}}",
            id(join.from),
            Text(&join.address),
            List(join.targets.iter().map(|&node| id(node))),
            join.since_unix_ms,
            join.targets.len() > 1,
            join.on_ring,
            join.cut
        )
    })?;
    out.write_str(",\"rings\":")?;
    lines(out, &picture.rings, |out, ring| {
        write!(
            out,
            "{{\"id\":{},\"kind\":\"{}\",\"unverified\":{},\"member_count\":{},\"members\":{},\"witness\":{},\"cut_count\":{},\"cuts\":{}}}",
            Text(&ring.id),
            ring.kind,
            ring.unverified,
            ring.member_count,
            List(ring.members.iter().map(|&node| id(node))),
            List(ring.witness.iter().map(|&node| id(node))),
            ring.cut_count,
            List(ring.cuts.iter())
        )
    })?;
    out.write_str("}\n")
}

fn lines<T, W: Write>(
    out: &mut W,
    entries: &[T],
    write: impl Fn(&mut W, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_char('[')?;
    for (at, entry) in entries.iter().enumerate() {
        out.write_str(if at == 0 { "\n" } else { ",\n" })?;
        write(out, entry)?;
    }
    out.write_char(']')
}

struct List<I>(I);

impl<T: Display, I: Iterator<Item = T> + Clone> Display for List<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (at, entry) in self.0.clone().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            entry.fmt(f)?;
        }
        f.write_char(']')
    }
}

/// A string, exact. What would change how a line reads is escaped, and so is what would end a script in HTML.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if is_deceptive(c) || matches!(c, '<' | '>' | '&') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(f, "\\u{unit:04x}")?;
                    }
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
