//! The part of the configuration that is about the DHT.

use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::error::ConfigError;
use super::read::{duration, integer, path, text};
use super::settings::Settings;

/// Bytes of a key as text. The longest name of an image has 255 bytes and its registry as many.
pub(crate) const MAX_KEY_BYTES: usize = 1024;

/// Keys that a configuration may name: some for look-ups across a cluster to be tried with. Content advertises itself.
const MAX_CONFIGURED_KEYS: usize = 64;

/// How a node takes part in the DHT.
#[derive(Clone, Debug)]
pub struct Dht {
    /// Whether it takes part.
    pub server: bool,
    /// Where the key of a private network is. It is never an option of its own: command lines and environments can be read by
    /// others.
    pub network_key_file: Option<PathBuf>,
    /// Others are told of each key once in this time.
    pub reprovide_interval: Duration,
    /// How long what others told is believed.
    pub record_validity: Duration,
    /// Records of other nodes that are kept.
    pub max_records: usize,
    /// Keys that this node provides for as long as it runs.
    pub advertise: Vec<String>,
}

impl Dht {
    pub(super) fn read(s: &Settings) -> Result<Self, ConfigError> {
        let second = Duration::from_secs(1);
        let dht = Self {
            server: s.parse("dht.mode", mode)?.unwrap_or(true),
            network_key_file: s.parse("dht.network_key_file", path)?,
            reprovide_interval: s
                .parse("dht.reprovide_interval", duration(second..=3600 * second))?
                .unwrap_or(unring_routing_kad::REPROVIDE_INTERVAL),
            record_validity: s
                .parse("dht.record_validity", duration(2 * second..=48 * 3600 * second))?
                .unwrap_or(unring_routing_kad::RECORD_VALIDITY),
            max_records: s
                .parse("dht.max_records", integer(1024..=4_194_304))?
                .unwrap_or(unring_routing_kad::MAX_PROVIDER_RECORDS),
            advertise: s.parse_list("dht.advertise", MAX_CONFIGURED_KEYS, key)?.unwrap_or_default(),
        };
        if !dht.server && !dht.advertise.is_empty() {
            let needs = "dht.mode = \"server\"";
            return Err(ConfigError::Incomplete { key: "dht.advertise", needs });
        }
        Ok(dht)
    }
}

fn key(value: &Value) -> Option<String> {
    let text = text(value)?;
    (1..=MAX_KEY_BYTES).contains(&text.len()).then(|| text.to_owned())
}

fn mode(value: &Value) -> Option<bool> {
    match text(value)? {
        "server" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
