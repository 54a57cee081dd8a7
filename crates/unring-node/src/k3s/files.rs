//! What K3s keeps in files: certificates, keys, tokens.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use unring_k3s::{
    Access, CaBundle, ClientConfig, InvalidCa, InvalidToken, JoinToken, KeyPair, ServerTls,
    ServerUrl, TlsError, TooManyTokens, Trust,
};
use zeroize::Zeroizing;

use crate::config::K3s as Config;

/// Bytes of one of these files: a CA bundle under rotation has a few KB. Refused above it.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why what K3s keeps in files cannot be used. None of these shows a secret.
#[derive(Debug, Error)]
pub enum K3sFileError {
    /// A file cannot be read.
    #[error("cannot read {}: check {key} and the file's permissions", file.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too long to be what it should be.
    #[error("{} has more than {MAX_FILE_BYTES} bytes: check {key}", file.display())]
    TooLong {
        /// The key that names it.
        key: &'static str,
        /// Which.
        file: PathBuf,
    },
    /// A line that is no join token.
    #[error("line {line} of {} is no join token: check k3s.token_file", file.display())]
    Token {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: InvalidToken,
    },
    /// No token at all.
    #[error("{} has no join token in it: check k3s.token_file", .0.display())]
    NoToken(PathBuf),
    /// Too many tokens.
    #[error("{} cannot be used: check k3s.token_file", file.display())]
    TooManyTokens {
        /// Which file.
        file: PathBuf,
        /// How many.
        source: TooManyTokens,
    },
    /// Not a CA.
    #[error("{} is no CA: check {key}", file.display())]
    Ca {
        /// The key that names it.
        key: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        source: InvalidCa,
    },
    /// Nothing by which a server could be known.
    #[error("the first token of {} has no CA hash by which to know {server}: use the full token, or set k3s.ca", file.display())]
    NoHash {
        /// Where the token is.
        file: PathBuf,
        /// The first of the servers.
        server: ServerUrl,
    },
    /// Certificate, key or the CA of clients cannot be used.
    #[error("{} cannot be used: check {keys}", file.display())]
    Tls {
        /// The keys that name them.
        keys: &'static str,
        /// The certificate.
        file: PathBuf,
        /// Why.
        source: TlsError,
    },
}

/// What a listener needs.
pub(crate) struct ServerFiles {
    pub(crate) tls: ServerTls,
    pub(crate) access: Access,
    pub(crate) ca: Option<CaBundle>,
}

impl ServerFiles {
    /// Reads them all.
    pub(crate) fn read(config: &Config) -> Result<Self, K3sFileError> {
        let own = key_pair(
            ("k3s.certificate", config.certificate.as_deref().unwrap_or(Path::new(""))),
            ("k3s.key", config.key.as_deref().unwrap_or(Path::new(""))),
        )?;
        let clients = ca("k3s.client_ca", config.client_ca.as_deref())?;
        let keys = "k3s.certificate, k3s.key and k3s.client_ca";
        let file = config.certificate.clone().unwrap_or_default();
        let tls = ServerTls::new(&own, clients.as_ref()).map_err(|source| K3sFileError::Tls {
            keys,
            file,
            source,
        })?;
        let access = match &config.token_file {
            None => Access::default(),
            Some(file) => {
                let file = file.clone();
                Access::new(&tokens(&file)?)
                    .map_err(|source| K3sFileError::TooManyTokens { file, source })?
            }
        };
        Ok(Self { tls, access, ca: ca("k3s.ca", config.ca.as_deref())? })
    }
}

/// What is needed to ask each of the configured servers.
pub(crate) fn clients(config: &Config) -> Result<Vec<ClientConfig>, K3sFileError> {
    let (Some(first), Some(file)) = (config.servers.first(), &config.token_file) else {
        return Ok(Vec::new());
    };
    let Some(token) = tokens(file)?.into_iter().next() else {
        return Err(K3sFileError::NoToken(file.clone()));
    };
    let trust = match ca("k3s.ca", config.ca.as_deref())? {
        Some(ca) => Trust::Bundle(ca),
        None if token.ca.is_some() => Trust::Token,
        None => {
            return Err(K3sFileError::NoHash { file: file.clone(), server: first.clone() });
        }
    };
    let own = match (&config.client_certificate, &config.client_key) {
        (Some(certificate), Some(key)) => {
            let pair = (("k3s.client_certificate", &**certificate), ("k3s.client_key", &**key));
            Some(key_pair(pair.0, pair.1)?)
        }
        _ => None,
    };
    let client = |server: &ServerUrl| ClientConfig {
        server: server.clone(),
        distribution: config.distribution,
        token: token.clone(),
        key_pair: own.clone(),
        trust: trust.clone(),
    };
    Ok(config.servers.iter().map(client).collect())
}

/// The tokens of a file, at least one. Empty lines are left out.
fn tokens(file: &Path) -> Result<Vec<JoinToken>, K3sFileError> {
    let text = read("k3s.token_file", file)?;
    let mut tokens = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let token = |source| K3sFileError::Token { file: file.into(), line: index + 1, source };
        // What is not UTF-8 is no token either; the length says nothing about it.
        let line = std::str::from_utf8(line)
            .map_err(|error| token(InvalidToken::ControlCharacter { at: error.valid_up_to() }))?;
        if !line.trim().is_empty() {
            tokens.push(line.parse().map_err(token)?);
        }
    }
    match tokens.is_empty() {
        true => Err(K3sFileError::NoToken(file.to_owned())),
        false => Ok(tokens),
    }
}

fn ca(key: &'static str, file: Option<&Path>) -> Result<Option<CaBundle>, K3sFileError> {
    let Some(file) = file else { return Ok(None) };
    let pem = read(key, file)?;
    let ca = CaBundle::from_pem(&pem);
    ca.map(Some).map_err(|source| K3sFileError::Ca { key, file: file.to_owned(), source })
}

fn key_pair(
    (certificate_key, certificate): (&'static str, &Path),
    (key_key, key): (&'static str, &Path),
) -> Result<KeyPair, K3sFileError> {
    let pair = KeyPair::from_pem(&read(certificate_key, certificate)?, &read(key_key, key)?);
    let (keys, file) = (certificate_key, certificate.to_owned());
    pair.map_err(|source| K3sFileError::Tls { keys, file, source })
}

/// All of a file. It may hold a secret, so it is wiped.
fn read(key: &'static str, file: &Path) -> Result<Zeroizing<Vec<u8>>, K3sFileError> {
    let unreadable = |source| K3sFileError::Unreadable { key, file: file.to_owned(), source };
    // Room for all of it: what grows leaves copies behind.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE_BYTES).unwrap_or(0) + 1));
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        true => Ok(bytes),
        false => Err(K3sFileError::TooLong { key, file: file.to_owned() }),
    }
}
