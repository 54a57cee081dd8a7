//! Join tokens, read as K3s reads them (`parseToken` in `pkg/clientaccess/token.go`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::limits;
use crate::secret::Secret;

/// What a full token begins with.
const PREFIX: &str = "K10";

/// A join token: who one is to a server, and by which CA to know it.
///
/// | text | meaning |
/// |---|---|
/// | `K10HASH::USER:PASSWORD` | a server's `node-token` and `token` files |
/// | `K10HASH:::PASSWORD` | the same without a user |
/// | `K10HASH::ID.SECRET` | a bootstrap token of `k3s token create` |
/// | `K10::USER:PASSWORD`, `K10USER:PASSWORD` | no hash of the CA |
/// | `ID.SECRET` | a bootstrap token alone: 6 and 16 of `a-z0-9` |
/// | anything else | a password alone |
///
/// White space around it, such as the line break of a file, does not belong to it. It is stricter than K3s in that a hash
/// must be hexadecimal and nothing may be a control character.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The CA to expect, where the token says.
    pub ca: Option<CaHash>,
    /// Who one is.
    pub credentials: Credentials,
}

/// Who one is to a server.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// HTTP basic authentication (RFC 7617).
    Password {
        /// `node`, `server`, or empty where the token does not say. Without a colon.
        user: String,
        /// Never empty.
        password: Secret,
    },
    /// A bootstrap token `ID.SECRET`, sent as a bearer token (RFC 6750).
    Bootstrap(Secret),
}

/// The hash of a cluster's CA: SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaHash(pub [u8; 32]);

/// Why a text is no join token. None of these shows any part of the text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum InvalidToken {
    /// Nothing but white space.
    #[error("the token is empty")]
    Empty,
    /// Longer than [`limits::MAX_TOKEN_BYTES`].
    #[error("token of {got} bytes, at most {} are allowed", limits::MAX_TOKEN_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// A line break in the middle, for example.
    #[error("the token has a control character at byte {at}")]
    ControlCharacter {
        /// Where, from 0.
        at: usize,
    },
    /// Between `K10` and `::` there must be 64 digits or nothing.
    #[error("the token's CA hash has {got} characters, not {}", CaHash::HEX_DIGITS)]
    CaHashLength {
        /// Characters it has.
        got: usize,
    },
    /// 64 characters that are no hash.
    #[error("the token's CA hash is not hexadecimal")]
    CaHashNotHex,
    /// Behind `K10HASH::` stands neither `USER:PASSWORD` nor `ID.SECRET`, or the password is empty.
    #[error("the token has neither USER:PASSWORD nor ID.SECRET after its CA hash")]
    Credentials,
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if text.len() > limits::MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong { got: text.len() });
        }
        if let Some(at) = text.find(char::is_control) {
            return Err(InvalidToken::ControlCharacter { at });
        }
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Ok(Self { ca: None, credentials: Credentials::alone(text) });
        };
        let (ca, credentials) = match rest.split_once("::") {
            Some(("", credentials)) => (None, credentials),
            Some((hash, credentials)) => (Some(hash.parse()?), credentials),
            None => (None, rest),
        };
        let credentials = Credentials::of_full(credentials).ok_or(InvalidToken::Credentials)?;
        Ok(Self { ca, credentials })
    }
}

impl Credentials {
    /// Those of a text without `K10`.
    fn alone(text: &str) -> Self {
        if is_bootstrap(text) {
            return Self::Bootstrap(Secret::new(text));
        }
        Self::Password { user: String::new(), password: Secret::new(text) }
    }

    /// Those behind the hash of a full token.
    fn of_full(text: &str) -> Option<Self> {
        if is_bootstrap(text) {
            return Some(Self::Bootstrap(Secret::new(text)));
        }
        let (user, password) = text.split_once(':').filter(|(_, word)| !word.is_empty())?;
        Some(Self::Password { user: user.to_owned(), password: Secret::new(password) })
    }
}

/// `ID.SECRET` as kubeadm has it: 6 and 16 of `a-z0-9`.
fn is_bootstrap(text: &str) -> bool {
    let all = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && all(id) && all(secret))
}

impl CaHash {
    /// Digits of its text.
    pub const HEX_DIGITS: usize = 64;
}

impl FromStr for CaHash {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != Self::HEX_DIGITS {
            return Err(InvalidToken::CaHashLength { got: text.chars().count() });
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            *byte = pair
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(InvalidToken::CaHashNotHex)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
