use base64::Engine as _;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::kit::Ca;
use crate::{CaBundle, CaHash, InvalidCa, limits};

fn hash_of(bytes: &[u8]) -> CaHash {
    CaHash(Sha256::digest(bytes).into())
}

/// The hash of a bundle, and how many of its certificates are trusted.
fn read(pem: &str) -> (CaHash, usize) {
    let bundle = CaBundle::from_pem(pem.as_bytes()).unwrap();
    (bundle.hash(), bundle.roots().unwrap().len())
}

#[test]
fn one_certificate_is_hashed_as_the_text_it_is() {
    let ca = Ca::root("a");
    assert_eq!(read(&ca.pem), (hash_of(ca.pem.as_bytes()), 1));
    let commented = format!("# by hand\n{}", ca.pem);
    assert_eq!(read(&commented), (hash_of(commented.as_bytes()), 1), "every byte counts");
}

#[test]
fn of_several_the_root_of_the_first_is_hashed() {
    let root = Ca::root("root");
    let middle = root.intermediate("middle");
    let last = middle.intermediate("last");
    let root_hash = hash_of(&root.der);
    assert_eq!(read(&format!("{}{}", middle.pem, root.pem)), (root_hash, 2));
    assert_eq!(read(&format!("{}{}{}", last.pem, root.pem, middle.pem)), (root_hash, 3));
}

#[test]
fn what_the_hash_does_not_vouch_for_is_not_trusted() {
    let (root, stranger) = (Ca::root("root"), Ca::root("stranger"));
    let middle = root.intermediate("middle");
    // K3s would trust the stranger too.
    let added = format!("{}{}{}", middle.pem, stranger.pem, root.pem);
    assert_eq!(read(&added), (hash_of(&root.der), 2));
    // The same name is no signature.
    let namesake = Ca::root("root").intermediate("middle");
    let forged = format!("{}{}", namesake.pem, root.pem);
    assert_eq!(read(&forged), (hash_of(forged.as_bytes()), 2));
    // Neither is one by somebody who is no CA.
    let (leaf, _) = root.signs("leaf", &[], |_| {});
    let no_ca = format!("{}{leaf}", middle.pem);
    assert_eq!(read(&no_ca).0, hash_of(no_ca.as_bytes()));
    // Nor one by a key that the CA gave to a node.
    let node = root.no_ca("node");
    let by_node = format!("{}{}{}", node.intermediate("middle").pem, node.pem, root.pem);
    assert_eq!(read(&by_node).0, hash_of(by_node.as_bytes()));
    // Nor does a hash of the root vouch for the key of somebody whom it signed.
    let leaf_first = format!("{leaf}{}", root.pem);
    assert_eq!(read(&leaf_first).0, hash_of(leaf_first.as_bytes()));
}

#[test]
fn two_roots_side_by_side_are_hashed_as_text() {
    let both = Ca::root("old").pem + &Ca::root("new").pem;
    assert_eq!(read(&both), (hash_of(both.as_bytes()), 2));
}

#[test]
fn another_ca_is_not_the_one() {
    let (a, b) = (Ca::root("a"), Ca::root("a"));
    let bundle = CaBundle::from_pem(a.pem.as_bytes()).unwrap();
    assert!(bundle.verify(hash_of(a.pem.as_bytes())).is_ok());
    let wrong = bundle.verify(hash_of(b.pem.as_bytes())).unwrap_err();
    let text = wrong.to_string();
    assert!(text.starts_with("token CA hash does not match the Cluster CA certificate hash: "));
    assert_eq!(wrong.got, bundle.hash());
}

#[test]
fn what_is_no_ca_is_refused() {
    let read = |bytes: &[u8]| CaBundle::from_pem(bytes).unwrap_err();
    assert!(matches!(read(b""), InvalidCa::Empty));
    assert!(matches!(read(b"<html>"), InvalidCa::Empty));
    let block =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    assert!(matches!(read(block("!!").as_bytes()), InvalidCa::NotPem(_)));
    assert!(matches!(read(block("AAAA").as_bytes()), InvalidCa::NotCertificate { index: 0 }));
    // A certificate, and a byte behind it.
    let more = [&Ca::root("a").der[..], &[0]].concat();
    let more = block(&base64::engine::general_purpose::STANDARD.encode(more));
    assert!(matches!(read(more.as_bytes()), InvalidCa::NotCertificate { index: 0 }));
    let long = vec![b'x'; limits::MAX_CA_BYTES + 1];
    assert!(matches!(read(&long), InvalidCa::TooLong { .. }));
    let many = Ca::root("a").pem.repeat(limits::MAX_CA_CERTIFICATES + 1);
    assert!(matches!(read(many.as_bytes()), InvalidCa::TooMany { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), flip in 0_usize..400) {
        let _ = CaBundle::from_pem(&body);
        static CA: std::sync::OnceLock<Ca> = std::sync::OnceLock::new();
        let ca = CA.get_or_init(|| Ca::root("a"));
        let mut pem = ca.pem.clone().into_bytes();
        let at = flip % pem.len();
        pem[at] ^= 1;
        let _ = CaBundle::from_pem(&pem);
    }
}
