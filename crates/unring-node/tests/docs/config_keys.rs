//! `docs/run-a-node.md` is the reference of the configuration.

use std::collections::BTreeSet;

use unring_node::config::{Config, KEYS, Settings};

use crate::markdown::{DOCUMENTS, blocks, code_spans, document, rows, section};

#[test]
fn every_key_is_documented_with_what_it_accepts_and_its_default() {
    let text = document("docs/run-a-node.md");
    let rows = rows(section(&text, "## Every key"));
    let documented: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let keys: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(documented, keys, "the keys in the order of keys.rs");
    for (row, key) in rows.iter().zip(KEYS) {
        let (help, default) = match key.help.split_once(" [default: ") {
            Some((help, default)) => (help, default.trim_end_matches(']')),
            None if key.switch => (key.help, "false"),
            None => (key.help, "none"),
        };
        let accepts = if key.list { "a list of " } else { "" }.to_owned() + key.accepts;
        assert_eq!(row[1..], [accepts, default.to_owned(), help.to_owned()], "{}", key.name);
    }
}

#[test]
fn no_document_names_a_key_that_does_not_exist() {
    let tables: BTreeSet<_> =
        KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
    // Fields of the status page look the same.
    let text = document("docs/metrics.md");
    let rows = rows(section(&text, "## /statusz"));
    let status: BTreeSet<_> = rows.iter().flat_map(|row| code_spans(&row[0])).collect();
    let is_status = |key: &str| {
        let below =
            |field: &&&str| field.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        status.contains(key) || status.iter().any(|field| below(&field))
    };
    let mut seen = 0;
    for name in DOCUMENTS {
        for span in document(name).split("```").step_by(2).flat_map(code_spans) {
            let key = span.split(" = ").next().unwrap_or(span);
            let Some((table, rest)) = key.split_once('.') else { continue };
            let is_name = rest.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '2');
            let is_key = KEYS.iter().any(|known| known.name == key);
            if !tables.contains(table) || !is_name || (is_status(key) && !is_key) {
                continue;
            }
            seen += 1;
            assert!(is_key, "{name} names {key}");
        }
    }
    assert!(seen > KEYS.len() - 6, "{seen} keys were seen");
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut read = 0;
    for name in DOCUMENTS.iter().filter(|name| **name != "docs/dev-cluster.md") {
        for block in blocks(&document(name), "toml") {
            let file = dir.path().join("unring.toml");
            std::fs::write(&file, &block).unwrap();
            let mut settings = Settings::default();
            settings.add_file(&file).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            Config::read(&settings, Some("host".into()))
                .unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            read += 1;
        }
    }
    assert!(read >= 3, "{read} blocks");
}
