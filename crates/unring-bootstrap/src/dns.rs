//! Asks DNS: the A and AAAA records of a name, and the TXT records of a `/dnsaddr`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use multiaddr::{Multiaddr, Protocol};
use thiserror::Error;
use unring_peer::PeerAddress;

use crate::candidate::Candidate;
use crate::dnsaddr::DnsaddrWalk;
use crate::limits::{DNS_ATTEMPTS, DNS_TIMEOUT, MAX_DNS_ADDRESSES};

/// Why DNS told nothing.
#[derive(Debug, Error)]
pub enum DnsError {
    /// `/etc/resolv.conf` cannot be used.
    #[error("the system's DNS configuration cannot be used")]
    Configuration(#[source] NetError),
    /// The task that reads it ended.
    #[error("the system's DNS configuration cannot be read")]
    Read(#[source] io::Error),
    /// No answer with addresses.
    #[error("cannot look up {name}")]
    Lookup {
        /// Which name.
        name: String,
        /// Why.
        #[source]
        source: NetError,
    },
}

/// Asks a DNS server, or those of the system.
///
/// Every question begins with a resolver of its own: what was asked before is not kept, so that a peer that has just come
/// is seen, and `/etc/resolv.conf` and `/etc/hosts` are read as they are now. Search domains are those of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dns {
    server: Option<SocketAddr>,
}

impl Dns {
    /// Asks this server, over UDP and then TCP; without one those of `/etc/resolv.conf`.
    #[must_use]
    pub fn new(server: Option<SocketAddr>) -> Self {
        Self { server }
    }

    /// The addresses of `name`: the first [`MAX_DNS_ADDRESSES`] of each family in ascending order, IPv4 first, each with
    /// `port`.
    ///
    /// # Errors
    /// When neither family has any.
    pub async fn addresses(&self, name: &str, port: u16) -> Result<Vec<Candidate>, DnsError> {
        let candidate = |ip: IpAddr| {
            let address = Multiaddr::from(ip).with(Protocol::Tcp(port));
            let address = PeerAddress::from_multiaddr(address).ok()?;
            Some(Candidate { address, peer: None })
        };
        Ok(self.ips(name).await?.into_iter().filter_map(candidate).collect())
    }

    /// The same without a port.
    ///
    /// # Errors
    /// When neither family has any.
    pub async fn ips(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        let resolver = self.resolver().await?;
        let (v4, v6) = tokio::join!(resolver.ipv4_lookup(name), resolver.ipv6_lookup(name));
        let mut found = Vec::new();
        let mut error = None;
        for answer in [v4, v6] {
            match answer {
                Ok(answer) => found.extend(first(&answer)),
                Err(source) => _ = error.get_or_insert(source),
            }
        }
        match error {
            Some(source) if found.is_empty() => {
                Err(DnsError::Lookup { name: name.to_owned(), source })
            }
            _ => Ok(found),
        }
    }

    /// What `/dnsaddr/name` leads to.
    ///
    /// # Errors
    /// When a look-up failed and nothing was found at all.
    pub async fn dnsaddr(&self, name: &str) -> Result<Vec<Candidate>, DnsError> {
        let resolver = self.resolver().await?;
        let mut walk = DnsaddrWalk::new(name);
        let mut error = None;
        while let Some(lookup) = walk.next_lookup() {
            match resolver.txt_lookup(lookup.name.as_str()).await {
                Ok(answer) => {
                    let records = texts(&answer);
                    walk.answer(&lookup, records.iter().map(String::as_str));
                }
                Err(source) => {
                    _ = error.get_or_insert(DnsError::Lookup { name: lookup.name, source });
                }
            }
        }
        let (found, _) = walk.finish();
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    async fn resolver(self) -> Result<TokioResolver, DnsError> {
        let read = tokio::task::spawn_blocking(move || build(self.server));
        read.await.map_err(|error| DnsError::Read(io::Error::other(error)))?
    }
}

/// Reads files.
fn build(server: Option<SocketAddr>) -> Result<TokioResolver, DnsError> {
    let system = hickory_resolver::system_conf::read_system_conf();
    let (config, options) = match (server, system) {
        (None, system) => system.map_err(DnsError::Configuration)?,
        (Some(server), Ok((config, options))) => {
            let (domain, search, _) = config.into_parts();
            (ResolverConfig::from_parts(domain, search, vec![name_server(server)]), options)
        }
        (Some(server), Err(_)) => {
            (ResolverConfig::from_name_servers(vec![name_server(server)]), ResolverOpts::default())
        }
    };
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options);
    let options = builder.options_mut();
    (options.timeout, options.attempts) = (DNS_TIMEOUT, DNS_ATTEMPTS);
    builder.build().map_err(DnsError::Configuration)
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections)
}

/// The first of one family, in ascending order.
fn first(answer: &Lookup) -> Vec<IpAddr> {
    let ip = |data: &RData| match data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    };
    let mut ips: Vec<_> = answer.answers().iter().filter_map(|record| ip(&record.data)).collect();
    ips.sort_unstable();
    ips.dedup();
    ips.truncate(MAX_DNS_ADDRESSES);
    ips
}

/// A record of several strings is one text.
fn texts(answer: &Lookup) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => {
            let bytes: Vec<u8> = text.txt_data.iter().flatten().copied().collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    };
    answer.answers().iter().filter_map(|record| text(&record.data)).collect()
}
