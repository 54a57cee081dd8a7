//! Who calls, and how a caller proves it where the transport does not.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use thiserror::Error;
use tonic::transport::server::Connected;
use unring_peer::{Identity, PeerId, UnixMillis, verify_signature};

use crate::convert::{InvalidMessage, public_key, signature};
use crate::pb;

/// Binary metadata that holds a caller's proof.
pub(crate) const CALLER_METADATA: &str = "unring-caller-bin";

/// How far a proof's time may be from the server's clock, either way: the skew that records are allowed too.
pub const MAX_PROOF_AGE: Duration = Duration::from_secs(5 * 60);

/// Separates proofs from every other use of a node's key.
const CALLER_DOMAIN: &str = "unring-caller";

/// How a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Mutual TLS: the certificate says who calls.
    Tls,
    /// Plaintext: a signed proof says who calls, or nobody does.
    Plaintext,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The authenticated peer; none is an anonymous caller, which only a loopback address can be.
    pub peer: Option<PeerId>,
    /// Where it calls from.
    pub remote: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// What a connection knows of its other end, as the incoming stream reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The peer of the certificate; none in plaintext.
    pub peer: Option<PeerId>,
    /// The other end's address.
    pub remote: SocketAddr,
    /// How it came in.
    pub transport: Transport,
}

/// A byte stream together with what is known of its other end: for tests in memory and for transports of one's own.
#[derive(Debug)]
pub struct WithInfo<IO> {
    io: IO,
    info: ConnectInfo,
}

/// Why a caller is not who it says it is, or says nothing where it must.
#[derive(Debug, Error)]
pub enum Unauthenticated {
    /// No proof from an address other than loopback.
    #[error(
        "plaintext call from {remote} without a proof of identity: send {CALLER_METADATA}, or use https://"
    )]
    Anonymous {
        /// Where it came from.
        remote: SocketAddr,
    },
    /// The connection came in by a way that tells nothing of its other end.
    #[error("the connection does not say who calls")]
    Unknown,
    /// A proof that is no proof.
    #[error("{CALLER_METADATA} is not a Caller message")]
    Malformed,
    /// A field of the proof.
    #[error("{CALLER_METADATA} is refused")]
    Field(#[source] InvalidMessage),
    /// Signed too long ago, or in the future.
    #[error(
        "{CALLER_METADATA} was signed {age_ms} ms away from this server's clock, at most {} are allowed: check both clocks",
        MAX_PROOF_AGE.as_millis()
    )]
    Stale {
        /// Distance of the two clocks in milliseconds.
        age_ms: u128,
    },
    /// Not signed by this key for this server.
    #[error("{CALLER_METADATA}: the signature of {peer} for {authority:?} does not verify")]
    Signature {
        /// Who it claims to be.
        peer: PeerId,
        /// The authority that was dialled.
        authority: String,
    },
}

/// The wall clock; before 1970 it is 1970.
pub(crate) fn wall_clock() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A proof for the server dialled as `authority`, as the value of [`CALLER_METADATA`].
pub(crate) fn prove(identity: &Identity, authority: &str, now: UnixMillis) -> Vec<u8> {
    let proof = pb::Caller {
        public_key: identity.public_key().encode_protobuf(),
        issued_at_unix_ms: now.get(),
        signature: identity.sign(CALLER_DOMAIN, &signed_parts(authority, &now.get().to_be_bytes())),
    };
    proof.encode_to_vec()
}

/// Who made `proof`. It is bound to the authority as the client dialled it and to the time, not to the connection: who
/// can read plaintext can use it again within [`MAX_PROOF_AGE`]. TLS is the answer to that.
pub(crate) fn check_proof(
    proof: &[u8],
    authority: &str,
    now: UnixMillis,
) -> Result<PeerId, Unauthenticated> {
    let proof = pb::Caller::decode(proof).map_err(|_| Unauthenticated::Malformed)?;
    let key = public_key("public_key", &proof.public_key).map_err(Unauthenticated::Field)?;
    let signature = signature("signature", proof.signature).map_err(Unauthenticated::Field)?;
    let issued_at = UnixMillis::new(proof.issued_at_unix_ms);
    let age = issued_at.abs_diff(now);
    if age > MAX_PROOF_AGE {
        return Err(Unauthenticated::Stale { age_ms: age.as_millis() });
    }
    let peer = key.to_peer_id();
    let issued_at = issued_at.get().to_be_bytes();
    if !verify_signature(&key, CALLER_DOMAIN, &signed_parts(authority, &issued_at), &signature) {
        return Err(Unauthenticated::Signature { peer, authority: authority.to_owned() });
    }
    Ok(peer)
}

fn signed_parts<'a>(authority: &'a str, issued_at: &'a [u8; 8]) -> [&'a [u8]; 2] {
    [authority.as_bytes(), issued_at]
}

impl<IO> WithInfo<IO> {
    /// `io`, whose other end is `info`.
    pub fn new(io: IO, info: ConnectInfo) -> Self {
        Self { io, info }
    }
}

impl<IO> Connected for WithInfo<IO> {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        self.info
    }
}

mod io {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::WithInfo;

    impl<IO: AsyncRead + Unpin> AsyncRead for WithInfo<IO> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_read(cx, buf)
        }
    }

    impl<IO: AsyncWrite + Unpin> AsyncWrite for WithInfo<IO> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.io).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }
}
