//! Records with their signature.

use std::sync::Arc;

use bytes::Bytes;
use libp2p_identity::{PeerId, PublicKey};
use prost::Message as _;
use thiserror::Error;

use crate::envelope::{RECORD_DOMAIN, RECORD_PAYLOAD_TYPE};
use crate::{Identity, InvalidContent, NodeRecord, limits, pb, verify_signature};

/// A record that its own node signed. It cannot be made without a valid signature.
///
/// It holds the envelope's verbatim bytes: they are what is stored and passed on. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct SignedRecord(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    record: NodeRecord,
    envelope: Bytes,
    membership_tag: Bytes,
}

/// A decoded envelope whose signature has not been checked yet: enough to see whether checking is worth it. Cloning is
/// cheap.
#[derive(Clone, Debug)]
pub struct UnverifiedRecord {
    inner: Arc<Inner>,
    proof: Arc<Proof>,
}

/// What the signature is checked with; not needed afterwards.
#[derive(Debug)]
struct Proof {
    key: PublicKey,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why bytes are not a signed record.
#[derive(Debug, Error)]
pub enum InvalidRecord {
    /// Longer than [`limits::MAX_ENVELOPE_BYTES`].
    #[error("envelope of {got} bytes, at most {} are allowed", limits::MAX_ENVELOPE_BYTES)]
    TooLarge {
        /// Bytes it has.
        got: usize,
    },
    /// A membership tag longer than [`limits::MAX_TAG_BYTES`].
    #[error("membership tag of {got} bytes, at most {} are allowed", limits::MAX_TAG_BYTES)]
    TagTooLarge {
        /// Bytes it has.
        got: usize,
    },
    /// Not a SignedEnvelope message.
    #[error("not a signed envelope")]
    Envelope(#[source] prost::DecodeError),
    /// Signed for another purpose.
    #[error("payload type {0:?} is not that of a node record")]
    PayloadType(String),
    /// The signer's key cannot be read.
    #[error("the signer's public key cannot be read")]
    Key(#[source] libp2p_identity::DecodingError),
    /// Not a NodeRecord message.
    #[error("payload is not a node record")]
    Payload(#[source] prost::DecodeError),
    /// The record breaks a bound.
    #[error("record of {signer} is refused")]
    Content {
        /// Whose key is in the envelope; the signature has not been checked.
        signer: PeerId,
        /// What is wrong.
        #[source]
        source: InvalidContent,
    },
    /// A node signed a record of another node.
    #[error("record of {subject} is signed by {signer}")]
    OtherSigner {
        /// Whom the record speaks of.
        subject: PeerId,
        /// Who signed it.
        signer: PeerId,
    },
    /// The signature does not verify.
    #[error("signature of the record of {subject} does not verify")]
    Signature {
        /// Whom the record speaks of.
        subject: PeerId,
    },
}

/// Why a record cannot be signed.
#[derive(Debug, Error)]
pub enum SignRecordError {
    /// It speaks of another node than the one that signs.
    #[error("record of {subject} cannot be signed by {signer}")]
    OtherSigner {
        /// Whom the record speaks of.
        subject: PeerId,
        /// Who was to sign it.
        signer: PeerId,
    },
    /// Others would refuse it.
    #[error("the record breaks a bound that every node checks")]
    Content(#[source] InvalidContent),
    /// It would be larger than [`limits::MAX_ENVELOPE_BYTES`].
    #[error("envelope of {got} bytes, at most {} are allowed", limits::MAX_ENVELOPE_BYTES)]
    TooLarge {
        /// Bytes it would have.
        got: usize,
    },
}

impl SignedRecord {
    /// Signs `record` with the key of the node that it speaks of, without a membership tag.
    ///
    /// # Errors
    /// When it speaks of another node or breaks a bound, so that other nodes would refuse it.
    pub fn sign(identity: &Identity, record: NodeRecord) -> Result<Self, SignRecordError> {
        if record.peer_id != identity.peer_id() {
            let (subject, signer) = (record.peer_id, identity.peer_id());
            return Err(SignRecordError::OtherSigner { subject, signer });
        }
        let wire = record.to_wire();
        let payload = wire.encode_to_vec();
        let record = NodeRecord::from_wire(wire).map_err(SignRecordError::Content)?;
        let envelope = pb::SignedEnvelope {
            public_key: identity.public_key().encode_protobuf(),
            payload_type: RECORD_PAYLOAD_TYPE.to_vec(),
            signature: identity.sign(RECORD_DOMAIN, &[RECORD_PAYLOAD_TYPE, &payload]),
            payload,
        };
        let envelope = Bytes::from(envelope.encode_to_vec());
        if envelope.len() > limits::MAX_ENVELOPE_BYTES {
            return Err(SignRecordError::TooLarge { got: envelope.len() });
        }
        Ok(Self(Arc::new(Inner { record, envelope, membership_tag: Bytes::new() })))
    }

    /// What the node says of itself.
    #[must_use]
    pub fn record(&self) -> &NodeRecord {
        &self.0.record
    }

    /// The signed envelope, verbatim.
    #[must_use]
    pub fn envelope(&self) -> &Bytes {
        &self.0.envelope
    }

    /// The membership tag, verbatim; empty where there is none. It is not checked here.
    #[must_use]
    pub fn membership_tag(&self) -> &Bytes {
        &self.0.membership_tag
    }

    /// The same record with this membership tag: what is signed stays as it is.
    #[must_use]
    pub fn with_membership_tag(self, tag: Bytes) -> Self {
        let inner = &*self.0;
        let (record, envelope) = (inner.record.clone(), inner.envelope.clone());
        Self(Arc::new(Inner { record, envelope, membership_tag: tag }))
    }

    /// Bytes that the record takes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.0.envelope.len() + self.0.membership_tag.len()
    }
}

impl PartialEq for SignedRecord {
    fn eq(&self, other: &Self) -> bool {
        self.0.envelope == other.0.envelope && self.0.membership_tag == other.0.membership_tag
    }
}

impl Eq for SignedRecord {}

impl UnverifiedRecord {
    /// Reads an envelope within every bound, up to but not including its signature.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(envelope: Bytes, membership_tag: Bytes) -> Result<Self, InvalidRecord> {
        if envelope.len() > limits::MAX_ENVELOPE_BYTES {
            return Err(InvalidRecord::TooLarge { got: envelope.len() });
        }
        if membership_tag.len() > limits::MAX_TAG_BYTES {
            return Err(InvalidRecord::TagTooLarge { got: membership_tag.len() });
        }
        let pb::SignedEnvelope { public_key, payload_type, payload, signature } =
            pb::SignedEnvelope::decode(envelope.clone()).map_err(InvalidRecord::Envelope)?;
        if payload_type != RECORD_PAYLOAD_TYPE {
            let shown = payload_type.escape_ascii().take(64).map(char::from).collect();
            return Err(InvalidRecord::PayloadType(shown));
        }
        let key = PublicKey::try_decode_protobuf(&public_key).map_err(InvalidRecord::Key)?;
        let signer = key.to_peer_id();
        let record = pb::NodeRecord::decode(payload.as_slice()).map_err(InvalidRecord::Payload)?;
        let record = NodeRecord::from_wire(record)
            .map_err(|source| InvalidRecord::Content { signer, source })?;
        if record.peer_id != signer {
            return Err(InvalidRecord::OtherSigner { subject: record.peer_id, signer });
        }
        Ok(Self {
            inner: Arc::new(Inner { record, envelope, membership_tag }),
            proof: Arc::new(Proof { key, payload, signature }),
        })
    }

    /// Whom it claims to speak of.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.inner.record.peer_id
    }

    /// Its claimed version.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.inner.record.seq
    }

    /// The claimed content.
    #[must_use]
    pub fn claimed(&self) -> &NodeRecord {
        &self.inner.record
    }

    /// The envelope, verbatim.
    #[must_use]
    pub fn envelope(&self) -> &Bytes {
        &self.inner.envelope
    }

    /// The membership tag, verbatim; empty where there is none.
    #[must_use]
    pub fn membership_tag(&self) -> &Bytes {
        &self.inner.membership_tag
    }

    /// Bytes that the record takes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.inner.envelope.len() + self.inner.membership_tag.len()
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When it is not the signature of the node that the record speaks of.
    pub fn verify(self) -> Result<SignedRecord, InvalidRecord> {
        let Proof { key, payload, signature } = &*self.proof;
        let parts = [RECORD_PAYLOAD_TYPE, payload];
        if !verify_signature(key, RECORD_DOMAIN, &parts, signature) {
            return Err(InvalidRecord::Signature { subject: self.peer_id() });
        }
        Ok(self.into_signed())
    }

    /// Takes the signature for valid: for simulators of thousands of nodes, where the protocol and not the
    /// cryptography is under test.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn assume_verified(self) -> SignedRecord {
        self.into_signed()
    }

    fn into_signed(self) -> SignedRecord {
        SignedRecord(self.inner)
    }
}
