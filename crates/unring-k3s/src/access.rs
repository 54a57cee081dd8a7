//! Who is let in: a client certificate, a password, or a bootstrap token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;
use zeroize::Zeroizing;

use crate::limits;
use crate::token::{Credentials, JoinToken};

/// The tokens with which one is let in.
///
/// Of each only hashes are kept. A request is compared with all of them, without regard to where a difference is, so that
/// the time it takes tells nothing.
#[derive(Clone, Debug, Default)]
pub struct Access {
    accepted: Vec<Accepted>,
}

#[derive(Clone, Debug)]
enum Accepted {
    /// Without a user it stands for any, as the `--token` of K3s stands for `node` and `server`.
    Password {
        user: Option<Hash>,
        password: Hash,
    },
    Bootstrap(Hash),
}

/// Of one length whatever was hashed. A hash without a secret of ours is enough: both sides know the text.
#[derive(Clone)]
struct Hash([u8; 32]);

/// More tokens than are compared with each request.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("{got} tokens, at most {} are accepted at once", limits::MAX_TOKENS)]
pub struct TooManyTokens {
    /// How many there are.
    pub got: usize,
}

/// Who a client certificate, already verified by TLS, speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedUser {
    /// Its common name, such as `system:node:server1`.
    pub name: String,
    /// Its organizations, which Kubernetes takes for groups; at most [`limits::MAX_GROUPS`].
    pub groups: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither a certificate nor a token that is accepted.
    Unknown,
    /// A certificate that TLS verified.
    Certified(CertifiedUser),
    /// The password or bootstrap token is right; the user that was given, empty with a bootstrap token.
    Token {
        /// As the client wrote it.
        user: String,
    },
}

impl Access {
    /// Lets in whoever knows one of these.
    ///
    /// # Errors
    /// With more than [`limits::MAX_TOKENS`].
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a JoinToken>) -> Result<Self, TooManyTokens> {
        let accepted: Vec<_> = tokens.into_iter().map(Accepted::new).collect();
        match accepted.len() {
            got if got > limits::MAX_TOKENS => Err(TooManyTokens { got }),
            _ => Ok(Self { accepted }),
        }
    }

    /// Who sent this `Authorization` header over a connection with this certificate. The certificate wins, as in K3s.
    #[must_use]
    pub fn standing(
        &self,
        authorization: Option<&[u8]>,
        certificate: Option<&CertifiedUser>,
    ) -> Standing {
        if let Some(user) = certificate {
            return Standing::Certified(user.clone());
        }
        match authorization.and_then(Given::parse) {
            Some(given) if self.accepts(&given) => Standing::Token { user: given.user },
            _ => Standing::Unknown,
        }
    }

    fn accepts(&self, given: &Given) -> bool {
        let (user, secret) = (Hash::of(given.user.as_bytes()), Hash::of(&given.secret));
        let mut accepted = Choice::from(0);
        for token in &self.accepted {
            accepted |= match token {
                Accepted::Password { user: wanted, password } => {
                    let right = wanted.as_ref().map_or(Choice::from(1), |wanted| wanted.eq(&user));
                    Choice::from(u8::from(!given.bearer)) & right & password.eq(&secret)
                }
                Accepted::Bootstrap(wanted) => {
                    Choice::from(u8::from(given.bearer)) & wanted.eq(&secret)
                }
            };
        }
        accepted.into()
    }
}

impl Accepted {
    fn new(token: &JoinToken) -> Self {
        match &token.credentials {
            Credentials::Password { user, password } => Self::Password {
                user: (!user.is_empty()).then(|| Hash::of(user.as_bytes())),
                password: Hash::of(password.expose().as_bytes()),
            },
            Credentials::Bootstrap(secret) => Self::Bootstrap(Hash::of(secret.expose().as_bytes())),
        }
    }
}

impl Hash {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// What an `Authorization` header says.
struct Given {
    bearer: bool,
    user: String,
    secret: Zeroizing<Vec<u8>>,
}

impl Given {
    /// Basic (RFC 7617) or bearer (RFC 6750); anything else, and anything too long, is nothing.
    fn parse(header: &[u8]) -> Option<Self> {
        if header.len() > limits::MAX_AUTHORIZATION_BYTES {
            return None;
        }
        let (scheme, rest) = header.split_at_checked(header.iter().position(|b| *b == b' ')?)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            let secret = Zeroizing::new(rest.to_vec());
            return Some(Self { bearer: true, user: String::new(), secret });
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let pair = Zeroizing::new(STANDARD.decode(rest).ok()?);
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let user = str::from_utf8(pair.get(..colon)?).ok()?.to_owned();
        let secret = Zeroizing::new(pair.get(colon + 1..)?.to_vec());
        Some(Self { bearer: false, user, secret })
    }
}

/// The `Authorization` header that K3s's client sends with these; none for a password without a user.
pub(crate) fn authorization(credentials: &Credentials) -> Option<Zeroizing<String>> {
    match credentials {
        Credentials::Password { user, .. } if user.is_empty() => None,
        Credentials::Password { user, password } => {
            let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
            let encoded = base64::encoded_len(pair.len(), true).unwrap_or(0);
            // Room for all of it: a string that grows leaves what it held behind in memory, and nobody wipes that.
            let mut header = Zeroizing::new(String::with_capacity("Basic ".len() + encoded));
            header.push_str("Basic ");
            STANDARD.encode_string(pair.as_bytes(), &mut header);
            Some(header)
        }
        Credentials::Bootstrap(secret) => {
            Some(Zeroizing::new(format!("Bearer {}", secret.expose())))
        }
    }
}

impl CertifiedUser {
    /// The common name and organizations of a certificate in DER; nothing if it cannot be read or has no common name.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Self::of_subject(certificate.subject())
    }

    pub(crate) fn of_subject(subject: &X509Name<'_>) -> Option<Self> {
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
        let groups = groups.take(limits::MAX_GROUPS).map(str::to_owned).collect();
        Some(Self { name, groups })
    }
}
