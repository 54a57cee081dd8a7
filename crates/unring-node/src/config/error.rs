//! What is wrong with a configuration: which file, which key, which value, what is accepted.

use std::path::PathBuf;

use thiserror::Error;

use unring_peer::InvalidToken;

use super::source::Source;

/// The environment variable that holds a join token itself.
pub(crate) const TOKEN_VARIABLE: &str = "UNRING_TOKEN";

/// What is wrong with a configuration. Nothing has been bound or written when it is raised.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: check the path and its permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("{from}: there is no key {key:?}{}", hint(*nearest))]
    UnknownKey {
        /// Where it is set.
        from: Source,
        /// The key.
        key: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A value that is not accepted.
    #[error("{from}: {key} = {value} is not accepted: write {accepts}")]
    BadValue {
        /// Where it is set.
        from: Source,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is accepted.
        accepts: &'static str,
    },
    /// Plaintext where others could listen in.
    #[error(
        "{key} = {value} is plaintext beyond loopback, where anybody on the way can read and change it: use https://, or set insecure = true"
    )]
    Plaintext {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// The join token in the environment is none.
    #[error("{TOKEN_VARIABLE} is not accepted")]
    Token(#[source] InvalidToken),
    /// No join token in the environment, or too many.
    #[error(
        "{TOKEN_VARIABLE} holds {got} tokens: write one, or two with a comma or a new line between them, the one in use first"
    )]
    TokenCount {
        /// How many.
        got: usize,
    },
    /// The join token is given twice.
    #[error("both {TOKEN_VARIABLE} and security.token_file are set: keep one of them")]
    TwoTokens,
    /// A key that means nothing without another one.
    #[error("{key} is set and needs {needs}")]
    Incomplete {
        /// The key that is set.
        key: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Some of the files of a cluster's authority, and not all.
    #[error(
        "{missing} is not set: set security.ca_file, security.cert_file and security.key_file, or none of them"
    )]
    ClusterFiles {
        /// The key that is not set.
        missing: &'static str,
    },
    /// The name of this host is not known.
    #[error("this host has no usable name: set name")]
    NoName,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean {key:?}?")).unwrap_or_default()
}
