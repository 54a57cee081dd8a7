//! Where a K3s server is.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::limits;

/// `https://HOST[:PORT]`, as it stands behind `server:` in K3s's configuration. Without a port it is 443, as in any URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerUrl {
    host: String,
    port: u16,
}

/// Why a text is no [`ServerUrl`].
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum InvalidServerUrl {
    /// Longer than [`limits::MAX_URL_BYTES`].
    #[error("URL of {got} bytes, at most {} are allowed", limits::MAX_URL_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// K3s speaks TLS alone.
    #[error("only https:// URLs are supported")]
    Scheme,
    /// It would end up in logs.
    #[error("a user or password belongs into the token, not into the URL")]
    Secret,
    /// No host, a port that is none, or something after them.
    #[error("not of the form https://HOST:PORT")]
    Authority,
}

impl ServerUrl {
    /// A name or an IP address, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, an IPv6 address in brackets.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// What the server's certificate must be for.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::MAX_URL_BYTES {
            return Err(InvalidServerUrl::TooLong { got: text.len() });
        }
        let authority = text.strip_prefix("https://").ok_or(InvalidServerUrl::Scheme)?;
        let authority = authority.trim_end_matches('/');
        if authority.contains('@') {
            return Err(InvalidServerUrl::Secret);
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((ip, rest)) => {
                (ip, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
                None => (authority, Some("")),
            },
        };
        let port = match port {
            Some("") => 443,
            // `+1` is a number to Rust and no port.
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| InvalidServerUrl::Authority)?
            }
            _ => return Err(InvalidServerUrl::Authority),
        };
        let url = Self { host: host.to_owned(), port };
        match port != 0 && !host.is_empty() && url.server_name().is_some() {
            true => Ok(url),
            false => Err(InvalidServerUrl::Authority),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}
