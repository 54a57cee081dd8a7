//! Answers of Kademlia.

use prost::Message as _;
use prost::encoding::decode_varint;

use crate::config::MAX_ADDRESSES_PER_PEER;
use crate::kad_wire::{
    Contact, MAX_ADDRESS_BYTES, MAX_PEERS_IN_ANSWER, add_provider, answer, find_node,
    get_providers, is_ip,
};
use crate::support::show;

/// The bytes as an answer: bounded, of IP addresses alone, and told to others it reads the same. As a key they are asked for.
pub fn check(data: &[u8]) {
    match answer(data) {
        Ok(answer) => {
            assert!(answer.closer.len() <= MAX_PEERS_IN_ANSWER);
            assert!(answer.providers.len() <= MAX_PEERS_IN_ANSWER);
            answer.closer.iter().chain(&answer.providers).for_each(bounded);
            answer.providers.iter().for_each(told_again);
        }
        Err(error) => drop(show(&error)),
    }
    for (kind, request) in [(4, find_node(data)), (3, get_providers(data))] {
        let message = Request::decode(message(&request)).expect("what we ask can be read");
        assert_eq!((message.kind, message.key.as_slice()), (kind, data));
    }
}

/// What others read of a request.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

fn bounded(contact: &Contact) {
    assert!(contact.addresses.len() <= MAX_ADDRESSES_PER_PEER);
    assert!(contact.addresses.iter().all(is_ip));
    assert!(contact.addresses.iter().all(|address| address.len() <= MAX_ADDRESS_BYTES));
}

fn told_again(provider: &Contact) {
    let told = add_provider(b"key", provider);
    let read = answer(message(&told)).expect("what we tell can be read");
    assert_eq!(read.providers, std::slice::from_ref(provider));
}

/// A message without the length before it.
fn message(mut framed: &[u8]) -> &[u8] {
    let length = decode_varint(&mut framed).expect("a length comes first");
    assert_eq!(usize::try_from(length), Ok(framed.len()));
    framed
}
