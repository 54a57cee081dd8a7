//! TLS towards an HTTP server: its CA, and a certificate of our own where it asks for one.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Whom to believe, and who one is.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why PEM is of no use.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No certificate in it.
    #[error("there is no certificate of a CA in the PEM")]
    Ca(#[source] pem::Error),
    /// No certificate in it.
    #[error("there is no client certificate in the PEM")]
    Certificate(#[source] pem::Error),
    /// No key in it.
    #[error("there is no private key in the PEM")]
    Key(#[source] pem::Error),
    /// Certificate and key do not go together, or the library does not know their kind.
    #[error("the TLS library refuses CA, certificate or key")]
    Refused(#[from] rustls::Error),
}

impl Tls {
    /// From PEM: the CA's certificates, and a client's certificate and key where there are.
    ///
    /// # Errors
    /// When something is missing in it or is refused.
    pub fn from_pem(ca: &[u8], client: Option<(&[u8], &[u8])>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca).map_err(TlsError::Ca)? {
            roots.add(certificate)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((own, key)) => {
                let own = certificates(own).map_err(TlsError::Certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
                builder.with_client_auth_cert(own, key)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
