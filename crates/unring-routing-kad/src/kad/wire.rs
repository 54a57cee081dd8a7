//! The messages of the protocol, and what of them is believed.
//!
//! Length-delimited protobuf, `dht.pb` of <https://github.com/libp2p/specs/tree/master/kad-dht#rpc-messages>. libp2p's own types of it
//! are private, and its client drops the addresses of providers.

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};
use prost::Message as _;

use crate::config::MAX_ADDRESSES_PER_PEER;

/// Peers believed of one list in an answer; further ones are skipped. Nodes tell of 20 closer ones, and rust-libp2p of 20
/// providers; go-libp2p tells of all providers that it knows.
pub(crate) const MAX_PEERS_IN_ANSWER: usize = 64;
/// Bytes of one address; longer ones are skipped.
pub(crate) const MAX_ADDRESS_BYTES: usize = 256;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(enumeration = "Kind", tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(message, repeated, tag = "8")]
    closer: Vec<Peer>,
    #[prost(message, repeated, tag = "9")]
    providers: Vec<Peer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    PutValue = 0,
    GetValue = 1,
    AddProvider = 2,
    GetProviders = 3,
    FindNode = 4,
    Ping = 5,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Peer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
    #[prost(int32, tag = "3")]
    connection: i32,
}

/// A peer and where it may be: at most [`MAX_ADDRESSES_PER_PEER`] addresses, each of an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

impl Contact {
    pub(crate) fn new(peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) -> Self {
        let usable = addresses.into_iter().filter(is_ip);
        Self { peer, addresses: usable.take(MAX_ADDRESSES_PER_PEER).collect() }
    }
}

/// Whether an address begins with an IP address and is not absurdly long. Others are of no use to anybody here.
pub(crate) fn is_ip(address: &Multiaddr) -> bool {
    let first = address.iter().next();
    address.len() <= MAX_ADDRESS_BYTES && matches!(first, Some(Protocol::Ip4(_) | Protocol::Ip6(_)))
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) closer: Vec<Contact>,
    pub(crate) providers: Vec<Contact>,
}

/// "Who of those you know is closest to `key`?"
pub(crate) fn find_node(key: &[u8]) -> Vec<u8> {
    encode(Kind::FindNode, key, Vec::new())
}

/// "Who provides `key`, and who is closer to it?"
pub(crate) fn get_providers(key: &[u8]) -> Vec<u8> {
    encode(Kind::GetProviders, key, Vec::new())
}

/// "I provide `key`"; the receiver believes it only of the sender, and only with an address.
pub(crate) fn add_provider(key: &[u8], provider: &Contact) -> Vec<u8> {
    let addresses = provider.addresses.iter().map(Multiaddr::to_vec).collect();
    // 1: connected, which the sender is.
    let peer = Peer { id: provider.peer.to_bytes(), addresses, connection: 1 };
    encode(Kind::AddProvider, key, vec![peer])
}

fn encode(kind: Kind, key: &[u8], providers: Vec<Peer>) -> Vec<u8> {
    let message = Message { kind: kind.into(), key: key.to_vec(), closer: Vec::new(), providers };
    message.encode_length_delimited_to_vec()
}

/// The answer in `bytes`, which are without their length. Peers and addresses that cannot be read are skipped one by one.
pub(crate) fn answer(bytes: &[u8]) -> Result<Answer, prost::DecodeError> {
    let message = Message::decode(bytes)?;
    Ok(Answer { closer: contacts(message.closer), providers: contacts(message.providers) })
}

fn contacts(peers: Vec<Peer>) -> Vec<Contact> {
    let contact = |peer: Peer| {
        let id = PeerId::from_bytes(&peer.id).ok()?;
        let addresses = peer.addresses.into_iter().filter(|bytes| bytes.len() <= MAX_ADDRESS_BYTES);
        Some(Contact::new(id, addresses.filter_map(|bytes| Multiaddr::try_from(bytes).ok())))
    };
    peers.into_iter().filter_map(contact).take(MAX_PEERS_IN_ANSWER).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn requests_are_the_bytes_that_others_read() {
        assert_eq!(find_node(b"k"), [5, 0x08, 4, 0x12, 1, b'k']);
        assert_eq!(get_providers(b"k"), [5, 0x08, 3, 0x12, 1, b'k']);
        let peer = PeerId::random();
        let provider = Contact::new(peer, [address("/ip4/10.0.0.1/tcp/5001")]);
        let bytes = add_provider(b"k", &provider);
        let id = peer.to_bytes();
        let mut wanted = vec![0x08, 2, 0x12, 1, b'k', 0x4a];
        let mut inner = vec![0x0a, u8::try_from(id.len()).unwrap()];
        inner.extend(&id);
        inner.extend([
            0x12,
            8,
            4,
            10,
            0,
            0,
            1,
            6,
            5001_u16.to_be_bytes()[0],
            5001_u16.to_be_bytes()[1],
        ]);
        inner.extend([0x18, 1]);
        wanted.push(u8::try_from(inner.len()).unwrap());
        wanted.extend(inner);
        assert_eq!(bytes[0], u8::try_from(wanted.len()).unwrap());
        assert_eq!(bytes[1..], wanted);
    }

    #[test]
    fn what_cannot_be_used_is_skipped_one_by_one() {
        let good = PeerId::random();
        let ip = address("/ip4/10.0.0.1/tcp/1");
        let addresses = vec![
            address("/dns4/server1/tcp/1").to_vec(),
            vec![0xff; 9],
            vec![0; MAX_ADDRESS_BYTES + 1],
            ip.to_vec(),
        ];
        let peers = vec![
            Peer { id: vec![1, 2, 3], addresses: vec![], connection: 0 },
            Peer { id: good.to_bytes(), addresses, connection: 77 },
        ];
        let message = Message { kind: 3, key: vec![], closer: vec![], providers: peers };
        let answer = answer(&message.encode_to_vec()).unwrap();
        assert_eq!(answer.providers, [Contact { peer: good, addresses: vec![ip] }]);
    }

    #[test]
    fn an_answer_is_believed_within_its_bounds() {
        let peer = || Peer {
            id: PeerId::random().to_bytes(),
            addresses: (0..20)
                .map(|n| address(&format!("/ip4/10.0.0.{n}/tcp/1")).to_vec())
                .collect(),
            connection: 0,
        };
        let closer = (0..100).map(|_| peer()).collect();
        let message = Message { kind: 4, key: vec![], closer, providers: vec![] };
        let answer = answer(&message.encode_to_vec()).unwrap();
        assert_eq!(answer.closer.len(), MAX_PEERS_IN_ANSWER);
        assert!(answer.closer.iter().all(|peer| peer.addresses.len() == MAX_ADDRESSES_PER_PEER));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes);
        }
    }
}
