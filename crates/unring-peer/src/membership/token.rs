//! The secret that the nodes of a cluster share.

use std::fmt;

use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

/// Fewest bytes of a token: 16 characters drawn at random from 64 are 96 bits, which nobody tries out. A tag lets whoever
/// sees it try tokens at leisure, so a password is not enough.
pub const MIN_TOKEN_BYTES: usize = 16;

/// Most bytes of a token: K3s's own take 110.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The secret that the nodes of a cluster share. It is wiped from memory when it is dropped and has no `Display`; its `Debug`
/// says nothing of it.
#[derive(Clone)]
pub struct JoinToken(Zeroizing<String>);

/// Why a text is not a token. It never holds any of the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidToken {
    /// Shorter than [`MIN_TOKEN_BYTES`].
    #[error("token of {got} bytes, at least {MIN_TOKEN_BYTES} are needed")]
    TooShort {
        /// Bytes it has.
        got: usize,
    },
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("token of {got} bytes, at most {MAX_TOKEN_BYTES} are allowed")]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Something that cannot be a header's value, which is how people show a token.
    #[error("a token must consist of visible ASCII characters")]
    Character,
}

impl JoinToken {
    /// Reads a token; space around it is not part of it.
    ///
    /// # Errors
    /// When it is too short, too long or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let got = text.len();
        if got < MIN_TOKEN_BYTES {
            return Err(InvalidToken::TooShort { got });
        }
        if got > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong { got });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::Character);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for JoinToken {
    /// In constant time, but for the length.
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for JoinToken {}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}
