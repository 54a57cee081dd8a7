//! CA, certificate and key towards servers that answer as Spegel does.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use unring_bootstrap::{Tls, TlsError};
use zeroize::Zeroizing;

use crate::config::Bootstrap;

/// Bytes of one of these files: a CA bundle under rotation has a few KB. Refused above it.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// Why these files cannot be used.
#[derive(Debug, Error)]
pub enum HttpFileError {
    /// A file cannot be read, or is too long to be what it should be.
    #[error("cannot read {}: check {key} and the file's permissions", file.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// CA, certificate or key cannot be used.
    #[error("cannot use bootstrap.http_ca, bootstrap.http_certificate and bootstrap.http_key")]
    Tls(#[source] TlsError),
}

/// Reads them; none where none is configured.
pub(crate) fn tls(config: &Bootstrap) -> Result<Option<Tls>, HttpFileError> {
    let Some(ca) = &config.http_ca else { return Ok(None) };
    let ca = read("bootstrap.http_ca", ca)?;
    let client = match (&config.http_certificate, &config.http_key) {
        (Some(certificate), Some(key)) => Some((
            read("bootstrap.http_certificate", certificate)?,
            read("bootstrap.http_key", key)?,
        )),
        _ => None,
    };
    let client = client.as_ref().map(|(own, key)| (own.as_slice(), key.as_slice()));
    Tls::from_pem(&ca, client).map(Some).map_err(HttpFileError::Tls)
}

/// Wiped from memory after use: one of them is a private key.
fn read(key: &'static str, file: &Path) -> Result<Zeroizing<Vec<u8>>, HttpFileError> {
    let fail = |source| HttpFileError::Unreadable { key, file: file.to_owned(), source };
    // Of its full size from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    File::open(file)
        .and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(fail)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 KiB")));
    }
    Ok(bytes)
}
