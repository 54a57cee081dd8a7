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
    assert_eq!(access.standing(Some(header.as_bytes()), None), Standing::Unknown);
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
    let standing = Access::default().standing(None, Some(&node));
    assert_eq!(standing, Standing::Certified(node));
    let many = vec!["g"; limits::MAX_GROUPS + 5];
    assert!(user("x", &many).unwrap().groups.len() <= limits::MAX_GROUPS);
    assert_eq!(CertifiedUser::of_certificate(b"nonsense"), None);
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
    let long = vec![b'A'; limits::MAX_AUTHORIZATION_BYTES + 1];
    assert_eq!(Access::default().standing(Some(&long), None), Standing::Unknown);
}
