//! A cluster's certificate authority, as K3s has one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use unring_peer_addr::ClusterTls;

use crate::node::Node;

/// When a certificate was good that is not any more.
const LONG_AGO: Duration = Duration::from_secs(1_500_000_000);

/// An authority with a key of its own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate that is good today.
    pub fn issue(&self) -> Issued {
        self.issued(CertificateParams::default())
    }

    fn issued(&self, mut params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Has a node use this authority and a certificate of it, as of its next start or reload.
    pub fn equips(&self, node: &mut Node) {
        let Issued { certificate, key } = self.issue();
        for (name, text) in [("ca", &self.pem()), ("cert", &certificate), ("key", &key)] {
            let file = node.write(&format!("{name}.pem"), text);
            node.set("security", &format!("{name}_file"), file);
        }
    }

    /// What a client shows that has a certificate of this authority.
    pub fn cluster(&self) -> ClusterTls {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.read(&self.issue(), now)
    }

    /// The same with a certificate whose time is over.
    pub fn expired(&self) -> ClusterTls {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.read(&self.issued(params), LONG_AGO)
    }

    fn read(&self, issued: &Issued, now: Duration) -> ClusterTls {
        let Issued { certificate, key } = issued;
        let authority = self.pem();
        ClusterTls::from_pem(authority.as_bytes(), certificate.as_bytes(), key.as_bytes(), now)
            .unwrap()
    }
}
