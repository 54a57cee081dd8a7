use std::time::Duration;

use tokio::time::timeout;

use crate::test_util::{DnsServer, Record};
use crate::{Dns, DnsError};

const PATIENCE: Duration = Duration::from_secs(30);

fn a(last: u8) -> Record {
    Record::A([10, 0, 0, last].into())
}

fn aaaa(last: u16) -> Record {
    Record::Aaaa([0xfd00, 0, 0, 0, 0, 0, 0, last].into())
}

fn texts(candidates: &[crate::Candidate]) -> Vec<String> {
    candidates.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_first_three_of_each_family_in_order_with_our_own_port() {
    let server = DnsServer::start().unwrap();
    let dns = Dns::new(Some(server.address()));
    let mut records: Vec<_> = [9, 1, 10, 2, 1].map(a).into();
    records.extend([9, 1, 10, 2].map(aaaa));
    server.set("peers.test", records);
    let found = timeout(PATIENCE, dns.addresses("peers.test", 5872)).await.unwrap().unwrap();
    let expected = [
        "/ip4/10.0.0.1/tcp/5872",
        "/ip4/10.0.0.2/tcp/5872",
        "/ip4/10.0.0.9/tcp/5872",
        "/ip6/fd00::1/tcp/5872",
        "/ip6/fd00::2/tcp/5872",
        "/ip6/fd00::9/tcp/5872",
    ];
    assert_eq!(texts(&found), expected);
}

#[tokio::test]
async fn one_family_is_enough_and_what_changes_is_seen_at_once() {
    let server = DnsServer::start().unwrap();
    let dns = Dns::new(Some(server.address()));
    let error = timeout(PATIENCE, dns.addresses("peers.test", 1)).await.unwrap().unwrap_err();
    assert!(matches!(&error, DnsError::Lookup { name, .. } if name == "peers.test"), "{error:?}");
    for record in [aaaa(1), a(2), a(3)] {
        server.set("peers.test", vec![record]);
        let found = timeout(PATIENCE, dns.addresses("peers.test", 1)).await.unwrap().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }
    server.set("peers.test", vec![Record::Txt("nothing to dial".to_owned())]);
    timeout(PATIENCE, dns.addresses("peers.test", 1)).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn dnsaddr_is_followed_over_the_wire() {
    let server = DnsServer::start().unwrap();
    let dns = Dns::new(Some(server.address()));
    let txt = |text: &str| Record::Txt(text.to_owned());
    timeout(PATIENCE, dns.dnsaddr("peers.test")).await.unwrap().unwrap_err();
    // Longer than one string of a TXT record.
    let more = ["x".repeat(60).as_str(); 4].join(".");
    let further = txt(&format!("dnsaddr=/dnsaddr/{more}"));
    let records = vec![further, txt("dnsaddr=/dnsaddr/gone.test"), txt("other")];
    server.set("_dnsaddr.peers.test", records);
    let id = "12D3KooWFSUzsLypSXEfhDqQiyg8aXid3dYcgQue972BABbP4aMR";
    let long = format!("dnsaddr=/ip6/fd00::1/tcp/5001/p2p/{id}");
    server.set(&format!("_dnsaddr.{more}"), vec![txt(&long)]);
    let found = timeout(PATIENCE, dns.dnsaddr("peers.test")).await.unwrap().unwrap();
    assert_eq!(texts(&found), [format!("/ip6/fd00::1/tcp/5001/p2p/{id}")]);
}

#[tokio::test]
async fn a_silent_server_fails_within_the_time_of_a_question() {
    let server = DnsServer::start().unwrap();
    server.be_silent(true);
    let dns = Dns::new(Some(server.address()));
    let error = timeout(PATIENCE, dns.addresses("peers.test", 1)).await.unwrap().unwrap_err();
    assert!(matches!(error, DnsError::Lookup { .. }), "{error:?}");
    assert!(server.asked() >= 2);
}
