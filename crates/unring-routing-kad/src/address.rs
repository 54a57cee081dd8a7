//! Which addresses are used: TCP over an IP address, nothing else.

use std::net::{IpAddr, SocketAddr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// The socket address that `address` means, with the peer id at its end, if it is `/ip4|ip6/ADDRESS/tcp/PORT` with or
/// without `/p2p/ID`.
pub(crate) fn split(address: &Multiaddr) -> Option<(SocketAddr, Option<PeerId>)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return None,
    };
    parts.next().is_none().then_some((SocketAddr::new(ip, port), peer))
}

/// The socket address to listen on.
pub(crate) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    split(address).and_then(|(socket, peer)| peer.is_none().then_some(socket))
}

/// Whether another node could connect to `socket`.
pub(crate) fn can_be_dialled(socket: SocketAddr) -> bool {
    socket.port() != 0 && !socket.ip().is_unspecified() && !socket.ip().is_multicast()
}

/// `address` without its peer id, if `peer` can be dialled there.
pub(crate) fn dialable(address: &Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    let (socket, named) = split(address)?;
    let other = named.is_some_and(|named| named != *peer);
    if other || !can_be_dialled(socket) {
        return None;
    }
    let mut address = Multiaddr::from(socket.ip());
    address.push(Protocol::Tcp(socket.port()));
    Some(address)
}

/// As [`dialable`], for an address that somebody told: not link-local, which means nothing without an interface and is where clouds
/// serve a machine's secrets (169.254.169.254), and loopback only where other nodes are there too.
pub(crate) fn hearsay(address: &Multiaddr, peer: &PeerId, loopback: bool) -> Option<Multiaddr> {
    let ip = split(address)?.0.ip().to_canonical();
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let strange = is_link_local || ip.is_unspecified() || ip.is_multicast();
    if strange || (ip.is_loopback() && !loopback) { None } else { dialable(address, peer) }
}

/// Whether the address is on the loopback interface.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    split(address).is_some_and(|(socket, _)| socket.ip().to_canonical().is_loopback())
}

/// `address` without a peer id at its end.
pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_over_ip_is_dialled() {
        let peer = PeerId::random();
        let check = |text: &str, expected: Option<&str>| {
            let address: Multiaddr = text.parse().unwrap();
            let got = dialable(&address, &peer).map(|address| address.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("/ip4/10.0.0.1/tcp/5001", Some("/ip4/10.0.0.1/tcp/5001"));
        check("/ip6/fd00::1/tcp/5001", Some("/ip6/fd00::1/tcp/5001"));
        check(&format!("/ip4/10.0.0.1/tcp/1/p2p/{peer}"), Some("/ip4/10.0.0.1/tcp/1"));
        check(&format!("/ip4/10.0.0.1/tcp/1/p2p/{}", PeerId::random()), None);
        check("/dns4/server1/tcp/5001", None);
        check("/ip4/10.0.0.1/udp/5001/quic-v1", None);
        check("/ip4/10.0.0.1/tcp/5001/ws", None);
        check("/ip4/10.0.0.1/tcp/0", None);
        check("/ip4/0.0.0.0/tcp/5001", None);
        check("/ip4/224.0.0.1/tcp/5001", None);
        check("/ip4/10.0.0.1", None);
    }

    #[test]
    fn strangers_send_nobody_to_the_machine_itself() {
        let check = |text: &str, elsewhere: bool, here: bool| {
            let address: Multiaddr = text.parse().unwrap();
            let usable = |loopback| hearsay(&address, &PeerId::random(), loopback).is_some();
            assert_eq!((usable(false), usable(true)), (elsewhere, here), "{text}");
        };
        check("/ip4/10.0.0.1/tcp/5001", true, true);
        check("/ip6/fd00::1/tcp/5001", true, true);
        for loopback in ["/ip4/127.0.0.1/tcp/22", "/ip6/::1/tcp/22", "/ip6/::ffff:127.0.0.1/tcp/22"]
        {
            check(loopback, false, true);
        }
        for local in [
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/fe80::1/tcp/1",
            "/ip6/::ffff:169.254.169.254/tcp/80",
        ] {
            check(local, false, false);
        }
        check("/ip6/::ffff:0.0.0.0/tcp/1", false, false);
        check("/ip4/255.255.255.255/tcp/1", false, false);
        check("/dns4/server1/tcp/5001", false, false);
    }
}
