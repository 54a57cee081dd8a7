//! TLS as K3s has it on this path: a cluster CA, ECDSA P-256, a client certificate, nothing resumed.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The CA of a cluster.
const CA: &str = "ca.pem";
/// The certificate of all its nodes: server's and client's in one.
const CERTIFICATE: &str = "node.pem";
/// Its key.
const KEY: &str = "node.key";

/// A folder with the files of a cluster.
#[derive(Clone, Debug)]
pub struct TlsFiles(PathBuf);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no key or certificate.
    #[error("{} is not PEM of what it should be", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate cannot be made.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
    /// Key and certificate do not go together.
    #[error("key and certificate are refused")]
    Refused(#[from] rustls::Error),
    /// The CA cannot check clients.
    #[error("the CA cannot check clients")]
    Verifier(#[from] VerifierBuilderError),
}

impl TlsFiles {
    /// The files in this folder.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Makes a CA and one certificate for all nodes on loopback; the folder is created.
    ///
    /// # Errors
    /// The folder cannot be written, or there is no randomness.
    pub fn make(dir: &Path) -> Result<Self, TlsError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "naive-node CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let mut node = CertificateParams::new(names)?;
        node.distinguished_name.push(DnType::CommonName, "naive-node");
        node.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = node.signed_by(&key, &Issuer::new(ca, ca_key))?.pem();

        let files = Self::new(dir);
        let write = |name: &str, text: &str| {
            let path = files.0.join(name);
            let written = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
            written.map_err(|source| TlsError::File { path, source })
        };
        fs::create_dir_all(dir)
            .map_err(|source| TlsError::File { path: dir.to_owned(), source })?;
        write(CA, &ca_pem)?;
        write(CERTIFICATE, &certificate)?;
        write(KEY, &key.serialize_pem())?;
        Ok(files)
    }

    /// The CA's certificate, as `/cacerts` serves it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn ca_pem(&self) -> Result<Vec<u8>, TlsError> {
        let path = self.0.join(CA);
        fs::read(&path).map_err(|source| TlsError::File { path, source })
    }

    fn roots(ca_pem: &[u8], path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            let certificate =
                certificate.map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
            roots.add(certificate)?;
        }
        Ok(Arc::new(roots))
    }

    fn own(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let failed = |name: &str| {
            let path = self.0.join(name);
            |source| TlsError::Pem { path, source }
        };
        let certificates = CertificateDer::pem_file_iter(self.0.join(CERTIFICATE))
            .and_then(Iterator::collect)
            .map_err(failed(CERTIFICATE))?;
        let key = PrivateKeyDer::from_pem_file(self.0.join(KEY)).map_err(failed(KEY))?;
        Ok((certificates, key))
    }

    /// What a server needs; made once. A client may come without a certificate and is then asked for a token.
    ///
    /// # Errors
    /// A file is missing or not what it should be.
    pub(crate) fn server(&self) -> Result<ServerConfig, TlsError> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let roots = Self::roots(&self.ca_pem()?, &self.0.join(CA))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let (certificates, key) = self.own()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)?;
        Ok(config)
    }

    /// What one call needs; made for each, as `GetHTTPClient` does: the CA is in memory, the key pair is read anew.
    ///
    /// # Errors
    /// A file is missing or not what it should be.
    pub(crate) fn client(&self, ca_pem: &[u8]) -> Result<ClientConfig, TlsError> {
        let roots = Self::roots(ca_pem, &self.0.join(CA))?;
        let (certificates, key) = self.own()?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates, key)?;
        Ok(config)
    }
}
