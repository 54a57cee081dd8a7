//! ARCHITECTURE.md names files, tests and bounds that are there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::markdown::{DOCUMENTS, code_spans, document, root, rows, section};

/// All Rust files of the workspace, one after the other.
pub(crate) fn source() -> String {
    let mut text = String::new();
    for folder in ["crates", "tests", "tools", "xtask"] {
        collect(&root().join(folder), &mut text);
    }
    text
}

fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // Editors leave links to nowhere beside a file.
            text.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let mut seen = 0;
    for name in DOCUMENTS {
        let text = document(name);
        for span in code_spans(&text) {
            let first = span.split('/').next().unwrap_or_default();
            if ["crates", "docs", "proto", "tests", "tools"].contains(&first) {
                assert!(root().join(span).exists(), "{name} names {span}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} paths");
}

#[test]
fn every_test_that_holds_a_law_is_there() {
    let (text, source) = (document("ARCHITECTURE.md"), source());
    let laws = section(&text, "## Laws and the tests that try to break them");
    for law in 1..=8 {
        assert!(laws.contains(&format!("\n### L{law}: ")), "L{law}");
    }
    for law in laws.split("\n### ").skip(1) {
        let names = code_spans(law);
        let tests = names.iter().filter(|name| name.matches('_').count() > 1);
        let missing: Vec<_> =
            tests.clone().filter(|name| !source.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "no such tests: {missing:?}");
        assert!(tests.count() >= 3 || law.starts_with("L8"), "{law}");
    }
}

/// A constant's value as the table writes it: `4MiB`, `5m`, `1024`.
fn written(name: &str, value: &str) -> String {
    let product = |text: &str| -> u64 {
        text.split('*')
            .map(|factor| factor.trim().replace('_', "").parse::<u64>().unwrap())
            .product()
    };
    let inner = |prefix| value.strip_prefix(prefix)?.strip_suffix(')');
    if let Some(seconds) = inner("Duration::from_secs(") {
        let text = humantime::format_duration(Duration::from_secs(product(seconds))).to_string();
        return text.replace("day", "d");
    }
    if let Some(millis) = inner("Duration::from_millis(") {
        return humantime::format_duration(Duration::from_millis(product(millis))).to_string();
    }
    if value.contains('.') {
        return value.to_owned();
    }
    let number = product(value);
    match name.contains("BYTES") {
        true if number % (1 << 20) == 0 => format!("{}MiB", number >> 20),
        true if number % 1024 == 0 => format!("{}KiB", number >> 10),
        _ => number.to_string(),
    }
}

#[test]
fn every_bound_of_the_table_is_as_in_the_code() {
    let (text, source) = (document("ARCHITECTURE.md"), source());
    let rows = rows(section(&text, "## Bounds"));
    assert!(rows.len() > 30);
    for row in rows {
        let name = row[0].trim_matches('`');
        let declaration = format!("const {name}: ");
        let values: Vec<_> = source
            .split(&declaration)
            .skip(1)
            .filter_map(|rest| rest.split_once(';')?.0.split_once("= "))
            .filter(|(kind, _)| !kind.contains("NonZero"))
            .map(|(_, value)| written(name, value.trim()))
            .collect();
        assert!(values.contains(&row[1]), "{name} is {values:?}, documented as {}", row[1]);
    }
}
