//! Join tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use unring_k3s::{Access, CaHash, Credentials, JoinToken, Secret, Standing, limits};

use crate::support::show;

/// The bytes as a token: what is read lets in, nothing else does, and nothing of it is shown.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let token: JoinToken = match text.parse() {
        Ok(token) => token,
        Err(error) => return drop(show(&error)),
    };
    assert!(text.trim().len() <= limits::MAX_TOKEN_BYTES);
    if let Some(hash) = token.ca {
        assert_eq!(hash.to_string().parse::<CaHash>(), Ok(hash));
    }
    assert_eq!(format!("{token:?}"), format!("{:?}", with_secret(&token, "other")));
    let access = Access::new([&token]).expect("one token is not too many");
    let right = access.standing(Some(&header(&token.credentials)), None);
    assert!(matches!(right, Standing::Token { .. }), "its own token does not let in");
    let wrong = with_secret(&token, &format!("{}x", secret(&token)));
    assert_eq!(access.standing(Some(&header(&wrong.credentials)), None), Standing::Unknown);
    assert_eq!(access.standing(None, None), Standing::Unknown);
}

fn secret(token: &JoinToken) -> &str {
    match &token.credentials {
        Credentials::Password { password: secret, .. } | Credentials::Bootstrap(secret) => {
            secret.expose()
        }
    }
}

fn with_secret(token: &JoinToken, secret: &str) -> JoinToken {
    let secret = Secret::new(secret);
    let credentials = match &token.credentials {
        Credentials::Password { user, .. } => {
            Credentials::Password { user: user.clone(), password: secret }
        }
        Credentials::Bootstrap(_) => Credentials::Bootstrap(secret),
    };
    JoinToken { ca: token.ca, credentials }
}

/// As clients write it; any user will do where the token names none.
fn header(credentials: &Credentials) -> Vec<u8> {
    match credentials {
        Credentials::Password { user, password } => {
            let pair = format!("{user}:{}", password.expose());
            format!("Basic {}", STANDARD.encode(pair)).into_bytes()
        }
        Credentials::Bootstrap(secret) => format!("Bearer {}", secret.expose()).into_bytes(),
    }
}
