//! gRPC by hand: frames that a well-behaved client would not send, over the same mutual TLS.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use unring_peer::{GrpcUrl, Identity, PeerId};
use unring_peer_addr::{Connector as _, TlsConnector, TlsIdentity, pb};

use super::support::{Node, PATIENCE};

/// A status other than OK.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The number of <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
    pub(crate) code: u32,
    pub(crate) message: String,
}

pub(crate) const INVALID_ARGUMENT: u32 = 3;
pub(crate) const PERMISSION_DENIED: u32 = 7;

/// Somebody with an identity and a connection to a node.
pub(crate) struct Caller {
    runtime: Runtime,
    http2: SendRequest<Bytes>,
    server: SocketAddr,
    /// What it says of its patience, as `grpc-timeout` has it.
    pub(crate) budget: &'static str,
}

impl Caller {
    pub(crate) fn connect(node: &Node, identity: &Identity) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let connector = TlsConnector::new(&TlsIdentity::new(identity).unwrap()).unwrap();
        let url: GrpcUrl = format!("https://{}", node.grpc).parse().unwrap();
        let http2 = runtime.block_on(async {
            let connection = connector.connect(&url).await.unwrap();
            assert_eq!(connection.peer.map(|peer| peer.to_base58()), Some(node.peer_id.clone()));
            let (http2, driver) = h2::client::handshake(connection.io).await.unwrap();
            tokio::spawn(driver);
            http2
        });
        Self { runtime, http2, server: node.grpc, budget: "10S" }
    }

    /// Calls `method` with one message of these bytes and returns the answer's first message.
    pub(crate) fn call_bytes(&self, method: &str, message: &[u8]) -> Result<Bytes, Refused> {
        self.runtime.block_on(async {
            let answer = timeout(PATIENCE, self.exchange(method, message)).await;
            answer.expect("an answer in time")
        })
    }

    async fn exchange(&self, method: &str, message: &[u8]) -> Result<Bytes, Refused> {
        let uri = format!("https://{}/unring.peeraddr.v1.PeerAddrService/{method}", self.server);
        let request = Request::post(uri).header("content-type", "application/grpc");
        let request =
            request.header("te", "trailers").header("grpc-timeout", self.budget).body(()).unwrap();
        let mut http2 = self.http2.clone().ready().await.unwrap();
        let (response, mut body) = http2.send_request(request, false).unwrap();
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(message);
        // A server that refuses resets the stream while we still send: what it answers is what counts.
        let sending = async {
            let mut rest = frame.freeze();
            while !rest.is_empty() {
                body.reserve_capacity(rest.len().min(64 * 1024));
                let Some(Ok(capacity)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return };
                let piece = rest.split_to(capacity.min(rest.len()));
                if body.send_data(piece, rest.is_empty()).is_err() {
                    return;
                }
            }
        };
        let (_, answer) = tokio::join!(sending, async {
            let (head, mut body) = response.await.expect("a response").into_parts();
            refusal(&head.headers)?;
            let mut bytes = BytesMut::new();
            while let Some(piece) = body.data().await {
                let piece = piece.expect("a whole answer");
                body.flow_control().release_capacity(piece.len()).unwrap();
                bytes.put(piece);
                // A stream has no end of its own: its first message is enough.
                if method == "WatchPeers" && whole(&bytes) {
                    return Ok(bytes.freeze());
                }
            }
            refusal(&body.trailers().await.expect("trailers").expect("trailers"))?;
            Ok(bytes.freeze())
        });
        let mut answer = answer?;
        assert!(whole(&answer), "{} bytes are no gRPC message", answer.len());
        Ok(answer.split_off(5))
    }

    pub(crate) fn call<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, Refused> {
        let answer = self.call_bytes(method, &message.encode_to_vec())?;
        Ok(A::decode(answer).expect("an answer of this protocol"))
    }

    pub(crate) fn list_peers(
        &self,
        request: &pb::ListPeersRequest,
    ) -> Result<pb::ListPeersResponse, Refused> {
        self.call("ListPeers", request)
    }
}

/// Whether the first message is there.
fn whole(bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(1..5) else { return false };
    let length: usize = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    bytes.len() >= 5 + length
}

fn refusal(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match text("grpc-status").map(|code| code.parse().unwrap()) {
        None | Some(0) => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default().replace("%20", " ");
            Err(Refused { code, message: message.replace("%22", "\"") })
        }
    }
}

/// What a request of a node carries: where it started and where it has been.
pub(crate) struct Trace {
    pub(crate) origin: Identity,
    pub(crate) request_id: [u8; 16],
    pub(crate) issued_at_unix_ms: u64,
    pub(crate) path: Vec<(PeerId, [u8; 16])>,
    pub(crate) hop_limit: u32,
}

impl Trace {
    pub(crate) fn new(origin: &Identity, request_id: u8) -> Self {
        let request_id = [request_id; 16];
        let origin = origin.clone();
        Self { origin, request_id, issued_at_unix_ms: now(), path: Vec::new(), hop_limit: 64 }
    }

    /// Signed by its origin.
    pub(crate) fn wire(&self) -> pb::Trace {
        let origin = self.origin.peer_id();
        let issued_at = self.issued_at_unix_ms;
        let parts: [&[u8]; 3] = [&origin.to_bytes(), &self.request_id, &issued_at.to_be_bytes()];
        let hop = |(peer, stamp): &(PeerId, [u8; 16])| pb::Hop {
            peer_id: peer.to_base58(),
            stamp: stamp.to_vec(),
        };
        pb::Trace {
            origin: origin.to_base58(),
            origin_public_key: self.origin.public_key().encode_protobuf(),
            request_id: self.request_id.to_vec(),
            issued_at_unix_ms: issued_at,
            origin_signature: self.origin.sign("unring-request", &parts),
            path: self.path.iter().map(hop).collect(),
            hop_limit: self.hop_limit,
        }
    }

    pub(crate) fn request(&self) -> pb::ListPeersRequest {
        recursive(self.wire())
    }
}

pub(crate) fn recursive(trace: pb::Trace) -> pb::ListPeersRequest {
    let scope = pb::Scope::Recursive.into();
    pb::ListPeersRequest { scope, trace: Some(trace), ..Default::default() }
}

/// Unix time in milliseconds.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A record of `subject`, signed by `signer`, whatever it holds.
pub(crate) fn signed(
    signer: &Identity,
    subject: PeerId,
    change: impl FnOnce(&mut pb::NodeRecord),
) -> pb::SignedRecord {
    let mut record = pb::NodeRecord {
        peer_id: subject.to_base58(),
        seq: now(),
        issued_at_unix_ms: now(),
        ttl_ms: 60_000,
        name: "caller".into(),
        addresses: vec!["/ip4/127.0.0.1/tcp/9".into()],
        ..Default::default()
    };
    change(&mut record);
    let payload_type = b"/unring/node-record/1".to_vec();
    let payload = record.encode_to_vec();
    let envelope = pb::SignedEnvelope {
        public_key: signer.public_key().encode_protobuf(),
        signature: signer.sign("unring-node-record", &[&payload_type, &payload]),
        payload_type,
        payload,
    };
    pb::SignedRecord { envelope: envelope.encode_to_vec().into(), ..Default::default() }
}
