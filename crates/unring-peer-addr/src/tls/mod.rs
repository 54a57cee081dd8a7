//! Mutual TLS 1.3 whose certificates are bound to peer ids, after the libp2p TLS specification (libp2p specs,
//! tls/tls.md): both ends present one self-signed certificate that carries, in an extension, the identity's public key
//! and its signature over the certificate's key. No authority is needed, names are not checked.

mod certificate;
mod cluster;
mod switch;
mod verifier;

use std::sync::Arc;
use std::{fmt, io};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{CertificateError, ClientConfig, OtherError, ServerConfig};
use thiserror::Error;
use unring_peer::{Identity, PeerId};

pub use self::certificate::InvalidCertificate;
#[cfg(feature = "fuzzing")]
pub(crate) use self::certificate::checked_peer;
pub use self::cluster::{ClusterTls, InvalidClusterTls};
pub use self::switch::TlsSwitch;
use self::verifier::PeerVerifier;

/// The extension: {iso(1) identified-organization(3) dod(6) internet(1) private(4) enterprise(1) protocol-labs(53594)
/// p2p(1) public-key(1)}.
const EXTENSION_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];

/// The extension by which a certificate of the cluster's authority speaks for this one: under the arc for which nobody is
/// asked (ITU-T X.667), with 63 random bits instead of a UUID's 128, which the libraries do not write.
const ENDORSEMENT_OID: [u64; 4] = [2, 25, 6_105_827_043_981_530_113, 1];

/// What the identity's key signs, before the certificate's public key (SubjectPublicKeyInfo, DER).
const SIGNATURE_PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// gRPC is HTTP/2 alone.
const ALPN: &[u8] = b"h2";

/// A certificate of an identity, and its private key.
#[derive(Clone)]
pub struct TlsIdentity {
    peer: PeerId,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: Arc<KeyPair>,
    cluster: Option<ClusterTls>,
}

/// Why there is no certificate or no TLS configuration.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("the TLS certificate could not be made")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library refuses the configuration.
    #[error("the TLS library refuses the configuration")]
    Config(#[source] rustls::Error),
}

impl TlsIdentity {
    /// A new certificate with a new P-256 key, signed into by `identity`. The identity's own key is used for nothing
    /// else in TLS.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        Self::with(identity, None, |_| {})
    }

    /// The same, of a cluster that has an authority: it speaks for this certificate, and has to for that of the other end.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn in_cluster(identity: &Identity, cluster: ClusterTls) -> Result<Self, TlsError> {
        Self::with(identity, Some(cluster), |_| {})
    }

    fn with(
        identity: &Identity,
        cluster: Option<ClusterTls>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::Certificate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Not critical, though the specification allows it: a tool that does not know the extension must be able to
        // load the certificate. A node that knows it demands it either way.
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&EXTENSION_OID, signed_key(identity, &key))];
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        if let Some(endorsement) = cluster.as_ref().and_then(|cluster| cluster.endorse(&spki)) {
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&ENDORSEMENT_OID, endorsement));
        }
        change(&mut params);
        let certificate = params.self_signed(&key).map_err(TlsError::Certificate)?;
        Ok(Self {
            peer: identity.peer_id(),
            certificate_pem: certificate.pem(),
            certificate: certificate.into(),
            key: Arc::new(key),
            cluster,
        })
    }

    /// Whose certificate it is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The certificate in PEM, for tools such as `grpcurl -cert`.
    #[must_use]
    pub fn client_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate's private key in PEM (PKCS #8): a secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// TLS for a server: client certificates are mandatory.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(&provider, self.cluster.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Config)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(TlsError::Config)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the proof of the certificate's key.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// TLS for a client. It takes any peer: whom it reached is read from the finished handshake.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(&provider, self.cluster.clone()));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(TlsError::Config)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

impl fmt::Debug for TlsIdentity {
    /// Shows the peer id alone: the key is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The peer of a finished handshake's certificates, which the verifier has checked.
pub(crate) fn peer_of(certificates: Option<&[CertificateDer<'_>]>) -> Option<PeerId> {
    let [certificate] = certificates? else { return None };
    certificate::Certificate::parse(certificate).ok().map(|certificate| certificate.peer_id())
}

/// Which certificate made a handshake fail; none when it failed for something else.
pub(crate) fn refused_certificate(failure: &io::Error) -> Option<InvalidCertificate> {
    match failure.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            error.downcast_ref().copied()
        }
        _ => None,
    }
}

/// The extension's content: `SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }`.
fn signed_key(identity: &Identity, key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    let message = [SIGNATURE_PREFIX, &key.subject_public_key_info()].concat();
    // An Ed25519 key can always sign; what another kind fails to sign, nobody accepts.
    let signature = identity.keypair().sign(&message).unwrap_or_default();
    let mut content = der(0x04, &identity.public_key().encode_protobuf());
    content.extend(der(0x04, &signature));
    der(0x30, &content)
}

/// One DER value (X.690 section 8.1), with a length of up to 65535.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=127) => bytes.push(low),
        (0, _) => bytes.extend([0x81, low]),
        _ => bytes.extend([0x82, high, low]),
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests;
