//! The node's part in the DHT: how it is configured, and questions of its operator.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use unring_routing::{Key, LookupConfig, LookupError, Providers, Router as _};
use unring_routing_kad::{BadNetworkKey, KadConfig, Network, NetworkKey, StoreLimits};

use super::Parts;
use crate::addresses::Advertised;
use crate::config::Dht;
use crate::errors::chain;
use crate::log::NODE;

/// How look-ups are kept: Spegel's times. A node pulls some images at once, each of some ten layers.
const LOOKUP: LookupConfig = LookupConfig {
    found_for: Duration::from_secs(5),
    missing_for: Duration::from_millis(500),
    cached: NonZeroUsize::new(4096).unwrap(),
    keys: NonZeroUsize::new(256).unwrap(),
    callers_per_key: NonZeroUsize::new(256).unwrap(),
};

/// Bytes of the file with the network key that are read: 64 digits are enough.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Why there is no network key. Never says anything of its content.
#[derive(Debug, Error)]
pub enum NetworkKeyError {
    /// The file cannot be read.
    #[error("cannot read the network key {}: check dht.network_key_file", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else is in it.
    #[error("{} is no network key: write at least 64 hexadecimal digits", file.display())]
    Bad {
        /// The file.
        file: PathBuf,
        /// Why.
        source: BadNetworkKey,
    },
}

/// The key of the private network, if it is one.
pub(super) fn network_key(dht: &Dht) -> Result<Option<NetworkKey>, NetworkKeyError> {
    let Some(file) = &dht.network_key_file else { return Ok(None) };
    let text =
        read(file).map_err(|source| NetworkKeyError::Unreadable { file: file.clone(), source })?;
    let key = NetworkKey::from_hex(&text);
    key.map(Some).map_err(|source| NetworkKeyError::Bad { file: file.clone(), source })
}

fn read(file: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// How Kademlia is done, if it is.
pub(super) fn kad(dht: &Dht) -> Option<KadConfig> {
    let defaults = KadConfig::spegel(LOOKUP);
    let store = StoreLimits {
        records: dht.max_records,
        per_provider: defaults.store.per_provider.min(dht.max_records),
        validity: dht.record_validity,
        ..defaults.store
    };
    let reprovide_interval = dht.reprovide_interval;
    dht.server.then_some(KadConfig { reprovide_interval, store, ..defaults })
}

/// Others are told one address in the DHT: the first of those that they are told anyway.
pub(super) fn announce(network: &mut Network, advertised: &Advertised) {
    if let Some(address) = advertised.libp2p.first() {
        network.announce(address.as_multiaddr().clone());
    }
}

/// Provides the keys that the configuration names.
pub(super) fn provide(parts: &Parts, dht: &Dht) {
    let Some(router) = &parts.router else { return };
    if let Err(error) = parts.named_keys.take_over(router.as_ref(), &dht.advertise) {
        tracing::warn!(target: NODE, error = chain(&error), "the keys of dht.advertise are not provided");
    }
}

/// Why an operator's question has no answer.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("this node takes no part in the DHT: dht.mode = off")]
    Off,
    #[error("the look-up failed")]
    LookUp(#[source] LookupError),
    #[error("the P2P runtime is gone")]
    Stopped,
}

/// Who provides `key`, asked on the P2P runtime, whose CPU it is.
pub(crate) async fn look_up(parts: &Parts, key: Key) -> Result<Arc<Providers>, AskError> {
    let router = parts.router.clone().ok_or(AskError::Off)?;
    let asked = parts.p2p.spawn(async move { router.lookup(key).await });
    asked.await.map_err(|_| AskError::Stopped)?.map_err(AskError::LookUp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_key_is_read_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ipsec.psk");
        let dht = |file: &Path| Dht {
            server: true,
            network_key_file: Some(file.to_owned()),
            reprovide_interval: Duration::from_secs(60),
            record_validity: Duration::from_secs(90),
            max_records: 2048,
            advertise: vec![],
        };
        let missing = network_key(&dht(&file)).unwrap_err();
        assert!(matches!(missing, NetworkKeyError::Unreadable { .. }));
        std::fs::write(&file, "c0ffee").unwrap();
        let short = crate::errors::chain(&network_key(&dht(&file)).unwrap_err());
        assert!(!short.contains("c0ffee") && short.contains("3 bytes"), "{short}");
        std::fs::write(&file, format!("{}\n", "c0ffee00".repeat(12))).unwrap();
        let key = network_key(&dht(&file)).unwrap().unwrap();
        assert_eq!(format!("{key:?}"), "NetworkKey(..)");
        let kad = kad(&dht(&file)).unwrap();
        assert_eq!((kad.store.records, kad.store.per_provider), (2048, 2048));
        assert!(self::kad(&Dht { server: false, ..dht(&file) }).is_none());
    }
}
