//! The messages of the protocol, and what of them is believed.
//!
//! Length-delimited protobuf, `dht.pb` of <https://github.com/libp2p/specs/tree/master/kad-dht#rpc-messages>. libp2p's own types of it
//! are private, and its client drops the addresses of providers.

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};
use prost::Message as _;
use thiserror::Error;

use crate::config::MAX_ADDRESSES_PER_PEER;

/// Peers believed of one list in an answer; further ones are skipped. Nodes tell of 20 closer ones, and rust-libp2p of 20
/// providers; go-libp2p tells of all providers that it knows.
pub(crate) const MAX_PEERS_IN_ANSWER: usize = 64;
/// Bytes of one address; longer ones are skipped.
pub(crate) const MAX_ADDRESS_BYTES: usize = 256;

/// Fields of a message that are read; what comes after them is not. Far more than the peers that are believed.
const MAX_FIELDS: usize = 1024;
/// The same of a peer in it.
const MAX_FIELDS_OF_PEER: usize = 64;
/// Bytes of a key in a request: a multihash has 34, a peer's id up to some 50, a record's name in other networks is longer.
const MAX_REQUEST_KEY: usize = 256;

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

/// What a node is asked. Others than these are not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Ping,
    FindNode(Vec<u8>),
    /// For a value, which nobody here has; who is closer is told as for the others.
    GetValue(Vec<u8>),
    GetProviders(Vec<u8>),
    AddProvider {
        key: Vec<u8>,
        providers: Vec<Contact>,
    },
}

/// Not a message of the protocol.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not a message of the protocol")]
pub(crate) struct Malformed;

/// The request in `bytes`, which are without their length.
pub(crate) fn request(bytes: &[u8]) -> Result<Request, Malformed> {
    let (mut kind, mut key, mut providers) = (0, &[][..], Vec::new());
    for field in Fields(bytes).take(MAX_FIELDS) {
        match field? {
            (1, Value::Number(number)) => kind = number,
            (2, Value::Bytes(bytes)) => key = bytes,
            (9, Value::Bytes(bytes)) if providers.len() < MAX_PEERS_IN_ANSWER => {
                providers.extend(contact(bytes)?);
            }
            _ => {}
        }
    }
    let kind = i32::try_from(kind).map_err(|_| Malformed)?;
    let key = || if key.len() <= MAX_REQUEST_KEY { Ok(key.to_vec()) } else { Err(Malformed) };
    match Kind::try_from(kind).map_err(|_| Malformed)? {
        Kind::Ping => Ok(Request::Ping),
        Kind::FindNode => Ok(Request::FindNode(key()?)),
        Kind::GetValue => Ok(Request::GetValue(key()?)),
        Kind::GetProviders => Ok(Request::GetProviders(key()?)),
        Kind::AddProvider => Ok(Request::AddProvider { key: key()?, providers }),
        Kind::PutValue => Err(Malformed),
    }
}

/// The bytes that answer `request`, with their length; `None`: it has no answer.
pub(crate) fn reply(request: &Request, answer: &Answer) -> Option<Vec<u8>> {
    let (kind, key) = match request {
        Request::Ping => (Kind::Ping, &[][..]),
        Request::FindNode(key) => (Kind::FindNode, key.as_slice()),
        Request::GetValue(key) => (Kind::GetValue, key.as_slice()),
        Request::GetProviders(key) => (Kind::GetProviders, key.as_slice()),
        Request::AddProvider { .. } => return None,
    };
    let peers = |contacts: &[Contact]| {
        let peer = |contact: &Contact| Peer {
            id: contact.peer.to_bytes(),
            addresses: contact.addresses.iter().map(Multiaddr::to_vec).collect(),
            connection: 0,
        };
        contacts.iter().map(peer).collect()
    };
    let (closer, providers) = (peers(&answer.closer), peers(&answer.providers));
    let message = Message { kind: kind.into(), key: key.to_vec(), closer, providers };
    Some(message.encode_length_delimited_to_vec())
}

/// The answer in `bytes`, which are without their length. Peers and addresses that cannot be read are skipped one by one.
///
/// Read field by field: as a whole, 4 MiB of empty peers would take 100 MiB.
pub(crate) fn answer(bytes: &[u8]) -> Result<Answer, Malformed> {
    let mut answer = Answer::default();
    for field in Fields(bytes).take(MAX_FIELDS) {
        let (list, bytes) = match field? {
            (8, Value::Bytes(bytes)) => (&mut answer.closer, bytes),
            (9, Value::Bytes(bytes)) => (&mut answer.providers, bytes),
            _ => continue,
        };
        if list.len() < MAX_PEERS_IN_ANSWER {
            list.extend(contact(bytes)?);
        }
    }
    Ok(answer)
}

fn contact(bytes: &[u8]) -> Result<Option<Contact>, Malformed> {
    let (mut id, mut addresses) = (&[][..], Vec::new());
    for field in Fields(bytes).take(MAX_FIELDS_OF_PEER) {
        match field? {
            (1, Value::Bytes(bytes)) => id = bytes,
            (2, Value::Bytes(bytes))
                if bytes.len() <= MAX_ADDRESS_BYTES && addresses.len() < MAX_ADDRESSES_PER_PEER =>
            {
                let address = Multiaddr::try_from(bytes.to_vec()).ok();
                addresses.extend(address.filter(is_ip));
            }
            _ => {}
        }
    }
    Ok(PeerId::from_bytes(id).ok().map(|peer| Contact { peer, addresses }))
}

/// The fields of a protobuf message (<https://protobuf.dev/programming-guides/encoding/>).
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits, which the protocol does not use.
    Other,
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
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

    #[test]
    fn millions_of_empty_peers_take_no_room() {
        let bytes = [0x42, 0].repeat(2 << 20);
        assert_eq!(answer(&bytes), Ok(Answer::default()));
        let peer = Contact { peer: PeerId::random(), addresses: vec![] };
        let first = reply(
            &Request::FindNode(vec![]),
            &Answer { closer: vec![peer.clone()], providers: vec![] },
        );
        let mut first = first.unwrap().split_off(1);
        first.extend(bytes);
        assert_eq!(answer(&first).unwrap().closer, [peer]);
    }

    #[test]
    fn requests_and_their_answers_are_read_as_they_were_written() {
        let contact = |n: u8| Contact {
            peer: PeerId::random(),
            addresses: vec![address(&format!("/ip4/10.0.0.{n}/tcp/1"))],
        };
        let told = Answer { closer: vec![contact(1), contact(2)], providers: vec![contact(3)] };
        // All messages here have one byte of length or two.
        let body = |bytes: Vec<u8>| bytes[1 + usize::from(bytes[0] >= 0x80)..].to_vec();
        for (bytes, wanted) in [
            (find_node(b"k"), Request::FindNode(b"k".to_vec())),
            (get_providers(b"k"), Request::GetProviders(b"k".to_vec())),
            (vec![2, 0x08, 5], Request::Ping),
            (vec![5, 0x08, 1, 0x12, 1, b'k'], Request::GetValue(b"k".to_vec())),
        ] {
            let request = request(&body(bytes)).unwrap();
            assert_eq!(request, wanted);
            let bytes = reply(&request, &told).unwrap();
            assert_eq!(answer(&body(bytes)).unwrap(), told);
        }
        let own = contact(9);
        let telling = request(&body(add_provider(b"k", &own))).unwrap();
        let wanted = Request::AddProvider { key: b"k".to_vec(), providers: vec![own] };
        assert_eq!(telling, wanted);
        assert_eq!(reply(&telling, &told), None);
        for bad in [&[0x08, 0][..], &[0x08, 99], &[0x08], &[0x0b], &[0x12, 5, 1], &[0xff; 12]] {
            assert_eq!(request(bad), Err(Malformed), "{bad:?}");
        }
        let long = Message {
            kind: 4,
            key: vec![0; MAX_REQUEST_KEY + 1],
            closer: vec![],
            providers: vec![],
        };
        assert_eq!(request(&long.encode_to_vec()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_prost_reads_is_read_alike(ids in prop::collection::vec(any::<bool>(), 0..10), key in prop::collection::vec(any::<u8>(), 0..40)) {
            let peer = |valid: &bool| Peer {
                id: if *valid { PeerId::random().to_bytes() } else { vec![1] },
                addresses: vec![address("/ip4/10.0.0.1/tcp/1").to_vec()],
                connection: 3,
            };
            let message = Message { kind: 3, key: key.clone(), closer: ids.iter().map(peer).collect(), providers: vec![] };
            let bytes = message.encode_to_vec();
            prop_assert_eq!(answer(&bytes).unwrap().closer.len(), ids.iter().filter(|valid| **valid).count());
            prop_assert_eq!(request(&bytes), Ok(Request::GetProviders(key)));
        }

        #[test]
        fn garbage_is_an_error_or_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (answer(&bytes), request(&bytes));
        }
    }
}
