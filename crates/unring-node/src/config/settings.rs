//! Values by key, each with where it came from: file, then environment, then command line, the later ones winning.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use super::error::ConfigError;
use super::keys::{KEYS, Key};
use super::source::Source;

/// A value and where it was set.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) source: Source,
    pub(crate) value: Value,
}

/// All values that were set.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// Adds what a file sets.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or holds a key that does not exist.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { file: path.to_path_buf(), source })?;
        self.add_text(path, &text)
    }

    /// Adds what `text` sets, which is what a file holds; errors name `file`.
    ///
    /// # Errors
    /// When it is not TOML, or holds a key that does not exist.
    pub fn add_text(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        let file = file.to_path_buf();
        let table: toml::Table = text.parse().map_err(|source| ConfigError::Syntax {
            file: file.clone(),
            source: Box::new(source),
        })?;
        self.add_table(&Source::File(file), "", table)
    }

    fn add_table(
        &mut self,
        source: &Source,
        prefix: &str,
        table: toml::Table,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match (KEYS.iter().find(|key| key.name == name), value) {
                (Some(key), value) => self.add(key, source.clone(), value),
                (None, Value::Table(table)) if is_table(&name) => {
                    self.add_table(source, &format!("{name}."), table)?;
                }
                (None, _) => {
                    let nearest = nearest(&name);
                    return Err(ConfigError::UnknownKey {
                        from: source.clone(),
                        key: name,
                        nearest,
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds what the environment sets. Variables that are no key of ours are left alone: Kubernetes sets `UNRING_*`
    /// variables of its own for a service called unring.
    pub fn add_variables(&mut self, variables: impl Fn(&str) -> Option<String>) {
        for key in KEYS {
            let name = key.variable();
            if let Some(text) = variables(&name) {
                self.add(key, Source::Variable(name), from_text(key, &text));
            }
        }
    }

    /// Adds what a flag sets.
    pub fn add_flag(&mut self, key: &'static Key, values: Vec<String>) {
        let value = match (key.list, values.as_slice()) {
            (false, [text]) => Value::String(text.clone()),
            _ => Value::Array(values.into_iter().map(Value::String).collect()),
        };
        self.add(key, Source::Flag(key.flag()), value);
    }

    fn add(&mut self, key: &Key, source: Source, value: Value) {
        let Some(key) = KEYS.iter().find(|known| known.name == key.name) else { return };
        self.0.insert(key.name, Setting { source, value });
    }
}

fn from_text(key: &Key, text: &str) -> Value {
    if !key.list {
        return Value::String(text.to_owned());
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The key that somebody who wrote `name` may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    let distance = |key: &Key| edit_distance(key.name, name);
    KEYS.iter().min_by_key(|key| distance(key)).filter(|key| distance(key) <= 3).map(|key| key.name)
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
