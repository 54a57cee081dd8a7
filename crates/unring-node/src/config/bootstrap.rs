//! The `[bootstrap]` group: where the first peer comes from.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::Value;
use unring_bootstrap::{Candidate, HttpUrl};

use super::read::{from_str, path};
use super::{ConfigError, Settings};

/// Addresses in `bootstrap.peers`: as many as are dialled of one source.
const MAX_PEERS: usize = unring_bootstrap::limits::MAX_FOUND;

/// Names or URLs of one kind. All kinds together, K3s's servers included, fit into a table of sources.
const MAX_OF_A_KIND: usize = 8;

/// Bytes of a name (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// Where DNS is served (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// Where a node's first peer comes from, beside `upstreams`. Files are read when it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// libp2p addresses, with or without the peer's id.
    pub peers: Vec<Candidate>,
    /// Names whose addresses are peers.
    pub dns: Vec<DnsName>,
    /// Names whose TXT records are multiaddrs.
    pub dnsaddr: Vec<String>,
    /// Who is asked for names; none: whoever the system asks.
    pub dns_server: Option<SocketAddr>,
    /// URLs that answer as Spegel's `/id` does.
    pub http: Vec<HttpUrl>,
    /// The CA of those with `https`, in PEM.
    pub http_ca: Option<PathBuf>,
    /// This node's certificate for them, in PEM.
    pub http_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub http_key: Option<PathBuf>,
    /// Where `/id` is served, in plain HTTP; none: nowhere.
    pub listen: Option<SocketAddr>,
}

/// A name whose addresses are peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName {
    /// The name.
    pub name: String,
    /// Where the peers listen; none: where this node does.
    pub port: Option<u16>,
}

impl std::fmt::Display for DnsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Bootstrap {
    pub(super) fn read(s: &Settings) -> Result<Self, ConfigError> {
        let config = Self {
            peers: s.parse_list("bootstrap.peers", MAX_PEERS, from_str)?.unwrap_or_default(),
            dns: s.parse_list("bootstrap.dns", MAX_OF_A_KIND, dns_name)?.unwrap_or_default(),
            dnsaddr: s
                .parse_list("bootstrap.dnsaddr", MAX_OF_A_KIND, bare_name)?
                .unwrap_or_default(),
            dns_server: s.parse("bootstrap.dns_server", server)?,
            http: s.parse_list("bootstrap.http", MAX_OF_A_KIND, from_str)?.unwrap_or_default(),
            http_ca: s.parse("bootstrap.http_ca", path)?,
            http_certificate: s.parse("bootstrap.http_certificate", path)?,
            http_key: s.parse("bootstrap.http_key", path)?,
            listen: s.parse("bootstrap.listen", from_str)?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let needs = |key, needs| Err(ConfigError::Incomplete { key, needs });
        let https = self.http.iter().any(HttpUrl::is_tls);
        match (&self.http_ca, &self.http_certificate, &self.http_key) {
            (None, ..) if https => {
                needs("bootstrap.http with https://", "bootstrap.http_ca, the CA of that server")
            }
            (None, Some(_), _) => needs("bootstrap.http_certificate", "bootstrap.http_ca"),
            (_, Some(_), None) => needs("bootstrap.http_certificate", "bootstrap.http_key"),
            (_, None, Some(_)) => needs("bootstrap.http_key", "bootstrap.http_certificate"),
            _ => Ok(()),
        }
    }
}

fn dns_name(value: &Value) -> Option<DnsName> {
    let text = value.as_str()?;
    let (text, port) = match text.rsplit_once(':') {
        Some((text, port)) => (text, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (text, None),
    };
    Some(DnsName { name: name(text)?, port })
}

fn bare_name(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    name(text.strip_prefix("/dnsaddr/").unwrap_or(text))
}

/// A host name or an underscore name, and no IP address: that belongs into `bootstrap.peers`.
fn name(text: &str) -> Option<String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let fits = text.len() <= MAX_NAME && bare.split('.').all(is_label);
    (fits && text.parse::<IpAddr>().is_err()).then(|| text.to_owned())
}

fn server(value: &Value) -> Option<SocketAddr> {
    let ip = || from_str::<IpAddr>(value).map(|ip| SocketAddr::new(ip, DNS_PORT));
    from_str(value).or_else(ip)
}
