//! What became of connections, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::slots::Full;
use crate::InvalidCertificate;
use crate::activity::Lapse;

/// Counts what became of connections; shared by the listeners of a node.
#[derive(Debug, Default)]
pub struct AcceptCounters {
    accepted: AtomicU64,
    handshake_failed: AtomicU64,
    handshake_timed_out: AtomicU64,
    handshakes_full: AtomicU64,
    connections_full: AtomicU64,
    ip_full: AtomicU64,
    accept_failed: AtomicU64,
    handshakes_ip_full: AtomicU64,
    delayed_accepts: AtomicU64,
    paused_reads: AtomicU64,
    without_call: AtomicU64,
    idle: AtomicU64,
    gave_way: AtomicU64,
    unread: AtomicU64,
    certificate_expired: AtomicU64,
    certificate_outside: AtomicU64,
    certificate_invalid: AtomicU64,
}

/// The counts at one moment, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptCounts {
    /// Connections handed to the server.
    pub accepted: u64,
    /// Handshakes that failed: no certificate, a bad one, no TLS at all.
    pub handshake_failed: u64,
    /// Handshakes that took too long.
    pub handshake_timed_out: u64,
    /// Connections closed because too many handshakes were running.
    pub handshakes_full: u64,
    /// Connections closed because too many were open.
    pub connections_full: u64,
    /// Connections closed because too many were open from their address.
    pub ip_full: u64,
    /// Times that the operating system gave an error instead of a connection.
    pub accept_failed: u64,
    /// Connections closed because too many handshakes were running with their address.
    pub handshakes_ip_full: u64,
    /// Pauses of accepting because of [`Pressure::set_accept_rate`](crate::Pressure::set_accept_rate).
    pub delayed_accepts: u64,
    /// Pauses of a connection's reading because of [`Pressure::set_read_rate`](crate::Pressure::set_read_rate).
    pub paused_reads: u64,
    /// Connections closed because they made no call.
    pub without_call: u64,
    /// Connections closed because they had made no call for long.
    pub idle: u64,
    /// Connections closed because they made no call for a while and another needed the place.
    pub gave_way: u64,
    /// Connections closed because the answer to a call was not read.
    pub unread: u64,
    /// Among the handshakes that failed: the certificate's time is over, or has not come.
    pub certificate_expired: u64,
    /// Among the handshakes that failed: the cluster's authority does not speak for the certificate.
    pub certificate_outside: u64,
    /// Among the handshakes that failed: the certificate is not one of a peer.
    pub certificate_invalid: u64,
}

impl AcceptCounters {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> AcceptCounts {
        AcceptCounts {
            accepted: self.accepted.load(Relaxed),
            handshake_failed: self.handshake_failed.load(Relaxed),
            handshake_timed_out: self.handshake_timed_out.load(Relaxed),
            handshakes_full: self.handshakes_full.load(Relaxed),
            connections_full: self.connections_full.load(Relaxed),
            ip_full: self.ip_full.load(Relaxed),
            accept_failed: self.accept_failed.load(Relaxed),
            handshakes_ip_full: self.handshakes_ip_full.load(Relaxed),
            delayed_accepts: self.delayed_accepts.load(Relaxed),
            paused_reads: self.paused_reads.load(Relaxed),
            without_call: self.without_call.load(Relaxed),
            idle: self.idle.load(Relaxed),
            gave_way: self.gave_way.load(Relaxed),
            unread: self.unread.load(Relaxed),
            certificate_expired: self.certificate_expired.load(Relaxed),
            certificate_outside: self.certificate_outside.load(Relaxed),
            certificate_invalid: self.certificate_invalid.load(Relaxed),
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// `refused` is what was wrong with the other end's certificate, if that is what failed.
    pub(super) fn handshake_failed(&self, refused: Option<InvalidCertificate>) {
        self.handshake_failed.fetch_add(1, Relaxed);
        let Some(refused) = refused else { return };
        let count = match refused {
            InvalidCertificate::Validity { .. } | InvalidCertificate::ClusterExpired { .. } => {
                &self.certificate_expired
            }
            InvalidCertificate::NotEndorsed
            | InvalidCertificate::Endorsement
            | InvalidCertificate::OtherAuthority
            | InvalidCertificate::ClusterCertificate
            | InvalidCertificate::EndorsementSignature => &self.certificate_outside,
            InvalidCertificate::Count { .. }
            | InvalidCertificate::TooLarge { .. }
            | InvalidCertificate::Malformed
            | InvalidCertificate::UnknownCriticalExtension
            | InvalidCertificate::NoExtension
            | InvalidCertificate::ExtensionTwice
            | InvalidCertificate::Extension
            | InvalidCertificate::Algorithm
            | InvalidCertificate::SelfSignature
            | InvalidCertificate::Binding { .. } => &self.certificate_invalid,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn handshake_timed_out(&self) {
        self.handshake_timed_out.fetch_add(1, Relaxed);
    }

    pub(super) fn refused_handshake(&self, full: Full) {
        match full {
            Full::Total => self.handshakes_full.fetch_add(1, Relaxed),
            Full::Address => self.handshakes_ip_full.fetch_add(1, Relaxed),
        };
    }

    pub(super) fn delayed_accept(&self) {
        self.delayed_accepts.fetch_add(1, Relaxed);
    }

    pub(super) fn paused_read(&self) {
        self.paused_reads.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, full: Full) {
        match full {
            Full::Total => self.connections_full.fetch_add(1, Relaxed),
            Full::Address => self.ip_full.fetch_add(1, Relaxed),
        };
    }

    pub(crate) fn lapsed(&self, lapse: Lapse) {
        match lapse {
            Lapse::NoCall => self.without_call.fetch_add(1, Relaxed),
            Lapse::GaveWay => self.gave_way.fetch_add(1, Relaxed),
            Lapse::Unread => self.unread.fetch_add(1, Relaxed),
            Lapse::Idle => self.idle.fetch_add(1, Relaxed),
        };
    }

    pub(super) fn accept_failed(&self) {
        self.accept_failed.fetch_add(1, Relaxed);
    }
}
