//! What an operator writes: the configuration, and the addresses and URLs in it.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use unring_k3s::{K3sAddress, ServerUrl};
use unring_peer::{GrpcUrl, PeerAddress, limits};

use crate::node_config::{Config, Settings};
use crate::support::show;

/// Where [`crate::kad_wire`] looks for it, and its value there.
pub(crate) const MAX_ADDRESSES_PER_PEER: usize = 8;

const FILE: &str = "unring.toml";

/// The bytes as a file of TOML, and as each kind of address by itself.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    same_again::<GrpcUrl>(text);
    same_again::<PeerAddress>(text);
    same_again::<K3sAddress>(text);
    same_again::<ServerUrl>(text);
    let mut settings = Settings::default();
    let read = settings.add_text(Path::new(FILE), text);
    match read.and_then(|()| Config::read(&settings, Some("host".to_owned()))) {
        Ok(config) => accepted(&config),
        Err(error) => assert!(!show(&error).is_empty()),
    }
}

/// What is read is shown in a form that reads as the same.
fn same_again<T: FromStr<Err: std::error::Error + 'static> + Display + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert!(shown.parse().is_ok_and(|again: T| again == value), "{text:?}, {shown:?}");
        }
        Err(error) => drop(show(&error)),
    }
}

/// What holds of every configuration that a node starts with.
fn accepted(config: &Config) {
    assert!(!config.name.trim().is_empty() && config.name.len() <= limits::MAX_NAME_BYTES);
    assert!(config.upstreams.len() <= limits::MAX_JOINS);
    assert!(config.listen.libp2p.len() <= limits::MAX_ADDRESSES);
    assert!(config.advertise.libp2p.len() <= limits::MAX_ADDRESSES);
    assert!((16..=32_000).contains(&config.limits.book_capacity.get()));
    assert!((1..=48).contains(&config.limits.slots_per_upstream.get()));
    assert!((Duration::from_secs(5)..=limits::MAX_TTL).contains(&config.timing.record_ttl));
    if !config.insecure {
        assert!(!config.listen.grpc_plaintext || config.listen.grpc.ip().is_loopback());
        for url in config.upstreams.iter().filter(|url| !url.is_tls()) {
            let is_loopback = url.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            assert!(is_loopback || url.host() == "localhost", "{url} is plaintext to elsewhere");
        }
    }
}
