//! From values by key to typed values: parsed once, each refusal naming source, key, value and what is accepted.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;
use unring_peer::{GrpcUrl, JoinToken, PeerAddress, PeerId, PeerLists, limits as record_limits};
use unring_rate_governor::CpuBudget;

use super::keys::KEYS;
use super::settings::{Setting, Settings};
use super::{
    Advertise, Bootstrap, ClusterFiles, Config, ConfigError, Dht, K3s, Limits, Listen, Log,
    LogFormat, Security, Timing, defaults,
};

const SECOND: Duration = Duration::from_secs(1);

/// Join tokens in the environment: as many as a file holds.
const MAX_TOKENS: usize = 2;

impl Config {
    /// The typed values of `settings`; `hostname` is the name of this host where none is set.
    ///
    /// # Errors
    /// The first value that is not accepted.
    pub fn read(settings: &Settings, hostname: Option<String>) -> Result<Self, ConfigError> {
        let s = settings;
        let insecure = s.parse("insecure", bool)?.unwrap_or(false);
        let config = Self {
            name: match s.parse("name", name)? {
                Some(name) => name,
                None => hostname
                    .and_then(|host| name(&Value::String(host)))
                    .ok_or(ConfigError::NoName)?,
            },
            data_dir: s.parse("data_dir", path)?.unwrap_or_else(|| defaults::DATA_DIR.into()),
            upstreams: s
                .parse_list("upstreams", record_limits::MAX_JOINS, url)?
                .unwrap_or_default(),
            insecure,
            zone: s.parse("zone", label)?.unwrap_or_default(),
            listen: Listen {
                grpc: s.parse("listen.grpc", from_str)?.unwrap_or(defaults::LISTEN_GRPC),
                grpc_plaintext: s.parse("listen.grpc_plaintext", bool)?.unwrap_or(false),
                libp2p: s
                    .parse_list("listen.libp2p", record_limits::MAX_ADDRESSES, listen_address)?
                    .unwrap_or_else(|| vec![defaults::LISTEN_LIBP2P]),
                admin: s.parse("listen.admin", from_str)?.unwrap_or(defaults::LISTEN_ADMIN),
            },
            advertise: Advertise {
                grpc: s.parse("advertise.grpc", url)?,
                libp2p: s
                    .parse_list(
                        "advertise.libp2p",
                        record_limits::MAX_ADDRESSES,
                        from_str::<PeerAddress>,
                    )?
                    .unwrap_or_default(),
            },
            bootstrap: Bootstrap::read(s)?,
            limits: limits(s)?,
            timing: Timing {
                record_ttl: s
                    .parse("timing.record_ttl", duration(5 * SECOND..=record_limits::MAX_TTL))?
                    .unwrap_or(defaults::RECORD_TTL),
                request_timeout: s
                    .parse("timing.request_timeout", duration(SECOND / 10..=30 * SECOND))?
                    .unwrap_or(defaults::REQUEST_TIMEOUT),
                drain_deadline: s
                    .parse("timing.drain_deadline", duration(Duration::ZERO..=300 * SECOND))?
                    .unwrap_or(defaults::DRAIN_DEADLINE),
            },
            k3s: K3s::read(s)?,
            dht: Dht::read(s)?,
            log: Log {
                format: s.parse("log.format", log_format)?.unwrap_or(LogFormat::Auto),
                level: s
                    .parse("log.level", log_level)?
                    .unwrap_or_else(|| defaults::LOG_LEVEL.into()),
            },
            security: security(s)?,
        };
        config.check_plaintext()?;
        Ok(config)
    }

    /// Takes a join token from the environment: there it is not shown to other users, as it would be among the arguments.
    ///
    /// # Errors
    /// When it is no token, or a file with one is configured, too.
    pub fn with_tokens(mut self, token: &str) -> Result<Self, ConfigError> {
        if self.security.token_file.is_some() {
            return Err(ConfigError::TwoTokens);
        }
        let parts = token.split(['\n', ',']).map(str::trim).filter(|part| !part.is_empty());
        let tokens: Vec<_> = parts.map(JoinToken::parse).collect();
        if tokens.len() > MAX_TOKENS {
            return Err(ConfigError::TokenCount { got: tokens.len() });
        }
        self.security.tokens =
            tokens.into_iter().collect::<Result<_, _>>().map_err(ConfigError::Token)?;
        if self.security.tokens.is_empty() {
            // Without its token the node would let everybody in.
            return Err(ConfigError::TokenCount { got: 0 });
        }
        Ok(self)
    }

    fn check_plaintext(&self) -> Result<(), ConfigError> {
        if self.insecure {
            return Ok(());
        }
        if self.listen.grpc_plaintext && !self.listen.grpc.ip().is_loopback() {
            let value = format!("true with listen.grpc = {}", self.listen.grpc);
            return Err(ConfigError::Plaintext { key: "listen.grpc_plaintext", value });
        }
        let is_local = |url: &GrpcUrl| match url.host().parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            // A name is checked when it is resolved; this one says what it is.
            Err(_) => url.host() == "localhost",
        };
        match self.upstreams.iter().find(|url| !url.is_tls() && !is_local(url)) {
            Some(url) => Err(ConfigError::Plaintext { key: "upstreams", value: url.to_string() }),
            None => Ok(()),
        }
    }
}

fn limits(s: &Settings) -> Result<Limits, ConfigError> {
    let count = |value: usize| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
    let rate = |value: u32| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
    Ok(Limits {
        cpu_budget: s.parse("limits.cpu_budget_percent", budget)?.unwrap_or(CpuBudget::DEFAULT),
        ignore_machine_pressure: s.parse("limits.ignore_machine_pressure", bool)?.unwrap_or(false),
        slots_per_upstream: count(
            s.parse("limits.slots_per_upstream", integer(1..=48))?
                .unwrap_or(defaults::SLOTS_PER_UPSTREAM),
        ),
        book_capacity: count(
            s.parse("limits.book_capacity", integer(16..=32_000))?
                .unwrap_or(defaults::BOOK_CAPACITY),
        ),
        max_connections: s
            .parse("limits.max_connections", integer(2..=4096))?
            .unwrap_or(defaults::MAX_CONNECTIONS),
        max_grpc_connections: s
            .parse("limits.max_grpc_connections", integer(4..=65_536))?
            .unwrap_or(defaults::MAX_GRPC_CONNECTIONS),
        requests_per_second: rate(
            s.parse("limits.requests_per_second", integer(1..=1_000_000))?
                .unwrap_or(defaults::REQUESTS_PER_SECOND),
        ),
    })
}

fn security(s: &Settings) -> Result<Security, ConfigError> {
    Ok(Security {
        token_file: s.parse("security.token_file", path)?,
        tokens: Vec::new(),
        token_overlap: s
            .parse("security.token_overlap", duration(Duration::ZERO..=24 * 3600 * SECOND))?
            .unwrap_or(defaults::TOKEN_OVERLAP),
        lists: PeerLists {
            allow: peers(s, "security.allow")?.into_iter().collect(),
            deny: peers(s, "security.deny")?.into_iter().collect(),
        },
        tls: cluster_files(s)?,
    })
}

/// Nodes on a list: as many as a book holds by default, which are looked through at a reload.
const MAX_LISTED_PEERS: usize = 4096;

fn peers(s: &Settings, key: &'static str) -> Result<Vec<PeerId>, ConfigError> {
    Ok(s.parse_list(key, MAX_LISTED_PEERS, from_str)?.unwrap_or_default())
}

/// All three files or none.
fn cluster_files(s: &Settings) -> Result<Option<ClusterFiles>, ConfigError> {
    let keys = ["security.ca_file", "security.cert_file", "security.key_file"];
    let [authorities, certificate, key] = keys.map(|key| s.parse(key, path));
    match (authorities?, certificate?, key?) {
        (Some(authorities), Some(certificate), Some(key)) => {
            Ok(Some(ClusterFiles { authorities, certificate, key }))
        }
        (None, None, None) => Ok(None),
        (authorities, certificate, _) => {
            let set = [authorities.is_some(), certificate.is_some(), false];
            let missing = keys.into_iter().zip(set).find(|(_, set)| !set);
            Err(ConfigError::ClusterFiles { missing: missing.map_or(keys[2], |(key, _)| key) })
        }
    }
}

impl Settings {
    pub(super) fn parse<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(setting) = self.get(key) else { return Ok(None) };
        parse(&setting.value).map(Some).ok_or_else(|| bad_value(key, setting, &setting.value))
    }

    pub(super) fn parse_list<T>(
        &self,
        key: &'static str,
        most: usize,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(setting) = self.get(key) else { return Ok(None) };
        let items = match &setting.value {
            Value::Array(items) if items.len() <= most => items.as_slice(),
            Value::Array(_) => return Err(bad_value(key, setting, &setting.value)),
            single => std::slice::from_ref(single),
        };
        let parsed =
            items.iter().map(|item| parse(item).ok_or_else(|| bad_value(key, setting, item)));
        parsed.collect::<Result<_, _>>().map(Some)
    }
}

fn bad_value(key: &'static str, setting: &Setting, value: &Value) -> ConfigError {
    let accepts =
        KEYS.iter().find(|known| known.name == key).map_or("another value", |key| key.accepts);
    let mut value: String = value.to_string().chars().take(200).collect();
    if value.is_empty() {
        "\"\"".clone_into(&mut value);
    }
    ConfigError::BadValue { from: setting.source.clone(), key, value, accepts }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

pub(super) fn from_str<T: FromStr>(value: &Value) -> Option<T> {
    text(value)?.parse().ok()
}

fn bool(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| from_str(value))
}

fn label(value: &Value) -> Option<String> {
    let text = text(value)?;
    let fits = text.len() <= record_limits::MAX_NAME_BYTES && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn name(value: &Value) -> Option<String> {
    label(value).filter(|name| !name.trim().is_empty())
}

pub(super) fn path(value: &Value) -> Option<PathBuf> {
    text(value).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn url(value: &Value) -> Option<GrpcUrl> {
    let url: GrpcUrl = from_str(value)?;
    (url.as_str().len() <= record_limits::MAX_JOIN_ADDRESS_BYTES).then_some(url)
}

/// `/ip4|ip6/ADDRESS/tcp/PORT`, where address and port may be left to the system.
fn listen_address(value: &Value) -> Option<SocketAddr> {
    let mut parts = text(value)?.strip_prefix('/')?.split('/');
    let (family, ip, tcp, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let ip: IpAddr = ip.parse().ok()?;
    let family_fits = matches!((family, ip), ("ip4", IpAddr::V4(_)) | ("ip6", IpAddr::V6(_)));
    (family_fits && tcp == "tcp" && parts.next().is_none())
        .then_some(SocketAddr::new(ip, port.parse().ok()?))
}

pub(super) fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&Value) -> Option<T> {
    move |value| {
        let number = value.as_integer().or_else(|| from_str(value))?;
        range.contains(&number).then(|| T::try_from(number).ok())?
    }
}

fn budget(value: &Value) -> Option<CpuBudget> {
    #[expect(clippy::cast_precision_loss, reason = "a percentage; out of range is refused anyway")]
    let percent = value
        .as_float()
        .or_else(|| value.as_integer().map(|n| n as f64))
        .or_else(|| from_str(value))?;
    CpuBudget::from_percent(percent).ok()
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Option<Duration> {
    move |value| {
        humantime::parse_duration(text(value)?).ok().filter(|duration| range.contains(duration))
    }
}

fn log_format(value: &Value) -> Option<LogFormat> {
    match text(value)? {
        "auto" => Some(LogFormat::Auto),
        "human" => Some(LogFormat::Human),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn log_level(value: &Value) -> Option<String> {
    let text = text(value)?;
    tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_owned())
}
