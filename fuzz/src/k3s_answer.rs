//! What a K3s server answers: addresses, and the certificates of its CA.

use std::collections::HashSet;

use unring_k3s::{AnswerForm, CaBundle, CaHash, CertifiedUser, limits, parse_answer};

use crate::support::show;

/// The bytes as a body of both kinds, and as a certificate by itself.
pub fn check(data: &[u8]) {
    match parse_answer(data) {
        Ok(list) => {
            let distinct: HashSet<_> = list.addresses.iter().collect();
            assert_eq!(distinct.len(), list.addresses.len(), "an address twice");
            assert!(list.addresses.len() <= limits::MAX_ANSWER_ADDRESSES);
            let texts: Vec<_> = list.addresses.iter().map(ToString::to_string).collect();
            for (text, address) in texts.iter().zip(&list.addresses) {
                assert_eq!(text.parse().as_ref(), Ok(address));
            }
            let body = serde_json::to_vec(&texts).expect("texts are JSON");
            let again = parse_answer(&body).expect("what a server of ours writes can be read");
            assert_eq!((again.addresses, again.form), (list.addresses, AnswerForm::List));
        }
        Err(error) => drop(show(&error)),
    }
    match CaBundle::from_pem(data) {
        Ok(ca) => {
            assert_eq!(ca.pem(), data);
            assert!(ca.verify(ca.hash()).is_ok());
            assert!(ca.verify(CaHash([0; 32])).is_err());
        }
        Err(error) => drop(show(&error)),
    }
    if let Some(user) = CertifiedUser::of_certificate(data) {
        assert!(user.groups.len() <= limits::MAX_GROUPS);
    }
}
