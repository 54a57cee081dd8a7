//! Certificates of a cluster's own authority, such as K3s's, beside those that are bound to peer ids.
//!
//! A certificate of such an authority says nothing of a peer id, and an end can show one certificate. So a node goes on to show
//! the one that is bound to its peer id, and in it, in an extension, the cluster's certificate together with a signature by that
//! one's key over the key of the connection. Both are then bound to the connection, whoever looks at it knows both, and
//! nodes that are not told of an authority see what they always saw.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime};
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, pki_types};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::asn1_rs::{FromDer as _, Sequence};

use super::{InvalidCertificate, der};

/// What the cluster's certificate signs, before the public key of the connection's certificate (SubjectPublicKeyInfo, DER).
const SIGNATURE_PREFIX: &[u8] = b"unring-cluster-tls:";

/// Certificates of one node: its own and those that lead to the authority. K3s has one or two.
const MAX_CHAIN: usize = 4;

/// Authorities that are trusted: the one of servers, the one of clients, and their successors.
const MAX_AUTHORITIES: usize = 8;

/// Bytes of all certificates of one node: with them its certificate stays below what others read.
const MAX_CHAIN_BYTES: usize = 6 * 1024;

/// A cluster's authorities, and a certificate by one of them with its private key.
#[derive(Clone)]
pub struct ClusterTls {
    authorities: Arc<[TrustAnchor<'static>]>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why files of a cluster's authority cannot be used. None of it holds any part of a key.
#[derive(Debug, Error)]
pub enum InvalidClusterTls {
    /// The authorities are no certificates.
    #[error("the authorities are not certificates in PEM")]
    Authorities(#[source] pem::Error),
    /// None, or more than anybody has.
    #[error("{got} authorities, must be 1 to {MAX_AUTHORITIES}")]
    AuthorityCount {
        /// How many there are.
        got: usize,
    },
    /// The node's own certificate is none.
    #[error("the certificate is not one in PEM")]
    Certificate(#[source] pem::Error),
    /// None, or more than lead to any authority.
    #[error(
        "{got} certificates of {bytes} bytes, must be 1 to {MAX_CHAIN} of at most {MAX_CHAIN_BYTES}"
    )]
    Chain {
        /// How many there are.
        got: usize,
        /// Bytes of all.
        bytes: usize,
    },
    /// The key is none.
    #[error("the key is not one in PEM")]
    Key(#[source] pem::Error),
    /// A kind of key that cannot sign.
    #[error("the key is of a kind that is not supported")]
    KeyKind(#[source] rustls::Error),
    /// Certificate and key do not belong together.
    #[error("the key is not that of the certificate")]
    OtherKey,
    /// Others would refuse it.
    #[error("other nodes would refuse the certificate")]
    Refused(#[source] InvalidCertificate),
}

impl ClusterTls {
    /// Reads PEM: the authorities, such as K3s's `server-ca.crt`; a certificate by one of them, with those that lead to it;
    /// and its key.
    ///
    /// # Errors
    /// When one of them cannot be read, or other nodes would refuse the certificate at `now`, the time since 1970.
    pub fn from_pem(
        authorities: &[u8],
        certificate: &[u8],
        key: &[u8],
        now: Duration,
    ) -> Result<Self, InvalidClusterTls> {
        let now = UnixTime::since_unix_epoch(now);
        let read = |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let authorities = read(authorities).map_err(InvalidClusterTls::Authorities)?;
        let got = authorities.len();
        if !(1..=MAX_AUTHORITIES).contains(&got) {
            return Err(InvalidClusterTls::AuthorityCount { got });
        }
        let anchor = |der: &CertificateDer<'_>| anchor_from_trusted_cert(der).map(|a| a.to_owned());
        let authorities = authorities.iter().map(anchor).collect::<Result<Vec<_>, _>>();
        let authorities =
            authorities.map_err(|_| InvalidClusterTls::Authorities(pem::Error::NoItemsFound))?;
        let chain = read(certificate).map_err(InvalidClusterTls::Certificate)?;
        let (got, bytes) = (chain.len(), chain.iter().map(|der| der.len()).sum());
        if !(1..=MAX_CHAIN).contains(&got) || bytes > MAX_CHAIN_BYTES {
            return Err(InvalidClusterTls::Chain { got, bytes });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(InvalidClusterTls::Key)?;
        let key = ring::sign::any_supported_type(&key).map_err(InvalidClusterTls::KeyKind)?;
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let cluster = Self { authorities: authorities.into(), chain, key, algorithms };
        // What the node's peers do with it.
        let probe = cluster.endorse(b"probe").ok_or(InvalidClusterTls::OtherKey)?;
        match cluster.check(Some(&probe), b"probe", now) {
            Ok(()) => Ok(cluster),
            Err(InvalidCertificate::EndorsementSignature) => Err(InvalidClusterTls::OtherKey),
            Err(error) => Err(InvalidClusterTls::Refused(error)),
        }
    }

    /// The extension's content for a certificate with this public key:
    /// `Endorsement ::= SEQUENCE { scheme OCTET STRING, signature OCTET STRING, chain SEQUENCE OF OCTET STRING }`, with
    /// the scheme's number as TLS 1.3 has it.
    pub(super) fn endorse(&self, spki: &[u8]) -> Option<Vec<u8>> {
        let schemes: Vec<_> = self.algorithms.mapping.iter().map(|(scheme, _)| *scheme).collect();
        let signer = self.key.choose_scheme(&schemes)?;
        let signature = signer.sign(&[SIGNATURE_PREFIX, spki].concat()).ok()?;
        let mut content = der(0x04, &u16::from(signer.scheme()).to_be_bytes());
        content.extend(der(0x04, &signature));
        let chain: Vec<u8> =
            self.chain.iter().flat_map(|certificate| der(0x04, certificate)).collect();
        content.extend(der(0x30, &chain));
        Some(der(0x30, &content))
    }

    /// Whether a certificate with this public key is endorsed by one of the cluster.
    pub(super) fn check(
        &self,
        endorsement: Option<&[u8]>,
        spki: &[u8],
        now: UnixTime,
    ) -> Result<(), InvalidCertificate> {
        let endorsement = endorsement.ok_or(InvalidCertificate::NotEndorsed)?;
        let Endorsement { scheme, signature, chain } =
            Endorsement::parse(endorsement).ok_or(InvalidCertificate::Endorsement)?;
        let (first, intermediates) = chain.split_first().ok_or(InvalidCertificate::Endorsement)?;
        let end = EndEntityCert::try_from(first).map_err(|_| InvalidCertificate::Endorsement)?;
        let verify = |usage| {
            end.verify_for_usage(
                self.algorithms.all,
                &self.authorities,
                intermediates,
                now,
                usage,
                None,
                None,
            )
            .map(|_| ())
        };
        // K3s's certificates are for one of the two; here each only says that its holder is of the cluster.
        let verified = match verify(KeyUsage::client_auth()) {
            Err(error) if is_about_usage(&error) => verify(KeyUsage::server_auth()),
            verified => verified,
        };
        verified.map_err(|error| refused(&error))?;
        let algorithms = self.algorithms.mapping.iter().find(|(known, _)| *known == scheme);
        let (_, algorithms) = algorithms.ok_or(InvalidCertificate::Algorithm)?;
        let message = [SIGNATURE_PREFIX, spki].concat();
        let fits = |algorithm: &&dyn pki_types::SignatureVerificationAlgorithm| {
            end.verify_signature(*algorithm, &message, signature).is_ok()
        };
        let signed = algorithms.iter().any(fits);
        if signed { Ok(()) } else { Err(InvalidCertificate::EndorsementSignature) }
    }
}

impl fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTls")
            .field("authorities", &self.authorities.len())
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn is_about_usage(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::RequiredEkuNotFoundContext(_))
}

fn refused(error: &webpki::Error) -> InvalidCertificate {
    match error {
        webpki::Error::CertExpired { not_after, time } => InvalidCertificate::ClusterExpired {
            not_after: not_after.as_secs(),
            now: time.as_secs(),
        },
        webpki::Error::UnknownIssuer => InvalidCertificate::OtherAuthority,
        _ => InvalidCertificate::ClusterCertificate,
    }
}

/// The extension as it was read; nothing of it is checked.
struct Endorsement<'a> {
    scheme: SignatureScheme,
    signature: &'a [u8],
    chain: Vec<CertificateDer<'a>>,
}

impl<'a> Endorsement<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let octets = |bytes: &'a [u8]| -> Option<(&'a [u8], &'a [u8])> {
            let (rest, octets) = <&[u8]>::from_der(bytes).ok()?;
            Some((rest, octets))
        };
        let (end, content) = contents(bytes)?;
        let (rest, scheme) = octets(content)?;
        let (rest, signature) = octets(rest)?;
        let (last, mut list) = contents(rest)?;
        let scheme = u16::from_be_bytes(scheme.try_into().ok()?).into();
        let mut chain = Vec::new();
        while !list.is_empty() && chain.len() < MAX_CHAIN {
            let (rest, certificate) = octets(list)?;
            chain.push(CertificateDer::from(certificate));
            list = rest;
        }
        let all = end.is_empty() && last.is_empty() && list.is_empty();
        all.then_some(Self { scheme, signature, chain })
    }
}

/// What follows a SEQUENCE, and what is in it.
fn contents(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, sequence) = Sequence::from_der(bytes).ok()?;
    match sequence.content {
        std::borrow::Cow::Borrowed(content) => Some((rest, content)),
        std::borrow::Cow::Owned(_) => None,
    }
}

#[cfg(test)]
mod tests;
