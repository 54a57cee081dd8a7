//! Sources that are asked over the network: names, and servers that answer as Spegel does.

use futures::future::BoxFuture;
use unring_bootstrap::{Candidate, Dns, HttpSource};

use super::Ask;
use crate::errors::chain;

/// A name whose addresses are peers.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) dns: Dns,
    pub(super) name: String,
    pub(super) port: u16,
}

impl Ask for Addresses {
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>> {
        Box::pin(async {
            self.dns.addresses(&self.name, self.port).await.map_err(|error| chain(&error))
        })
    }
}

/// A name whose TXT records are multiaddrs.
#[derive(Debug)]
pub(super) struct Dnsaddr {
    pub(super) dns: Dns,
    pub(super) name: String,
}

impl Ask for Dnsaddr {
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>> {
        Box::pin(async { self.dns.dnsaddr(&self.name).await.map_err(|error| chain(&error)) })
    }
}

/// A server that answers as Spegel's `/id` does.
#[derive(Debug)]
pub(super) struct Http(pub(super) HttpSource);

impl Ask for Http {
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>> {
        Box::pin(async {
            let answer = self.0.ask().await.map_err(|error| chain(&error))?;
            match (answer.candidates.is_empty(), answer.skipped) {
                (true, 1..) => {
                    Err(format!("{} addresses, none of them TCP over IP", answer.skipped))
                }
                _ => Ok(answer.candidates),
            }
        })
    }
}
