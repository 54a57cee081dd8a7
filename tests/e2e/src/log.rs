//! Lines of a node's log.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A line.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// `INFO`, `WARN`...
    pub level: String,
    /// What it says.
    pub fields: Map<String, Value>,
}

impl Line {
    /// A field as text; empty when it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its `event`; empty when it has none.
    pub fn event(&self) -> &str {
        self.field("event")
    }
}

/// Every line of a log that is JSON. The last one may still be being written.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read(path).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
