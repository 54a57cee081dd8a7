use std::collections::BTreeMap;

use proptest::prelude::*;
use unring_peer::Identity;

use crate::DnsaddrWalk;
use crate::limits::{MAX_DNSADDR_DEPTH, MAX_DNSADDR_LOOKUPS, MAX_FOUND};

/// What is found from `start`, how much was left out, and the look-ups.
fn walk(start: &str, zone: &BTreeMap<String, Vec<String>>) -> (Vec<String>, usize, Vec<String>) {
    let mut walk = DnsaddrWalk::new(start);
    let mut asked = Vec::new();
    while let Some(lookup) = walk.next_lookup() {
        let name = lookup.name.strip_prefix("_dnsaddr.").unwrap().to_owned();
        let records = zone.get(&name).map(Vec::as_slice).unwrap_or_default();
        walk.answer(&lookup, records.iter().map(String::as_str));
        asked.push(name);
    }
    let (found, skipped) = walk.finish();
    (found.iter().map(ToString::to_string).collect(), skipped, asked)
}

fn zone(records: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let mut zone: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, record) in records {
        zone.entry((*name).to_owned()).or_default().push((*record).to_owned());
    }
    zone
}

#[test]
fn names_are_followed_each_once() {
    let records = [
        ("a", "dnsaddr=/dnsaddr/b"),
        ("a", "dnsaddr=/ip4/10.0.0.1/tcp/1"),
        ("a", "v=spf1 -all"),
        ("b", "dnsaddr=/dnsaddr/A."),
        ("b", "dnsaddr=/ip4/10.0.0.2/tcp/1"),
        ("b", "dnsaddr=/ip4/10.0.0.1/tcp/1"),
        ("b", "dnsaddr=/ip4/10.0.0.2/udp/1/quic-v1"),
        ("b", "dnsaddr=/dnsaddr/c/tcp/1"),
    ];
    let (found, skipped, asked) = walk("a", &zone(&records));
    assert_eq!(found, ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"]);
    assert_eq!((skipped, asked), (2, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_name_for_one_peer_brings_no_other() {
    let (one, two) = (Identity::generate().peer_id(), Identity::generate().peer_id());
    let [first, second] = [one, two].map(|peer| format!("/ip4/10.0.0.1/tcp/1/p2p/{peer}"));
    let zone = zone(&[
        ("a", &format!("dnsaddr=/dnsaddr/b/p2p/{one}")),
        ("a", "dnsaddr=/dnsaddr/c/p2p/nobody"),
        ("b", &format!("dnsaddr={first}")),
        ("b", &format!("dnsaddr={second}")),
        ("b", "dnsaddr=/ip4/10.0.0.9/tcp/1"),
        ("b", &format!("dnsaddr=/dnsaddr/d/p2p/{two}")),
        ("b", "dnsaddr=/dnsaddr/e"),
        ("e", &format!("dnsaddr={second}")),
    ]);
    let (found, skipped, asked) = walk("a", &zone);
    assert_eq!(found, [first]);
    assert_eq!((skipped, asked.as_slice()), (5, &["a", "b", "e"].map(str::to_owned)[..]));
}

#[test]
fn depth_lookups_and_results_are_bounded() {
    let deep: Vec<_> =
        (0..20).map(|at| (at.to_string(), format!("dnsaddr=/dnsaddr/{}", at + 1))).collect();
    let deep: Vec<_> = deep.iter().map(|(name, record)| (name.as_str(), record.as_str())).collect();
    assert_eq!(walk("0", &zone(&deep)).2.len(), MAX_DNSADDR_DEPTH + 1);

    let wide: Vec<_> = (0..100).map(|at| format!("dnsaddr=/dnsaddr/n{at}")).collect();
    let wide: Vec<_> = wide.iter().map(|record| ("a", record.as_str())).collect();
    let (_, skipped, asked) = walk("a", &zone(&wide));
    assert_eq!(asked.len(), MAX_DNSADDR_LOOKUPS);
    assert_eq!(skipped + asked.len(), 101);

    let many: Vec<_> = (0..100).map(|at| format!("dnsaddr=/ip4/10.0.0.{at}/tcp/1")).collect();
    let many: Vec<_> = many.iter().map(|record| ("a", record.as_str())).collect();
    assert_eq!(walk("a", &zone(&many)).0.len(), MAX_FOUND);
    let more = [&[("a", "dnsaddr=/dnsaddr/b")], &many[..]].concat();
    assert_eq!(walk("a", &zone(&more)).2, ["a"], "it has enough");
    assert!(walk(&"a".repeat(250), &zone(&[])).2.is_empty());
    assert!(walk("", &zone(&[])).2.is_empty());
}

proptest! {
    #[test]
    fn any_zone_ends(records in proptest::collection::vec(("[a-d]", "(dnsaddr=)?(/dnsaddr/|/ip4/)?[a-d/0-9.]{0,8}(/tcp/1|/p2p/x)?"), 0..40)) {
        let records: Vec<_> = records.iter().map(|(name, record)| (name.as_str(), record.as_str())).collect();
        let (found, _, asked) = walk("a", &zone(&records));
        prop_assert!(found.len() <= MAX_FOUND && asked.len() <= MAX_DNSADDR_LOOKUPS);
    }
}
