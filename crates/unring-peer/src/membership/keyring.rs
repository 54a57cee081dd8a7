//! What is derived from join tokens: tags of records, proofs of callers and servers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use libp2p_identity::PeerId;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroize as _;

use super::{JoinToken, NotAMember};

/// Bytes of one MAC: keyed BLAKE3 with its full output.
const MAC_BYTES: usize = 32;

/// MACs in one tag: by the token in use and by the one before or after it, so that a new token can be brought to one
/// node after the other.
const MACS: usize = 2;

/// Tokens that are accepted at once: those of two lines of a file, the one before a change, and one to spare. Further
/// ones are left out.
pub const MAX_TOKENS: usize = 4;

/// What is proved. Each has a key of its own, so that no MAC stands for another thing than it was made for.
#[derive(Clone, Copy)]
enum Use {
    Record,
    Caller,
    Server,
}

impl Use {
    const ALL: [Self; 3] = [Self::Record, Self::Caller, Self::Server];

    fn context(self) -> &'static str {
        match self {
            Self::Record => "unring 2026 join token: tag of a node record",
            Self::Caller => "unring 2026 join token: proof of a caller",
            Self::Server => "unring 2026 join token: proof of a server",
        }
    }
}

/// The keys of one token. Neither shown nor compared but in constant time, and wiped when dropped.
struct Keys {
    /// Compared with what somebody shows as a token.
    token: [u8; MAC_BYTES],
    uses: [[u8; MAC_BYTES]; Use::ALL.len()],
}

impl Keys {
    fn of(token: &[u8]) -> Self {
        Self {
            token: blake3::derive_key("unring 2026 join token: the token itself", token),
            uses: Use::ALL.map(|purpose| blake3::derive_key(purpose.context(), token)),
        }
    }

    fn mac(&self, purpose: Use, message: &[u8]) -> [u8; MAC_BYTES] {
        let [record, caller, server] = &self.uses;
        let key = match purpose {
            Use::Record => record,
            Use::Caller => caller,
            Use::Server => server,
        };
        *blake3::keyed_hash(key, message).as_bytes()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.token.zeroize();
        self.uses.iter_mut().for_each(|key| key.zeroize());
    }
}

/// The keys of the tokens that count. Cloning is cheap.
///
/// Everything is made with the first two of them and accepted by any, so that nodes which have a token and nodes which
/// have its successor are of one cluster for as long as some know both.
#[derive(Clone)]
pub struct Keyring(Arc<[Keys]>);

impl Keyring {
    /// The keys of `tokens`, the one in use first. At most [`MAX_TOKENS`] count; without any nobody is a member.
    #[must_use]
    pub fn new(tokens: &[JoinToken]) -> Self {
        Self(tokens.iter().take(MAX_TOKENS).map(|token| Keys::of(token.bytes())).collect())
    }

    /// How many tokens count.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.0.len()
    }

    /// The membership tag of a record.
    #[must_use]
    pub fn tag(&self, envelope: &[u8]) -> Bytes {
        self.make(Use::Record, envelope).into()
    }

    /// What `peer` shows when it calls. It is of no use to anybody else, whose certificate has another peer id.
    #[must_use]
    pub fn caller_proof(&self, peer: &PeerId) -> Vec<u8> {
        self.make(Use::Caller, &peer.to_bytes())
    }

    /// What `peer` shows when it is called.
    #[must_use]
    pub fn server_proof(&self, peer: &PeerId) -> Vec<u8> {
        self.make(Use::Server, &peer.to_bytes())
    }

    /// Whether `tag` is the tag of a record.
    ///
    /// # Errors
    /// When there is none, or it was made with another token.
    pub fn check_tag(&self, envelope: &[u8], tag: &[u8]) -> Result<(), NotAMember> {
        self.check(Use::Record, envelope, tag)
    }

    /// How many of the tokens `tag` was made with: a relay may have damaged a part of it.
    #[must_use]
    pub fn fitting(&self, envelope: &[u8], tag: &[u8]) -> usize {
        let (shown, _) = tag.as_chunks::<MAC_BYTES>();
        let fits = |keys: &&Keys| {
            let mac = keys.mac(Use::Record, envelope);
            bool::from(shown.iter().fold(Choice::from(0), |found, one| found | mac.ct_eq(one)))
        };
        self.0.iter().filter(fits).count()
    }

    /// Whether a caller that is `peer` is a member.
    ///
    /// # Errors
    /// When it shows nothing, or something made with another token or for another peer.
    pub fn check_caller(&self, peer: &PeerId, proof: &[u8]) -> Result<(), NotAMember> {
        self.check(Use::Caller, &peer.to_bytes(), proof)
    }

    /// Whether a server that is `peer` is a member.
    ///
    /// # Errors
    /// When it shows nothing, or something made with another token or for another peer.
    pub fn check_server(&self, peer: &PeerId, proof: &[u8]) -> Result<(), NotAMember> {
        self.check(Use::Server, &peer.to_bytes(), proof)
    }

    /// Whether `shown` is one of the tokens. What is compared are derived keys, so neither length nor content of a token
    /// can be told from the time it takes.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn check_token(&self, shown: &[u8]) -> Result<(), NotAMember> {
        let shown = Keys::of(shown);
        let any = |found: Choice, keys: &Keys| found | keys.token.ct_eq(&shown.token);
        verdict(self.0.iter().fold(Choice::from(0), any))
    }

    fn make(&self, purpose: Use, message: &[u8]) -> Vec<u8> {
        self.0.iter().take(MACS).flat_map(|keys| keys.mac(purpose, message)).collect()
    }

    /// Compares every MAC with that of every token, wherever one fits.
    fn check(&self, purpose: Use, message: &[u8], shown: &[u8]) -> Result<(), NotAMember> {
        if shown.is_empty() {
            return Err(NotAMember::NothingShown);
        }
        let (shown, rest) = shown.as_chunks::<MAC_BYTES>();
        if !rest.is_empty() || shown.len() > MACS {
            return Err(NotAMember::OtherToken);
        }
        let mut found = Choice::from(0);
        for keys in self.0.iter() {
            let mac = keys.mac(purpose, message);
            for shown in shown {
                found |= mac.ct_eq(shown);
            }
        }
        verdict(found)
    }
}

fn verdict(found: Choice) -> Result<(), NotAMember> {
    if bool::from(found) { Ok(()) } else { Err(NotAMember::OtherToken) }
}

impl fmt::Debug for Keyring {
    /// Shows how many tokens there are: the keys are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("tokens", &self.0.len()).finish_non_exhaustive()
    }
}
