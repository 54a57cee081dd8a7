//! The certificates of a cluster's CA, and the hash by which a join token names them.

use std::collections::VecDeque;
use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, pem};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::limits;
use crate::token::CaHash;

/// The CA of a cluster, as `/cacerts` serves it.
#[derive(Clone)]
pub struct CaBundle {
    pem: Vec<u8>,
    hash: CaHash,
    trusted: Vec<CertificateDer<'static>>,
}

/// Why bytes are no CA.
#[derive(Debug, Error)]
pub enum InvalidCa {
    /// Longer than [`limits::MAX_CA_BYTES`].
    #[error("CA of {got} bytes, at most {} are allowed", limits::MAX_CA_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Not PEM.
    #[error("the CA is not PEM")]
    NotPem(#[source] pem::Error),
    /// PEM without a certificate.
    #[error("the CA has no certificate in it")]
    Empty,
    /// More certificates than [`limits::MAX_CA_CERTIFICATES`].
    #[error("CA of {got} certificates, at most {} are allowed", limits::MAX_CA_CERTIFICATES)]
    TooMany {
        /// Certificates it has.
        got: usize,
    },
    /// What PEM says is a certificate is none.
    #[error("certificate {index} of the CA cannot be read")]
    NotCertificate {
        /// Which, from 0.
        index: usize,
    },
}

/// Why a CA is not the one that a token names.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("token CA hash does not match the Cluster CA certificate hash: {expected} != {got}")]
pub struct WrongCa {
    /// What the token says.
    pub expected: CaHash,
    /// What the server's CA has.
    pub got: CaHash,
}

impl CaBundle {
    /// Reads PEM.
    ///
    /// The hash is K3s's (`hashCA` in `pkg/clientaccess/token.go`): SHA-256 of the whole text if it has one certificate;
    /// if it has several and the first leads, signature by signature, to a root among the others, of that root's DER;
    /// else of the whole text.
    ///
    /// Stricter than K3s, only what the hash vouches for is trusted: in the second case the certificates from the first
    /// to the root. K3s trusts all others that the server added, too.
    ///
    /// # Errors
    /// When it is too long, or not PEM with certificates.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidCa> {
        if pem.len() > limits::MAX_CA_BYTES {
            return Err(InvalidCa::TooLong { got: pem.len() });
        }
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(InvalidCa::NotPem)?;
        match certificates.len() {
            0 => return Err(InvalidCa::Empty),
            got if got > limits::MAX_CA_CERTIFICATES => return Err(InvalidCa::TooMany { got }),
            _ => {}
        }
        let mut parsed = Vec::new();
        for (index, der) in certificates.iter().enumerate() {
            let (rest, certificate) =
                X509Certificate::from_der(der).map_err(|_| InvalidCa::NotCertificate { index })?;
            if !rest.is_empty() {
                return Err(InvalidCa::NotCertificate { index });
            }
            parsed.push(certificate);
        }
        let chain = chain(&parsed);
        let (hashed, trusted) = match &chain[..] {
            [.., root] => {
                let trusted = chain.iter().map(|at| certificates[*at].clone()).collect();
                (certificates[*root].as_ref(), trusted)
            }
            [] => (pem, certificates.clone()),
        };
        let hash = CaHash(Sha256::digest(hashed).into());
        Ok(Self { pem: pem.to_owned(), hash, trusted })
    }

    /// As it was read.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// What a token that names this CA has behind `K10`.
    #[must_use]
    pub fn hash(&self) -> CaHash {
        self.hash
    }

    /// Checks that it is the CA that a token names.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, expected: CaHash) -> Result<(), WrongCa> {
        match bool::from(expected.0.ct_eq(&self.hash.0)) {
            true => Ok(()),
            false => Err(WrongCa { expected, got: self.hash }),
        }
    }

    /// What TLS is to trust.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.trusted {
            roots.add(certificate.clone())?;
        }
        Ok(roots)
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaBundle")
            .field("hash", &self.hash)
            .field("trusted", &self.trusted.len())
            .finish_non_exhaustive()
    }
}

/// The shortest way of signatures from the first certificate to a root among the others; empty if there is none, or only
/// one certificate. Each certificate is visited once, so it takes at most `MAX_CA_CERTIFICATES`² signature checks.
fn chain(certificates: &[X509Certificate<'_>]) -> Vec<usize> {
    // Who is no CA would be trusted as one: TLS asks an anchor for nothing but its key.
    if !certificates.first().is_some_and(|first| first.is_ca()) {
        return Vec::new();
    }
    // From whom each was reached.
    let mut reached: Vec<Option<usize>> = vec![None; certificates.len()];
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        for (next, issuer) in certificates.iter().enumerate().skip(1) {
            if reached[next].is_some() || next == at || !signs(issuer, &certificates[at]) {
                continue;
            }
            reached[next] = Some(at);
            if is_root(issuer) {
                let mut way = vec![next];
                let mut last = next;
                while let Some(before) = reached[last].filter(|_| last != 0) {
                    way.push(before);
                    last = before;
                }
                way.reverse();
                return way;
            }
            open.push_back(next);
        }
    }
    Vec::new()
}

fn signs(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    issuer.is_ca()
        && issuer.subject() == subject.issuer()
        && subject.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Without an authority key, or with its own as such.
fn is_root(certificate: &X509Certificate<'_>) -> bool {
    let (mut authority, mut subject) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => {
                authority = key.key_identifier.as_ref().map(|key| key.0);
            }
            ParsedExtension::SubjectKeyIdentifier(key) => subject = Some(key.0),
            _ => {}
        }
    }
    authority.is_none() || authority == subject
}
