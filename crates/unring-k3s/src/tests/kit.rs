//! Clusters to test with: CAs, certificates, a book.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose,
};

use crate::{Admission, Caller, K3sAddress, KeyPair, Peers, Standing, Unavailable};

/// A CA that signs.
pub(super) struct Ca {
    issuer: Issuer<'static, rcgen::KeyPair>,
    pub(super) pem: String,
    pub(super) der: Vec<u8>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Ca {
    pub(super) fn root(name: &str) -> Self {
        let (params, key) = (ca_params(name), rcgen::KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    pub(super) fn intermediate(&self, name: &str) -> Self {
        self.below(ca_params(name))
    }

    /// One that signs though it is no CA: the key of any node can.
    pub(super) fn no_ca(&self, name: &str) -> Self {
        let mut params = ca_params(name);
        params.is_ca = IsCa::ExplicitNoCa;
        self.below(params)
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate and its key in PEM, changed before it is signed.
    pub(super) fn signs(
        &self,
        name: &str,
        groups: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub(super) fn key_pair(&self, name: &str, groups: &[&str]) -> KeyPair {
        let (certificate, key) = self.signs(name, groups, |_| {});
        KeyPair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// A book that answers what it is told to.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) admission: Admission,
    pub(super) addresses: Result<Vec<K3sAddress>, Unavailable>,
}

impl Book {
    pub(super) fn of(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Self { admission: Admission::Granted, addresses: Ok(addresses) }
    }

    /// Has no time for those who are known; the others get the CA.
    pub(super) fn later(retry_after: Duration) -> Self {
        Self { admission: Admission::Later { retry_after }, ..Self::of(&[]) }
    }
}

impl Peers for Book {
    fn admit(&self, caller: &Caller<'_>) -> Admission {
        match caller.standing {
            Standing::Unknown => Admission::Granted,
            _ => self.admission,
        }
    }

    fn addresses(&self, _: &Caller<'_>, _: usize) -> Result<Vec<K3sAddress>, Unavailable> {
        self.addresses.clone()
    }
}
