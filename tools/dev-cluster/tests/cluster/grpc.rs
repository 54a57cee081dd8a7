//! The real calls of the triggers, against a server of the protocol.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dev_cluster::error_chain;
use dev_cluster::trigger::{GrpcTrigger, Trigger as _};
use futures::stream::BoxStream;
use unring_cycle_detector::Topology;
use unring_exchange::{Answer, Request, Scope};
use unring_peer::{Identity, PeerId};
use unring_peer_addr::{
    AcceptLimits, Caller, Handler, Incoming, Refusal, Reply, ServerConfig, TlsIdentity, WatchBatch,
    WatchOpen, WatchUpdate, serve,
};

const DRAINING: Refusal = Refusal::Draining { retry_after: Duration::from_secs(1) };

struct Asked {
    own: PeerId,
    requests: Mutex<Vec<Request>>,
    refuse: bool,
}

impl Handler for Asked {
    async fn list_peers(&self, _: Caller, request: Request, _: Duration) -> Result<Reply, Refusal> {
        self.requests.lock().unwrap().push(request);
        if self.refuse {
            return Err(DRAINING);
        }
        let answer = Answer {
            responder: self.own,
            records: Vec::new().into(),
            incomplete: [].into(),
            upstreams: Vec::new(),
            request_id: None,
            retry_after: None,
        };
        Ok(Reply { answer, rings: Vec::new(), names: [].into() })
    }

    async fn watch_peers(
        &self,
        _: Caller,
        _: WatchOpen,
        _: BoxStream<'static, WatchUpdate>,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        Err(DRAINING)
    }

    async fn topology(&self, _: Caller) -> Result<Topology<PeerId>, Refusal> {
        Err(DRAINING)
    }
}

/// Fires one trigger at a server, over TLS or in plaintext; what came of it and what the server was asked.
fn fire(tls: bool, refuse: bool) -> (Result<(), String>, Vec<Request>) {
    let identity = Identity::generate();
    let asked = Asked { own: identity.peer_id(), requests: Mutex::default(), refuse };
    let asked = Arc::new(asked);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    let (limits, counters) = (AcceptLimits::new(), Arc::default());
    let incoming = match tls {
        true => Incoming::tls(listener, &TlsIdentity::new(&identity).unwrap(), limits, counters)
            .unwrap(),
        false => Incoming::plain(listener, limits, counters),
    };
    let handler = Arc::clone(&asked);
    runtime.spawn(serve(incoming, handler, ServerConfig::new(), std::future::pending()));
    let scheme = if tls { "https" } else { "http" };
    let outcome = GrpcTrigger::new().unwrap().fire(&format!("{scheme}://{at}"));
    drop(runtime);
    let requests = std::mem::take(&mut *asked.requests.lock().unwrap());
    (outcome.map_err(|err| error_chain(&*err)), requests)
}

#[test]
fn a_trigger_is_one_recursive_request_without_a_trace() {
    for tls in [true, false] {
        let (outcome, requests) = fire(tls, false);
        assert_eq!(outcome, Ok(()), "tls {tls}");
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].scope, requests[0].trace.is_none()), (Scope::Recursive, true));
    }
}

#[test]
fn a_refusal_is_no_answer() {
    let (outcome, _) = fire(true, true);
    let error = outcome.unwrap_err();
    assert!(error.starts_with("it gave no answer: https://127.0.0.1:"), "{error}");
}

#[test]
fn a_wrong_url_is_named() {
    let error = GrpcTrigger::new().unwrap().fire("ftp://x").unwrap_err();
    assert!(error_chain(&*error).starts_with("its URL is wrong: "), "{error}");
}
