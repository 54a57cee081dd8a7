//! Where others reach this node: what was configured, else what it listens on, else the default route's address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use multiaddr::Multiaddr;
use unring_peer::{GrpcUrl, PeerAddress};

use crate::config::Config;

/// What a node tells others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// libp2p addresses.
    pub libp2p: Vec<PeerAddress>,
    /// gRPC service.
    pub grpc: Option<GrpcUrl>,
}

impl Advertised {
    /// For a node that really listens on `grpc` and `libp2p`. `route` gives this host's own address towards the outside.
    #[must_use]
    pub fn new(
        config: &Config,
        grpc: SocketAddr,
        libp2p: &[SocketAddr],
        route: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Self {
        let reachable = |listen: SocketAddr| {
            let ip = if listen.ip().is_unspecified() { route(listen.ip())? } else { listen.ip() };
            Some(SocketAddr::new(ip, listen.port()))
        };
        let scheme = if config.listen.grpc_plaintext { "http" } else { "https" };
        let grpc = config.advertise.grpc.clone().or_else(|| {
            let address = reachable(grpc)?;
            format!("{scheme}://{address}").parse().ok()
        });
        let mut addresses = config.advertise.libp2p.clone();
        if addresses.is_empty() {
            let dialled = libp2p.iter().filter_map(|listen| reachable(*listen)).map(multiaddr);
            addresses
                .extend(dialled.filter_map(|address| PeerAddress::from_multiaddr(address).ok()));
            addresses.dedup();
        }
        Self { libp2p: addresses, grpc }
    }
}

/// `/ip4|ip6/ADDRESS/tcp/PORT`.
#[must_use]
pub fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(multiaddr::Protocol::Tcp(address.port()))
}

/// The address of the interface that the default route of this family uses: never loopback, a container bridge or an
/// overlay, unless that is the way out. Connecting a UDP socket asks the routing table and sends nothing; the addresses
/// are those set aside for documentation (RFC 5737, RFC 3849).
#[must_use]
pub fn default_route(family: IpAddr) -> Option<IpAddr> {
    let (any, outside): (SocketAddr, SocketAddr) = match family {
        IpAddr::V4(_) => {
            ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into())
        }
        IpAddr::V6(_) => {
            let outside = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            ((Ipv6Addr::UNSPECIFIED, 0).into(), (outside, 9).into())
        }
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(outside).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KEYS, Settings};

    fn config(flags: &[(&str, &str)]) -> Config {
        let mut settings = Settings::default();
        for (flag, value) in flags {
            let key = KEYS.iter().find(|key| key.flag() == *flag).unwrap();
            settings.add_flag(key, vec![(*value).to_owned()]);
        }
        Config::read(&settings, Some("host".into())).unwrap()
    }

    fn advertised(
        flags: &[(&str, &str)],
        grpc: &str,
        libp2p: &str,
    ) -> (Option<String>, Vec<String>) {
        let route =
            |family: IpAddr| family.is_ipv4().then_some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));
        let libp2p: Vec<SocketAddr> =
            libp2p.split(' ').map(|address| address.parse().unwrap()).collect();
        let told = Advertised::new(&config(flags), grpc.parse().unwrap(), &libp2p, route);
        let libp2p = told.libp2p.iter().map(ToString::to_string).collect();
        (told.grpc.map(|url| url.to_string()), libp2p)
    }

    #[test]
    fn a_wildcard_stands_for_the_default_route() {
        let (grpc, libp2p) = advertised(&[], "0.0.0.0:5871", "0.0.0.0:5872");
        assert_eq!(grpc.as_deref(), Some("https://10.0.0.7:5871"));
        assert_eq!(libp2p, ["/ip4/10.0.0.7/tcp/5872"]);
    }

    #[test]
    fn without_a_route_nothing_is_told() {
        assert_eq!(advertised(&[], "[::]:5871", "[::]:5872"), (None, vec![]));
    }

    #[test]
    fn a_listen_address_is_told_as_it_is() {
        let plain = [("listen-grpc-plaintext", "true"), ("listen-grpc", "127.0.0.1:1")];
        let (grpc, libp2p) = advertised(&plain, "127.0.0.1:1", "127.0.0.1:2 [fd00::1]:3");
        assert_eq!(grpc.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(libp2p, ["/ip4/127.0.0.1/tcp/2", "/ip6/fd00::1/tcp/3"]);
    }

    #[test]
    fn what_is_configured_wins() {
        let flags =
            [("advertise-grpc", "https://vip:1"), ("advertise-libp2p", "/ip4/10.1.1.1/tcp/9")];
        let (grpc, libp2p) = advertised(&flags, "0.0.0.0:5871", "0.0.0.0:5872");
        assert_eq!(grpc.as_deref(), Some("https://vip:1"));
        assert_eq!(libp2p, ["/ip4/10.1.1.1/tcp/9"]);
    }
}
