//! What Spegel's `/id` answers, in the three forms that its versions have had.
//!
//! - v0.0.30 to v0.3.0: one multiaddr with a peer id, as text.
//! - v0.4.0 to v0.7.4: one JSON object `{"ID": ..., "Addrs": [...]}`, go-libp2p's `AddrInfo`.
//! - after v0.7.4: a JSON array of such objects, the id of which may be absent or empty.
//!
//! No version of Spegel reads the form of another; this reads all, by what the first byte is.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unring_peer::{PeerAddress, PeerId};

use crate::candidate::{Candidate, InvalidCandidate};
use crate::limits::{MAX_ID_ADDRESSES, MAX_ID_BYTES, MAX_ID_PEERS};

/// Which form an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdForm {
    /// A multiaddr.
    Text,
    /// One JSON object.
    Object,
    /// A JSON array of objects.
    Array,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdAnswer {
    /// In which form.
    pub form: IdForm,
    /// Where to dial; at most [`MAX_ID_PEERS`] times [`MAX_ID_ADDRESSES`].
    pub candidates: Vec<Candidate>,
    /// Addresses left out: of another transport, not dialable, or too many.
    pub skipped: usize,
}

/// Why bytes are no answer of `/id`.
#[derive(Debug, Error)]
pub enum InvalidId {
    /// Longer than [`MAX_ID_BYTES`].
    #[error("{got} bytes, at most {MAX_ID_BYTES} are read")]
    TooLong {
        /// Bytes there are.
        got: usize,
    },
    /// Neither of the three forms.
    #[error("neither a multiaddr nor JSON")]
    Form,
    /// JSON that does not fit.
    #[error("not a JSON object with ID and Addrs, nor an array of such")]
    Json(#[source] serde_json::Error),
    /// A peer id that is none.
    #[error("the ID is not a peer id")]
    Id,
    /// A multiaddr that is none, or cannot be dialled.
    #[error("the multiaddr cannot be dialled")]
    Text(#[source] InvalidCandidate),
}

/// As Go writes it. Go's reader ignores upper and lower case.
#[derive(Deserialize, Serialize)]
struct AddrInfo {
    #[serde(rename = "ID", alias = "id", alias = "Id", default)]
    id: Option<String>,
    #[serde(rename = "Addrs", alias = "addrs", alias = "Addresses", default)]
    addrs: Option<Vec<String>>,
}

/// Reads what `/id` answered. An address may lack its port, which is `port` then, as Spegel has it.
///
/// # Errors
/// When it is none of the three forms. An address that cannot be dialled is left out and counted, as long as it is one of
/// several: in a text there is only the one.
pub fn parse_id(bytes: &[u8], port: u16) -> Result<IdAnswer, InvalidId> {
    if bytes.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong { got: bytes.len() });
    }
    let bytes = bytes.trim_ascii();
    match bytes.first() {
        Some(b'[') => {
            let peers: Vec<AddrInfo> = serde_json::from_slice(bytes).map_err(InvalidId::Json)?;
            read(IdForm::Array, &peers, port)
        }
        Some(b'{') => {
            let peer: AddrInfo = serde_json::from_slice(bytes).map_err(InvalidId::Json)?;
            read(IdForm::Object, &[peer], port)
        }
        Some(b'/') => {
            let text = std::str::from_utf8(bytes).map_err(|_| InvalidId::Form)?;
            let candidate = Candidate::parse(text, None, Some(port)).map_err(InvalidId::Text)?;
            Ok(IdAnswer { form: IdForm::Text, candidates: vec![candidate], skipped: 0 })
        }
        _ => Err(InvalidId::Form),
    }
}

fn read(form: IdForm, peers: &[AddrInfo], port: u16) -> Result<IdAnswer, InvalidId> {
    let mut answer = IdAnswer { form, candidates: Vec::new(), skipped: 0 };
    for (at, peer) in peers.iter().enumerate() {
        let addresses = peer.addrs.as_deref().unwrap_or_default();
        if at >= MAX_ID_PEERS {
            answer.skipped += addresses.len();
            continue;
        }
        let id = match peer.id.as_deref() {
            None | Some("") => None,
            Some(text) => Some(text.parse::<PeerId>().map_err(|_| InvalidId::Id)?),
        };
        for (at, address) in addresses.iter().enumerate() {
            match Candidate::parse(address, id, Some(port)) {
                Ok(candidate) if at < MAX_ID_ADDRESSES => answer.candidates.push(candidate),
                _ => answer.skipped += 1,
            }
        }
    }
    Ok(answer)
}

/// What `/id` answers in its newest form: an array with one peer.
#[must_use]
pub fn write_id(peer: PeerId, addresses: &[PeerAddress]) -> String {
    let addrs = addresses.iter().map(ToString::to_string).collect();
    let one = AddrInfo { id: Some(peer.to_base58()), addrs: Some(addrs) };
    // Strings alone cannot fail; nobody then is what is left to say.
    serde_json::to_string(&[one]).unwrap_or_else(|_| "[]".to_owned())
}
