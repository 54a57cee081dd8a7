//! As much of Markdown as these documents use.

use std::fs;
use std::path::{Path, PathBuf};

/// The documents, below the workspace's root.
pub(crate) const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/dev-cluster.md",
    "docs/first-peer.md",
    "docs/dht.md",
    "docs/governor.md",
    "docs/grpc.md",
    "docs/k3s.md",
    "docs/metrics.md",
    "docs/performance.md",
    "docs/ring-warning.md",
    "docs/run-a-node.md",
    "docs/security.md",
    "docs/topology.md",
    "docs/troubleshooting.md",
];

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

pub(crate) fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands below the heading `title`, up to the next one of its level or above.
pub(crate) fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text.find(&format!("\n{title}\n")).unwrap_or_else(|| panic!("no {title:?}"));
    let body = &text[start + title.len() + 2..];
    let level = title.chars().take_while(|c| *c == '#').count();
    let end = (1..=level).filter_map(|level| body.find(&format!("\n{} ", "#".repeat(level)))).min();
    &body[..end.unwrap_or(body.len())]
}

/// The blocks fenced as `language`.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let parts = text.split("```").skip(1).step_by(2);
    let ours = parts.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    ours.map(str::to_owned).collect()
}

/// What stands between single backticks, outside of fenced blocks.
pub(crate) fn code_spans(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The cells of each row of tables, head and rule left out.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut body = false;
    for line in text.lines() {
        let Some(line) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            body = false;
            continue;
        };
        if line.starts_with("---") {
            body = true;
        } else if body {
            let line = line.replace("\\|", "\u{0}");
            rows.push(line.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect());
        }
    }
    rows
}

#[test]
fn all_documents_are_listed_and_their_links_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let found = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    for name in found.filter(|name| name.ends_with(".md")) {
        assert!(DOCUMENTS.contains(&name.as_str()), "{name} is not in DOCUMENTS");
    }
    for name in DOCUMENTS {
        let text = document(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let folder = root().join(name).parent().unwrap().join(link);
            assert!(link.starts_with("https://") || folder.exists(), "{name} links to {link}");
        }
    }
}
