//! Who checks signatures.

use unring_peer::{InvalidRecord, SignedRecord, UnverifiedRecord};

use crate::trace::{InvalidTrace, Trace};

/// Checks signatures. [`Signatures`] does; a simulator of thousands of nodes may not, since it tests the protocol and
/// not the cryptography.
pub trait Verifier {
    /// Checks a record's signature.
    ///
    /// # Errors
    /// When its node did not sign it.
    fn verify_record(&self, record: UnverifiedRecord) -> Result<SignedRecord, InvalidRecord>;

    /// Checks the origin's signature on a request.
    ///
    /// # Errors
    /// When the origin did not sign it.
    fn verify_trace(&self, trace: &Trace) -> Result<(), InvalidTrace>;
}

/// Really checks signatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signatures;

impl Verifier for Signatures {
    fn verify_record(&self, record: UnverifiedRecord) -> Result<SignedRecord, InvalidRecord> {
        record.verify()
    }

    fn verify_trace(&self, trace: &Trace) -> Result<(), InvalidTrace> {
        trace.verify()
    }
}
