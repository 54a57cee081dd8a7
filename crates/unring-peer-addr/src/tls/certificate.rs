//! Reading a peer's certificate.

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use thiserror::Error;
use unring_peer::{PeerId, PublicKey};
use x509_parser::asn1_rs::{FromDer as _, OctetString, Oid, Sequence, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};

use super::SIGNATURE_PREFIX;
use crate::limits::{MAX_PUBLIC_KEY_BYTES, MAX_SIGNATURE_BYTES};

/// [`EXTENSION_OID`](super::EXTENSION_OID) as the parser has it.
const EXTENSION: Oid<'static> = oid!(1.3.6.1.4.1.53594.1.1);

/// [`ENDORSEMENT_OID`](super::ENDORSEMENT_OID) as the parser has it.
const ENDORSEMENT: Oid<'static> = oid!(2.25.6105827043981530113.1);

/// Bytes of a certificate. One with an RSA identity takes 1.4 KiB; a longer one is refused.
const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;

/// Why a certificate does not say who its holder is.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum InvalidCertificate {
    /// None, or a chain.
    #[error("{got} certificates, must be exactly 1")]
    Count {
        /// How many there are.
        got: usize,
    },
    /// Larger than any honest one.
    #[error("certificate of {got} bytes, at most {MAX_CERTIFICATE_BYTES} are allowed")]
    TooLarge {
        /// Bytes it has.
        got: usize,
    },
    /// Not X.509.
    #[error("not an X.509 certificate")]
    Malformed,
    /// A critical extension that this version does not know.
    #[error("the certificate has an unknown critical extension")]
    UnknownCriticalExtension,
    /// No extension with a peer's key: a certificate of something else than a node.
    #[error("the certificate has no libp2p public key extension (1.3.6.1.4.1.53594.1.1)")]
    NoExtension,
    /// The extension twice.
    #[error("the certificate has an extension twice")]
    ExtensionTwice,
    /// An extension that cannot be read.
    #[error("the libp2p public key extension cannot be read")]
    Extension,
    /// A key or signature of another kind than P-256, P-384 or Ed25519.
    #[error("the certificate's key is not of a supported kind (P-256, P-384, Ed25519)")]
    Algorithm,
    /// Before or after its time, on this node's clock.
    #[error("the certificate is valid from {not_before} to {not_after} (Unix time), now is {now}")]
    Validity {
        /// First second.
        not_before: i64,
        /// Last second.
        not_after: i64,
        /// This node's clock.
        now: u64,
    },
    /// Not signed by its own key.
    #[error("the certificate is not signed by its own key")]
    SelfSignature,
    /// Without a certificate of the cluster's authority, where there is one.
    #[error("the certificate is not endorsed by one of the cluster's authority")]
    NotEndorsed,
    /// An endorsement that cannot be read.
    #[error("the cluster's endorsement cannot be read")]
    Endorsement,
    /// Endorsed by a certificate of another authority.
    #[error("the certificate is endorsed by one of another authority than the cluster's")]
    OtherAuthority,
    /// Endorsed by a certificate whose time is over.
    #[error("the cluster's certificate was valid until {not_after} (Unix time), now is {now}")]
    ClusterExpired {
        /// Last second.
        not_after: u64,
        /// This node's clock.
        now: u64,
    },
    /// Endorsed by a certificate that breaks another rule: not valid yet, for another use, or badly signed.
    #[error("the cluster's certificate is refused")]
    ClusterCertificate,
    /// The cluster's certificate did not sign the certificate's key.
    #[error("the certificate's key is not signed by the cluster's certificate that it carries")]
    EndorsementSignature,
    /// The identity did not sign the certificate's key.
    #[error("the certificate's key is not signed by {peer}, whose key it carries")]
    Binding {
        /// Whose key is in the extension.
        peer: PeerId,
    },
}

/// A certificate as it was read, not checked yet.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    x509: X509Certificate<'a>,
    key: PublicKey,
    signature: Vec<u8>,
    endorsement: Option<&'a [u8]>,
    scheme: SignatureScheme,
}

impl<'a> Certificate<'a> {
    /// Reads `der` and its extension.
    pub(super) fn parse(der: &'a CertificateDer<'a>) -> Result<Self, InvalidCertificate> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(InvalidCertificate::TooLarge { got: der.len() });
        }
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| InvalidCertificate::Malformed)?;
        if !rest.is_empty() || x509.signature_value.unused_bits != 0 {
            return Err(InvalidCertificate::Malformed);
        }
        let (mut found, mut endorsement) = (None, None);
        for extension in x509.extensions() {
            if extension.oid == ENDORSEMENT {
                if endorsement.replace(extension.value).is_some() {
                    return Err(InvalidCertificate::ExtensionTwice);
                }
            } else if extension.oid != EXTENSION {
                if extension.critical {
                    return Err(InvalidCertificate::UnknownCriticalExtension);
                }
            } else if found.replace(extension.value).is_some() {
                return Err(InvalidCertificate::ExtensionTwice);
            }
        }
        let (key, signature) = signed_key(found.ok_or(InvalidCertificate::NoExtension)?)?;
        let scheme = scheme(&x509).ok_or(InvalidCertificate::Algorithm)?;
        Ok(Self { x509, key, signature, endorsement, scheme })
    }

    /// The peer whose key it carries.
    pub(super) fn peer_id(&self) -> PeerId {
        self.key.to_peer_id()
    }

    /// The extension by which a certificate of the cluster's authority speaks for it; not checked.
    pub(super) fn endorsement(&self) -> Option<&'a [u8]> {
        self.endorsement
    }

    /// The scheme that its key signs with.
    pub(super) fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    pub(super) fn subject_public_key_info(&self) -> SubjectPublicKeyInfoDer<'_> {
        self.x509.public_key().raw.into()
    }

    /// Checks its time, that it signs itself, and that the peer signed its key.
    pub(super) fn check(
        &self,
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<(), InvalidCertificate> {
        let validity = self.x509.validity();
        let (not_before, not_after) =
            (validity.not_before.timestamp(), validity.not_after.timestamp());
        let now = now.as_secs();
        let second = i64::try_from(now).unwrap_or(i64::MAX);
        if !(not_before..=not_after).contains(&second) {
            return Err(InvalidCertificate::Validity { not_before, not_after, now });
        }
        let algorithm = algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == self.scheme)
            .and_then(|(_, algorithms)| algorithms.first())
            .ok_or(InvalidCertificate::Algorithm)?;
        let spki = self.x509.public_key();
        algorithm
            .verify_signature(
                &spki.subject_public_key.data,
                self.x509.tbs_certificate.as_ref(),
                &self.x509.signature_value.data,
            )
            .map_err(|_| InvalidCertificate::SelfSignature)?;
        // The library verifies for the kind of key that the identity is; Ed25519 as a rule.
        let signed = [SIGNATURE_PREFIX, spki.raw].concat();
        if !self.key.verify(&signed, &self.signature) {
            return Err(InvalidCertificate::Binding { peer: self.peer_id() });
        }
        Ok(())
    }
}

/// Reads and checks a certificate as a handshake does, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn checked_peer(der: &[u8], now: UnixTime) -> Result<PeerId, InvalidCertificate> {
    let der = CertificateDer::from(der);
    let certificate = Certificate::parse(&der)?;
    let provider = rustls::crypto::ring::default_provider();
    certificate.check(&provider.signature_verification_algorithms, now)?;
    Ok(certificate.peer_id())
}

/// `SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }`.
fn signed_key(extension: &[u8]) -> Result<(PublicKey, Vec<u8>), InvalidCertificate> {
    let malformed = InvalidCertificate::Extension;
    let (rest, sequence) = Sequence::from_der(extension).map_err(|_| malformed)?;
    let (content, key) = OctetString::from_der(&sequence.content).map_err(|_| malformed)?;
    let (end, signature) = OctetString::from_der(content).map_err(|_| malformed)?;
    let (key, signature) = (key.as_ref(), signature.as_ref());
    let bounded = key.len() <= MAX_PUBLIC_KEY_BYTES && signature.len() <= MAX_SIGNATURE_BYTES;
    if !rest.is_empty() || !end.is_empty() || !bounded {
        return Err(malformed);
    }
    let key = PublicKey::try_decode_protobuf(key).map_err(|_| malformed)?;
    Ok((key, signature.to_vec()))
}

/// The TLS 1.3 name of the certificate's key and signature (RFC 8446 section 4.2.3). The specification asks for hashes
/// of at least 256 bits and named curves, and against RSA.
fn scheme(x509: &X509Certificate<'_>) -> Option<SignatureScheme> {
    let signature = &x509.signature_algorithm.algorithm;
    // RFC 5280 section 4.1.1.2: it is named twice, inside and beside what is signed.
    if x509.tbs_certificate.signature.algorithm != *signature {
        return None;
    }
    let key = &x509.public_key().algorithm;
    if key.algorithm == OID_SIG_ED25519 {
        return (*signature == OID_SIG_ED25519).then_some(SignatureScheme::ED25519);
    }
    if key.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return None;
    }
    let curve = key.parameters.as_ref()?.as_oid().ok()?;
    if curve == OID_EC_P256 && *signature == OID_SIG_ECDSA_WITH_SHA256 {
        Some(SignatureScheme::ECDSA_NISTP256_SHA256)
    } else if curve == OID_NIST_EC_P384 && *signature == OID_SIG_ECDSA_WITH_SHA384 {
        Some(SignatureScheme::ECDSA_NISTP384_SHA384)
    } else {
        None
    }
}
