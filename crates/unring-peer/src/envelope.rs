//! The libp2p signed envelope (libp2p specs RFC 0002), with a domain of our own.

/// Separates signatures of node records from every other use of a node's key.
pub(crate) const RECORD_DOMAIN: &str = "unring-node-record";

/// Names the payload's type inside the signature.
pub(crate) const RECORD_PAYLOAD_TYPE: &[u8] = b"/unring/node-record/1";

/// What is signed: domain and parts, each preceded by its length as an unsigned varint.
pub(crate) fn signed_bytes(domain: &str, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len() + 10).sum::<usize>() + domain.len() + 10;
    let mut bytes = Vec::with_capacity(length);
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        prost::encoding::encode_varint(part.len() as u64, &mut bytes);
        bytes.extend_from_slice(part);
    }
    bytes
}
