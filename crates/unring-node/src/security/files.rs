//! Files that hold secrets: read within bounds, and noticed when they change.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use unring_peer::{InvalidToken, JoinToken};
use unring_peer_addr::{ClusterTls, InvalidClusterTls, TlsError};
use zeroize::Zeroizing;

use crate::config::ClusterFiles;

/// Bytes read of a file at most: certificates of a few authorities take 10 KiB.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Tokens in a file: the one in use, and its predecessor or successor while that is brought to the other nodes.
const MAX_TOKENS: usize = 2;

/// Why files that say who belongs to the cluster cannot be used. No text here holds any of their content.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// A file cannot be read.
    #[error("cannot read {}, which {key} names: check the path and its permissions", file.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than any honest one.
    #[error("{}, which {key} names, has more than {MAX_FILE_BYTES} bytes", file.display())]
    TooLarge {
        /// The key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// No token, or too many.
    #[error("{} holds {got} tokens: write one on a line, the one in use first, at most {MAX_TOKENS}", file.display())]
    TokenCount {
        /// The file.
        file: PathBuf,
        /// Lines with something in them.
        got: usize,
    },
    /// The files of the cluster's authority do not fit together.
    #[error("{}, {} and {} cannot be used", files.authorities.display(), files.certificate.display(), files.key.display())]
    Cluster {
        /// The files.
        files: ClusterFiles,
        /// Why not.
        source: InvalidClusterTls,
    },
    /// TLS does not take them.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
    /// A line that is no token.
    #[error("line {line} of {} is not a join token", file.display())]
    Token {
        /// The file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why not.
        source: InvalidToken,
    },
}

/// Whether others than its owner may read a file that holds a secret.
pub(super) fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
}

/// The text of a file, which is wiped from memory after use.
pub(super) fn text(key: &'static str, file: &Path) -> Result<Zeroizing<String>, SecretsError> {
    let unreadable = |source| SecretsError::Unreadable { key, file: file.to_path_buf(), source };
    let mut text = Zeroizing::new(String::new());
    let read = File::open(file).map_err(unreadable)?.take(MAX_FILE_BYTES + 1);
    let read = { read }.read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(SecretsError::TooLarge { key, file: file.to_path_buf() });
    }
    Ok(text)
}

/// The tokens of a file, the one in use first. Empty lines and those that begin with `#` do not count.
pub(super) fn tokens(file: &Path) -> Result<Vec<JoinToken>, SecretsError> {
    let text = text("security.token_file", file)?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines: Vec<_> =
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    if lines.is_empty() || lines.len() > MAX_TOKENS {
        return Err(SecretsError::TokenCount { file: file.to_path_buf(), got: lines.len() });
    }
    let token = |(line, text): (usize, &str)| {
        let wrong = |source| SecretsError::Token { file: file.to_path_buf(), line, source };
        JoinToken::parse(text).map_err(wrong)
    };
    lines.into_iter().map(token).collect()
}

/// The cluster's authority, and what it says of this node.
pub(super) fn cluster(files: &ClusterFiles) -> Result<ClusterTls, SecretsError> {
    let authorities = text("security.ca_file", &files.authorities)?;
    let certificate = text("security.cert_file", &files.certificate)?;
    let key = text("security.key_file", &files.key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ClusterTls::from_pem(authorities.as_bytes(), certificate.as_bytes(), key.as_bytes(), now)
        .map_err(|source| SecretsError::Cluster { files: files.clone(), source })
}
