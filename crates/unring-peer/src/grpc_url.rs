//! Where a gRPC service is, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::limits;

/// Where a node's gRPC service is: `https://HOST:PORT` (mutual TLS) or `http://HOST:PORT` (plaintext).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcUrl {
    text: String,
    tls: bool,
}

/// Why a text is not a [`GrpcUrl`].
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvalidGrpcUrl {
    /// Longer than [`limits::MAX_GRPC_URL_BYTES`].
    #[error("URL of {got} bytes, at most {} are allowed", limits::MAX_GRPC_URL_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Another scheme.
    #[error("{0:?} has a scheme other than https:// (mutual TLS) and http:// (plaintext)")]
    Scheme(String),
    /// No host, no port, or something after them.
    #[error("{0:?} is not of the form https://HOST:PORT")]
    Authority(String),
}

impl GrpcUrl {
    /// Whether the scheme asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `HOST:PORT`, an IPv6 host in brackets.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority().rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.authority().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
    }
}

impl FromStr for GrpcUrl {
    type Err = InvalidGrpcUrl;

    /// Reads `https://HOST:PORT`, `http://HOST:PORT` or `HOST:PORT`, which means https.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::MAX_GRPC_URL_BYTES {
            return Err(InvalidGrpcUrl::TooLong { got: text.len() });
        }
        let (tls, authority) = match text.split_once("://") {
            Some(("https", authority)) => (true, authority),
            Some(("http", authority)) => (false, authority),
            Some(_) => return Err(InvalidGrpcUrl::Scheme(text.to_owned())),
            None => (true, text),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let invalid = || InvalidGrpcUrl::Authority(text.to_owned());
        let (host, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_valid = match bracketed {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        // `+1` is a number to Rust and no port.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        if !host_is_valid || !digits || !port.parse::<u16>().is_ok_and(|port| port != 0) {
            return Err(invalid());
        }
        let scheme = if tls { "https" } else { "http" };
        Ok(Self { text: format!("{scheme}://{authority}"), tls })
    }
}

impl fmt::Display for GrpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
