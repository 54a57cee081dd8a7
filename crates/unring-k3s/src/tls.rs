//! TLS 1.2 and 1.3, as K3s has them on this path: a cluster CA, client certificates where there are any.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use thiserror::Error;

use crate::ca::CaBundle;

/// A certificate, with those that lead from it to its CA, and its private key.
pub struct KeyPair {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No certificate in the PEM.
    #[error("there is no certificate in the PEM")]
    Certificate(#[source] pem::Error),
    /// No private key in the PEM.
    #[error("there is no private key in the PEM")]
    Key(#[source] pem::Error),
    /// Certificate and key do not go together, or the library does not know their kind.
    #[error("the TLS library refuses certificate or key")]
    Refused(#[from] rustls::Error),
    /// The CA cannot check clients.
    #[error("the TLS library refuses the CA of clients")]
    Verifier(#[from] VerifierBuilderError),
}

impl KeyPair {
    /// Reads PEM, such as K3s's `client-kubelet.crt` and `client-kubelet.key`.
    ///
    /// # Errors
    /// When there is no certificate or no key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        if certificates.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        Ok(Self { certificates, key })
    }
}

impl Clone for KeyPair {
    fn clone(&self) -> Self {
        Self { certificates: self.certificates.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

/// TLS of a server. A client may come without a certificate, and is then asked for a token.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<ServerConfig>);

impl ServerTls {
    /// Serves with this certificate; with `clients`, takes certificates of that CA.
    ///
    /// # Errors
    /// When the library refuses any of them.
    pub fn new(own: &KeyPair, clients: Option<&CaBundle>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(ca.roots()?), provider)
                    .allow_unauthenticated()
                    .build()?,
            ),
        };
        let config = builder.with_single_cert(own.certificates.clone(), own.key.clone_key())?;
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// TLS of a client that knows the CA.
pub(crate) fn trusting(
    ca: &CaBundle,
    own: Option<&KeyPair>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(ca.roots()?);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            builder.with_client_auth_cert(own.certificates.clone(), own.key.clone_key())?
        }
    };
    Ok(Arc::new(config))
}

/// TLS that takes any certificate: to fetch the CA, whose hash is checked before anything else is sent.
pub(crate) fn trusting_anybody() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
