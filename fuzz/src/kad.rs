//! Messages of Kademlia: what a node is asked, and what it is answered.

use prost::Message as _;
use prost::encoding::decode_varint;

use crate::config::MAX_ADDRESSES_PER_PEER;
use crate::kad_wire::{
    Answer, Contact, MAX_ADDRESS_BYTES, MAX_PEERS_IN_ANSWER, Request, add_provider, answer,
    find_node, get_providers, is_ip, reply, request,
};
use crate::support::show;

/// The bytes as an answer and as a request: bounded, of IP addresses alone, and told to others they read the same.
pub fn check(data: &[u8]) {
    let answered = match answer(data) {
        Ok(answer) => {
            assert!(answer.closer.len() <= MAX_PEERS_IN_ANSWER);
            assert!(answer.providers.len() <= MAX_PEERS_IN_ANSWER);
            answer.closer.iter().chain(&answer.providers).for_each(bounded);
            answer.providers.iter().for_each(told_again);
            answer
        }
        Err(error) => {
            drop(show(&error));
            Answer::default()
        }
    };
    match request(data) {
        Ok(request) => asked(&request, &answered),
        Err(error) => drop(show(&error)),
    }
    keys(data);
}

/// Whatever is known, the reply reads as that; and asked anew it is the same request.
fn asked(asked: &Request, known: &Answer) {
    let again = match asked {
        Request::FindNode(key) => Some(find_node(key)),
        Request::GetProviders(key) => Some(get_providers(key)),
        Request::AddProvider { providers, .. } => {
            assert!(providers.len() <= MAX_PEERS_IN_ANSWER);
            providers.iter().for_each(bounded);
            providers.iter().for_each(told_again);
            None
        }
        Request::Ping | Request::GetValue(_) => None,
    };
    if let Some(again) = again {
        assert_eq!(request(message(&again)).as_ref(), Ok(asked));
    }
    if let Some(reply) = reply(asked, known) {
        assert_eq!(answer(message(&reply)).as_ref(), Ok(known));
    }
}

/// The bytes as a key that is asked for, as others read it.
fn keys(data: &[u8]) {
    for (kind, request) in [(4, find_node(data)), (3, get_providers(data))] {
        let message = Asked::decode(message(&request)).expect("what we ask can be read");
        assert_eq!((message.kind, message.key.as_slice()), (kind, data));
    }
}

/// What others read of a request.
#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
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
