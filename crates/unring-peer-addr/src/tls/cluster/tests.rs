use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use rustls::server::danger::ClientCertVerifier as _;

use super::super::TlsIdentity;
use super::super::verifier::PeerVerifier;
use super::*;
use crate::tests::support::identity;

const SINCE_1970: Duration = Duration::from_secs(1_790_000_000);
const NOW: UnixTime = UnixTime::since_unix_epoch(SINCE_1970);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate by it, and its key.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["node-1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn read(&self, (certificate, key): &(String, String)) -> Result<ClusterTls, InvalidClusterTls> {
        let authority = self.0.pem();
        ClusterTls::from_pem(
            authority.as_bytes(),
            certificate.as_bytes(),
            key.as_bytes(),
            SINCE_1970,
        )
    }

    fn cluster(&self) -> ClusterTls {
        self.read(&self.issue(|_| {})).unwrap()
    }
}

/// What `by` says of an endorsement that `of` made.
fn judged(by: &ClusterTls, of: &ClusterTls, now: UnixTime) -> Result<(), InvalidCertificate> {
    by.check(Some(&of.endorse(b"key").unwrap()), b"key", now)
}

#[test]
fn certificates_of_one_authority_speak_for_each_other() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.cluster(), authority.cluster());
    assert_eq!(judged(&one, &other, NOW), Ok(()));
    let client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let client = authority.read(&authority.issue(client)).unwrap();
    assert_eq!(judged(&one, &client, NOW), Ok(()));
    assert_eq!(one.check(None, b"key", NOW), Err(InvalidCertificate::NotEndorsed));
}

/// What a node with (`by`) or without an authority says of a client's certificate.
fn taken(by: Option<&ClusterTls>, shown: &TlsIdentity) -> Result<(), InvalidCertificate> {
    let verifier = PeerVerifier::new(&ring::default_provider(), by.cloned());
    match verifier.verify_client_cert(&shown.certificate, &[], NOW) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(why))) => {
            Err(*why.0.downcast_ref().unwrap())
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_node_with_an_authority_takes_whom_it_speaks_for_and_others_take_everybody() {
    let (ours, theirs) = (Authority::new("ours").cluster(), Authority::new("theirs").cluster());
    let me = identity(2);
    let endorsed = |cluster: &ClusterTls| TlsIdentity::in_cluster(&me, cluster.clone()).unwrap();
    let shown = [endorsed(&ours), endorsed(&theirs), TlsIdentity::new(&me).unwrap()];
    let judged = |by| shown.each_ref().map(|shown| taken(by, shown));
    assert_eq!(judged(None), [Ok(()), Ok(()), Ok(())]);
    let (other, none) = (InvalidCertificate::OtherAuthority, InvalidCertificate::NotEndorsed);
    assert_eq!(judged(Some(&ours)), [Ok(()), Err(other), Err(none)]);
    let twice = TlsIdentity::with(&me, Some(ours.clone()), |params| {
        let endorsement = params.custom_extensions[1].clone();
        params.custom_extensions.push(endorsement);
    });
    assert_eq!(taken(Some(&ours), &twice.unwrap()), Err(InvalidCertificate::ExtensionTwice));
}

#[test]
fn authorities_are_bounded() {
    let ours = Authority::new("ours");
    let (certificate, key) = ours.issue(|_| {});
    let read = |times: usize| {
        let authorities = ours.0.pem().repeat(times);
        let own = (certificate.as_bytes(), key.as_bytes());
        ClusterTls::from_pem(authorities.as_bytes(), own.0, own.1, SINCE_1970)
    };
    read(MAX_AUTHORITIES).unwrap();
    for got in [0, MAX_AUTHORITIES + 1] {
        let refused = read(got).unwrap_err();
        assert!(matches!(refused, InvalidClusterTls::AuthorityCount { got: is } if is == got));
    }
}

#[test]
fn another_authority_even_of_the_same_name_does_not() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let wrong = Err(InvalidCertificate::OtherAuthority);
    assert_eq!(judged(&ours.cluster(), &theirs.cluster(), NOW), wrong);
    let twin = judged(&ours.cluster(), &Authority::new("ours").cluster(), NOW);
    assert!(
        matches!(
            twin,
            Err(InvalidCertificate::OtherAuthority | InvalidCertificate::ClusterCertificate)
        ),
        "{twin:?}"
    );
}

#[test]
fn an_expired_certificate_is_refused_by_name() {
    let authority = Authority::new("ours");
    let short = authority.issue(|params| params.not_after = rcgen::date_time_ymd(2030, 1, 1));
    let short = authority.read(&short).unwrap();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000));
    assert_eq!(judged(&authority.cluster(), &short, NOW), Ok(()));
    let late = judged(&authority.cluster(), &short, later);
    let not_after = 1_893_456_000;
    assert_eq!(late, Err(InvalidCertificate::ClusterExpired { not_after, now: 1_900_000_000 }));
}

#[test]
fn an_endorsement_is_of_one_key_and_every_changed_byte_is_noticed() {
    let cluster = Authority::new("ours").cluster();
    let made = cluster.endorse(b"key").unwrap();
    let other = cluster.check(Some(&made), b"another key", NOW);
    assert_eq!(other, Err(InvalidCertificate::EndorsementSignature));
    for at in 0..made.len() {
        let mut changed = made.clone();
        changed[at] ^= 0x41;
        assert!(cluster.check(Some(&changed), b"key", NOW).is_err(), "byte {at}");
        assert!(cluster.check(Some(&made[..at]), b"key", NOW).is_err(), "cut at {at}");
    }
}

#[test]
fn files_that_others_would_refuse_are_refused_at_home() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.issue(|_| {});
    let other_key = (good.0.clone(), theirs.issue(|_| {}).1);
    assert!(matches!(ours.read(&other_key), Err(InvalidClusterTls::OtherKey)));
    let why = ours.read(&theirs.issue(|_| {})).unwrap_err();
    assert!(matches!(why, InvalidClusterTls::Refused(InvalidCertificate::OtherAuthority)));
    let expired = ours.issue(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let why = ours.read(&expired).unwrap_err();
    assert!(matches!(why, InvalidClusterTls::Refused(InvalidCertificate::ClusterExpired { .. })));
    let swapped = (good.1.clone(), good.0.clone());
    let got = ours.read(&swapped);
    assert!(matches!(got, Err(InvalidClusterTls::Chain { got: 0, .. })), "{got:?}");
    let authority_itself = (ours.0.pem(), ours.0.key().serialize_pem());
    let why = ours.read(&authority_itself).unwrap_err();
    assert!(matches!(why, InvalidClusterTls::Refused(InvalidCertificate::ClusterCertificate)));
    let shown = format!("{:?} {why:?} {why}", ours.cluster());
    assert!(!shown.contains("PRIVATE") && !shown.contains("key:"), "{shown}");
}
