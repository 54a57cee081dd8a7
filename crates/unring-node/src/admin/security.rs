//! Who was kept out, and what says who belongs to the cluster, on the status page and in metrics.

use serde::Serialize;
use unring_exchange::Counters;

use crate::node::Parts;

/// What was refused for who it comes from, and how the files behind it are doing.
pub(super) fn counters(parts: &Parts, engine: &Counters) -> Vec<(&'static str, &'static str, u64)> {
    let accepted = parts.accepted.counts();
    let calls = parts.security.guard().counts();
    let view = parts.security.view(parts.exchange.now().mono);
    let network = parts.network.counters();
    let k3s = (parts.k3s.counters.counts(), parts.k3s.files.counts());
    let bootstrap = parts.bootstrap.counts();
    vec![
        (
            "security_calls_denied",
            "Calls refused because their peer is denied or not allowed",
            calls.denied,
        ),
        (
            "security_calls_without_token",
            "Calls refused because nothing made with the join token was shown",
            calls.nothing_shown,
        ),
        (
            "security_calls_wrong_token",
            "Calls refused because what they showed was made with another join token",
            calls.other_token,
        ),
        (
            "security_calls_unauthenticated",
            "Calls refused because they did not prove who makes them",
            calls.unauthenticated,
        ),
        (
            "security_records_denied",
            "Records kept out because their peer is denied or not allowed",
            engine.records_denied,
        ),
        (
            "security_records_without_tag",
            "Records kept out because they have no membership tag",
            engine.records_without_tag,
        ),
        (
            "security_records_wrong_tag",
            "Records kept out because their membership tag was made with another join token",
            engine.records_wrong_tag,
        ),
        (
            "security_certificates_expired",
            "Inbound handshakes refused because a certificate's time is over or has not come",
            accepted.certificate_expired,
        ),
        (
            "security_certificates_other_authority",
            "Inbound handshakes refused because the cluster's authority does not speak for the certificate",
            accepted.certificate_outside,
        ),
        (
            "security_certificates_invalid",
            "Inbound handshakes refused because the certificate is not one of a peer",
            accepted.certificate_invalid,
        ),
        (
            "security_libp2p_refused",
            "Inbound libp2p connections refused because their peer is denied or not allowed",
            network.kept_out,
        ),
        (
            "security_libp2p_dials_refused",
            "libp2p dials not made or broken off because their peer is denied or not allowed",
            network.kept_out_dials,
        ),
        (
            "security_libp2p_closed",
            "Peers whose libp2p connections were closed because the lists changed",
            network.kept_out_closed,
        ),
        ("security_reloads", "Times that changed secrets or lists were taken over", view.reloads),
        (
            "security_reload_failures",
            "Times that changed secrets could not be used, so that the old ones went on to hold",
            view.failures,
        ),
        (
            "k3s_connections_full",
            "Connections to K3s's path closed because no place was left",
            k3s.0.full,
        ),
        (
            "k3s_connections_unused",
            "Connections to K3s's path closed because they asked nothing and another needed the place",
            k3s.0.gave_way,
        ),
        ("k3s_reloads", "Times that changed keys or files of k3s were taken over", k3s.1.reloads),
        (
            "k3s_reload_failures",
            "Times that changed keys or files of k3s could not be used, so that the old ones went on to hold",
            k3s.1.failures,
        ),
        (
            "bootstrap_reloads",
            "Times that changed keys or files of bootstrap were taken over",
            bootstrap.reloads,
        ),
        (
            "bootstrap_reload_failures",
            "Times that changed keys or files of bootstrap could not be used, so that the old ones went on to hold",
            bootstrap.failures,
        ),
    ]
}

/// Who belongs to the cluster. It holds nothing secret.
#[derive(Debug, Serialize)]
pub(super) struct MembershipStatus {
    tokens: usize,
    old_token_accepted_for_s: Option<f64>,
    by_authority: bool,
    allowed: usize,
    denied: usize,
    reloads: u64,
    failures: u64,
    last_error: Option<String>,
}

impl MembershipStatus {
    pub(super) fn of(parts: &Parts) -> Self {
        let view = parts.security.view(parts.exchange.now().mono);
        Self {
            tokens: view.tokens,
            old_token_accepted_for_s: view.overlap_left.map(|left| left.as_secs_f64()),
            by_authority: view.by_authority,
            allowed: view.allowed,
            denied: view.denied,
            reloads: view.reloads,
            failures: view.failures,
            last_error: view.last_error,
        }
    }
}
