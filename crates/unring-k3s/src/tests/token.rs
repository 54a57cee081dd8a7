use proptest::prelude::*;

use crate::{CaHash, Credentials, InvalidToken, JoinToken, limits};

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";

/// The hash, the user and the secret; a bootstrap token has no user.
fn parts(text: &str) -> Result<(Option<String>, Option<String>, String), InvalidToken> {
    let token: JoinToken = text.parse()?;
    let (user, secret) = match &token.credentials {
        Credentials::Password { user, password } => (Some(user.clone()), password),
        Credentials::Bootstrap(secret) => (None, secret),
    };
    Ok((token.ca.map(|hash| hash.to_string()), user, secret.expose().to_owned()))
}

#[test]
fn every_form_is_read_as_k3s_reads_it() {
    let hash = Some(HASH.to_lowercase());
    let cases = [
        ("password", None, Some(""), "password"),
        ("abcdef.0123456789abcdef", None, None, "abcdef.0123456789abcdef"),
        ("K10{}:::password", hash.clone(), Some(""), "password"),
        ("K10{}::server:token", hash.clone(), Some("server"), "token"),
        ("K10{}::abcdef.0123456789abcdef", hash.clone(), None, "abcdef.0123456789abcdef"),
        ("K10::node:a:b::c", None, Some("node"), "a:b::c"),
        ("K10node:secret", None, Some("node"), "secret"),
        ("K10abcdef.0123456789abcdef", None, None, "abcdef.0123456789abcdef"),
        // Without `K10` a colon belongs to the password.
        ("node:secret", None, Some(""), "node:secret"),
        ("a::b", None, Some(""), "a::b"),
        // Not quite bootstrap tokens.
        ("Abcdef.0123456789abcdef", None, Some(""), "Abcdef.0123456789abcdef"),
        ("abcdef.0123456789abcdef0", None, Some(""), "abcdef.0123456789abcdef0"),
        ("  K10{}::node:x\n", hash.clone(), Some("node"), "x"),
    ];
    for (text, hash, user, secret) in cases {
        let want = (hash, user.map(str::to_owned), secret.to_owned());
        assert_eq!(parts(&text.replace("{}", HASH)), Ok(want), "{text}");
    }
}

#[test]
fn what_is_no_token_is_refused_with_its_reason() {
    let cases = [
        ("", InvalidToken::Empty),
        (" \n", InvalidToken::Empty),
        ("K10", InvalidToken::Credentials),
        ("K10::", InvalidToken::Credentials),
        ("K10::x", InvalidToken::Credentials),
        ("K10::x:", InvalidToken::Credentials),
        ("K10secret", InvalidToken::Credentials),
        ("K10XX::x:y", InvalidToken::CaHashLength { got: 2 }),
        ("K10X::x", InvalidToken::CaHashLength { got: 1 }),
        ("K10äö::x:y", InvalidToken::CaHashLength { got: 2 }),
        ("two\nlines", InvalidToken::ControlCharacter { at: 3 }),
    ];
    for (text, want) in cases {
        assert_eq!(parts(text), Err(want), "{text:?}");
    }
    // K3s keeps these until they match no CA.
    for hash in ["X".repeat(64), "+1".repeat(32), "ä".repeat(32)] {
        assert_eq!(parts(&format!("K10{hash}::x:y")), Err(InvalidToken::CaHashNotHex), "{hash}");
    }
    let got = limits::MAX_TOKEN_BYTES + 1;
    assert_eq!(parts(&"x".repeat(got)), Err(InvalidToken::TooLong { got }));
}

#[test]
fn a_hash_is_shown_as_k3s_shows_it() {
    let hash: CaHash = HASH.parse().unwrap();
    assert_eq!((hash.to_string(), format!("{hash:?}")), (HASH.to_lowercase(), HASH.to_lowercase()));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), head in "(K10)?[0-9a-f:]{0,70}") {
        let _ = parts(&text);
        let _ = parts(&format!("{head}{text}"));
    }

    #[test]
    fn what_it_holds_is_read_back(user in "[^:\\s\\p{Cc}]{0,20}", password in "[^\\s\\p{Cc}]{1,40}") {
        let (hash, read_user, read_password) =
            parts(&format!("K10{HASH}::{user}:{password}")).unwrap();
        prop_assert_eq!(hash, Some(HASH.to_lowercase()));
        prop_assert_eq!((read_user, read_password), (Some(user), password));
    }

    #[test]
    fn neither_a_token_nor_an_error_shows_the_secret(secret in "[a-z]{12}", broken in any::<bool>()) {
        let text = match broken {
            true => format!("K10bad::node:{secret}"),
            false => format!("K10{HASH}::node:{secret}"),
        };
        let shown = match text.parse::<JoinToken>() {
            Ok(token) => format!("{token:?} {:?}", token.clone().credentials),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains(&secret), "{}", shown);
        prop_assert_eq!(shown.contains("(secret)"), !broken);
    }
}
