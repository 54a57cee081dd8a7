//! What sources of first peers tell: `/id` in its three forms, and the TXT records of a `/dnsaddr`.

use unring_bootstrap::limits::{
    MAX_DNSADDR_LOOKUPS, MAX_FOUND, MAX_ID_ADDRESSES, MAX_ID_BYTES, MAX_ID_PEERS,
};
use unring_bootstrap::{Candidate, DnsaddrWalk, parse_id, write_id};

use crate::support::show;

/// The port of addresses that lack one.
const PORT: u16 = 5872;

/// The bytes as a body of `/id`, and line by line as the TXT records of every name that is asked for.
pub fn check(data: &[u8]) {
    match parse_id(data, PORT) {
        Ok(answer) => {
            assert!(data.len() <= MAX_ID_BYTES);
            assert!(answer.candidates.len() <= MAX_ID_PEERS * MAX_ID_ADDRESSES);
            for candidate in &answer.candidates {
                assert_eq!(candidate.to_string().parse().as_ref(), Ok(candidate));
            }
            written_is_read(&answer.candidates);
        }
        Err(error) => drop(show(&error)),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut walk = DnsaddrWalk::new("peers.example");
    let mut lookups = 0;
    while let Some(lookup) = walk.next_lookup() {
        walk.answer(&lookup, text.lines());
        assert!(lookup.name.len() <= 253);
        lookups += 1;
    }
    assert!(lookups <= MAX_DNSADDR_LOOKUPS);
    let (found, _) = walk.finish();
    assert!(found.len() <= MAX_FOUND);
}

/// What a node serves of the addresses of one peer is what others read.
fn written_is_read(candidates: &[Candidate]) {
    let Some(peer) = candidates.iter().find_map(|candidate| candidate.peer) else { return };
    let own = candidates.iter().filter(|candidate| candidate.peer == Some(peer));
    let mut addresses: Vec<_> = own.map(|candidate| candidate.address.clone()).collect();
    addresses.truncate(MAX_ID_ADDRESSES);
    let again = parse_id(write_id(peer, &addresses).as_bytes(), PORT);
    let again = again.expect("what a node of ours writes can be read");
    assert!(again.candidates.iter().all(|candidate| candidate.peer == Some(peer)));
    let read: Vec<_> = again.candidates.into_iter().map(|candidate| candidate.address).collect();
    assert_eq!((read, again.skipped), (addresses, 0));
}
