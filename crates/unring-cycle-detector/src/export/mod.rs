//! Who joins whom, as text, DOT, Mermaid and JSON: one model, four writers.

mod dot;
mod json;
mod mermaid;
mod picture;
#[cfg(test)]
mod tests;
mod text;

use std::{
    fmt::{self, Display, Write},
    str::FromStr,
};

pub use picture::{LeftOut, Picture, PictureJoin, PictureNode, PictureRing};

use crate::model::{NodeId, Topology};

/// A way to write a topology down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// For a terminal: each node with its joins, then each ring with its circuit and cuts.
    Text,
    /// The language of [Graphviz](https://graphviz.org/doc/info/lang.html).
    Dot,
    /// A [Mermaid](https://mermaid.js.org/syntax/flowchart.html) flowchart, which Markdown viewers draw.
    Mermaid,
    /// All that is known, for programs: see [`Topology::export`] for its fields.
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Text, Format::Dot, Format::Mermaid, Format::Json];

    /// What HTTP calls it.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Text | Format::Mermaid => "text/plain; charset=utf-8",
            Format::Dot => "text/vnd.graphviz; charset=utf-8",
            Format::Json => "application/json",
        }
    }
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Text => "text",
            Format::Dot => "dot",
            Format::Mermaid => "mermaid",
            Format::Json => "json",
        })
    }
}

/// A format that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such format: text, dot, mermaid and json exist")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.to_string() == name).ok_or(UnknownFormat)
    }
}

/// How much an export may hold. What does not fit is left out, rings and what is on them last, and the export says how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportLimits {
    /// Nodes, those included that are only named by joins of others.
    pub nodes: usize,
    /// Joins, each as often as it has targets.
    pub edges: usize,
    /// Rings.
    pub rings: usize,
    /// Bytes of the whole export. When it does not fit, the other limits are halved until it does.
    pub bytes: usize,
}

impl ExportLimits {
    /// Everything that a [`Detector`](crate::Detector) with default bounds knows, within 8 MiB: some 2 KiB for each of
    /// [`DEFAULT_MAX_NODES`](crate::DEFAULT_MAX_NODES).
    pub const WIDE: ExportLimits =
        ExportLimits { nodes: 65_536, edges: 65_536, rings: 8192, bytes: 8 << 20 };
    /// What Mermaid draws with its default settings: it refuses a text above 50 000 characters (`maxTextSize`) or with more
    /// than 500 edges (`maxEdges`).
    pub const MERMAID: ExportLimits =
        ExportLimits { nodes: 400, edges: 450, rings: 100, bytes: 50_000 };

    /// The limits that a reader of `format` has: [`MERMAID`](Self::MERMAID) or [`WIDE`](Self::WIDE).
    pub fn of(format: Format) -> Self {
        match format {
            Format::Mermaid => Self::MERMAID,
            Format::Text | Format::Dot | Format::Json => Self::WIDE,
        }
    }

    /// Half of what `picture` holds within these limits; a ring as long as its circuit may be shown.
    fn halved(self, picture: &Picture) -> Self {
        let nodes = self.nodes.min(picture.nodes.len()) / 2;
        let edges = picture.joins.iter().map(|join| join.targets.len().max(1)).sum();
        let rings = self.rings.min(picture.rings.len());
        ExportLimits {
            nodes,
            edges: self.edges.min(edges) / 2,
            rings: if nodes < 2 { rings / 2 } else { rings.div_ceil(2) },
            bytes: self.bytes,
        }
    }

    fn is_nothing(self) -> bool {
        self.nodes == 0 && self.edges == 0 && self.rings == 0
    }
}

impl<N: NodeId> Topology<N> {
    /// Written in `format`, within [`ExportLimits::of`] it.
    ///
    /// Names and addresses come from other operators: none can leave the place that it is shown in, and characters that
    /// would change how a line reads (control characters, changes of direction) are replaced in what people read and
    /// escaped in JSON. The fields of the JSON are
    ///
    /// - `local`, `truncated`, `left_out` with `nodes`, `joins` and `rings`: whose view it is, and what is missing in it,
    /// - `nodes` with `id`, `name`, `known` (false if joins name it but it is not known itself), `unverified`,
    /// - `joins` with `from`, `address`, `targets`, `since_unix_ms`, `shared`, `on_ring`, `cut`,
    /// - `rings` with `id`, `kind`, `unverified`, `members` and `member_count`, `witness`, `cuts` (positions in `joins`) and
    ///   `cut_count`; the counts tell how many there are where not all are listed.
    ///
    /// Fields are only ever added.
    pub fn export(&self, format: Format) -> String {
        self.export_within(format, ExportLimits::of(format))
    }

    /// As [`export`](Self::export), within other limits. Empty if nothing at all can be said in so few bytes.
    pub fn export_within(&self, format: Format, limits: ExportLimits) -> String {
        let mut limits = limits;
        loop {
            let mut out = Capped { text: String::new(), left: limits.bytes };
            let picture = self.picture(limits);
            if picture.write(format, &mut out).is_ok() {
                return out.text;
            }
            if limits.is_nothing() {
                return String::new();
            }
            limits = limits.halved(&picture);
        }
    }
}

impl Picture {
    /// Writes it in `format`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, format: Format, out: &mut impl Write) -> fmt::Result {
        match format {
            Format::Text => text::write(self, out),
            Format::Dot => dot::write(self, out),
            Format::Mermaid => mermaid::write(self, out),
            Format::Json => json::write(self, out),
        }
    }
}

/// A text that is refused what does not fit.
struct Capped {
    text: String,
    left: usize,
}

impl Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

/// Whether a character changes how the text around it reads: control characters, line and paragraph separators, marks and
/// embeddings that change the direction of writing (Unicode Standard Annex 9).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// As a person may see it: on one line, in the order that it is written in.
fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if is_deceptive(c) { char::REPLACEMENT_CHARACTER } else { c })
}
