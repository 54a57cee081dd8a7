use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::kit::Ca;
use crate::access::authorization;
use crate::{Access, CertifiedUser, JoinToken, Standing, TooManyTokens, limits};

fn token(text: &str) -> JoinToken {
    text.parse().unwrap()
}

#[test]
fn what_the_client_sends_lets_it_in() {
    let hash = "0".repeat(64);
    for text in [format!("K10{hash}::node:p:w d"), "abcdef.0123456789abcdef".to_owned()] {
        let token = token(&text);
        let access = Access::new([&token]).unwrap();
        let header = authorization(&token.credentials).unwrap();
        let standing = access.standing(Some(header.as_bytes()), None);
        assert!(matches!(standing, Standing::Token { .. }), "{text}: {standing:?}");
        assert_eq!(Access::default().standing(Some(header.as_bytes()), None), Standing::Unknown);
    }
    assert!(authorization(&token("password").credentials).is_none());
}

#[test]
fn a_token_without_a_user_stands_for_any() {
    let access = Access::new([&token("password")]).unwrap();
    for user in ["node", "server", "äö"] {
        let header = authorization(&token(&format!("K10::{user}:password")).credentials).unwrap();
        let want = Standing::Token { user: user.to_owned() };
        assert_eq!(access.standing(Some(header.as_bytes()), None), want);
    }
    let header = authorization(&token("K10::node:Password").credentials).unwrap();
    for header in [header.as_bytes(), b"Bearer password"] {
        assert_eq!(access.standing(Some(header), None), Standing::Unknown);
    }
}

#[test]
fn a_certificate_says_who_it_is() {
    let ca = Ca::root("ca");
    let user = |name: &str, groups: &[&str]| {
        let (pem, _) = ca.signs(name, groups, |_| {});
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        CertifiedUser::of_certificate(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    };
    let node = user("system:node:server1", &["system:nodes"]).unwrap();
    assert_eq!(
        (&*node.name, &node.groups[..]),
        ("system:node:server1", &["system:nodes".to_owned()][..])
    );
    // It wins over whatever else is shown.
    for authorization in [None, Some(&b"Basic bm9kZTp3cm9uZw=="[..]), Some(b"nonsense")] {
        let standing = Access::default().standing(authorization, Some(&node));
        assert_eq!(standing, Standing::Certified(node.clone()));
    }
    assert_eq!(CertifiedUser::of_certificate(b"nonsense"), None);
}

/// A DER value of less than 128 bytes.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn groups_are_bounded() {
    const COMMON_NAME: u8 = 3;
    const ORGANIZATION: u8 = 10;
    // X.501: a SET for each part, with its type and a UTF8String. The test's CA writes no type twice.
    let part = |kind, text: &str| {
        let pair = [der(0x06, &[0x55, 0x04, kind]), der(0x0c, text.as_bytes())].concat();
        der(0x31, &der(0x30, &pair))
    };
    let groups: Vec<_> = (0..limits::MAX_GROUPS + 5).map(|n| format!("g{n}")).collect();
    let mut parts = part(COMMON_NAME, "x");
    parts.extend(groups.iter().flat_map(|group| part(ORGANIZATION, group)));
    let length = u16::try_from(parts.len()).unwrap().to_be_bytes();
    let subject = [&[0x30, 0x82][..], &length, &parts].concat();
    let (_, subject) = X509Name::from_der(&subject).unwrap();
    let user = CertifiedUser::of_subject(&subject).unwrap();
    assert_eq!((&*user.name, &user.groups[..]), ("x", &groups[..limits::MAX_GROUPS]));
}

#[test]
fn tokens_are_bounded() {
    let tokens = vec![token("x"); limits::MAX_TOKENS + 1];
    let got = limits::MAX_TOKENS + 1;
    assert_eq!(Access::new(&tokens).unwrap_err(), TooManyTokens { got });
    assert!(Access::new(&tokens[1..]).is_ok());
}

#[test]
fn nothing_shows_a_secret() {
    let access = Access::new([&token("K10::node:hunter2"), &token("abcdef.0123456789abcdef")]);
    let shown = format!("{:?}", access.unwrap());
    assert!(shown.contains("(secret)") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_header_that_is_too_long_is_not_looked_at() {
    let secret = "abcdef.0123456789abcdef";
    let access = Access::new([&token(secret)]).unwrap();
    let header = |bytes: usize| format!("Bearer {secret:>width$}", width = bytes - "Bearer ".len());
    let standing = |bytes| access.standing(Some(header(bytes).as_bytes()), None);
    let known = Standing::Token { user: String::new() };
    assert_eq!(standing(limits::MAX_AUTHORIZATION_BYTES), known);
    assert_eq!(standing(limits::MAX_AUTHORIZATION_BYTES + 1), Standing::Unknown);
}
