//! A node that knows nobody, and a client that asks it, over mutual TLS: `cargo run -p unring-peer-addr --example
//! serve_and_ask`. With the argument `serve` it goes on serving and prints how to call it with grpcurl.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use unring_cycle_detector::Topology;
use unring_exchange::{Answer, OutboundRequest, Request, Scope};
use unring_peer::{GrpcUrl, Identity, PeerId};
use unring_peer_addr::{
    AcceptCounters, AcceptLimits, Caller, Client, Handler, Incoming, Refusal, Reply, ServerConfig,
    TlsConnector, TlsIdentity, WatchBatch, WatchOpen, WatchUpdate, serve,
};

struct Hermit(PeerId);

impl Handler for Hermit {
    async fn list_peers(
        &self,
        _caller: Caller,
        _request: Request,
        _budget: Duration,
    ) -> Result<Reply, Refusal> {
        let answer = Answer {
            responder: self.0,
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
        _caller: Caller,
        _open: WatchOpen,
        _updates: BoxStream<'static, WatchUpdate>,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        Ok(stream::pending().boxed())
    }

    async fn topology(&self, _caller: Caller) -> Result<Topology<PeerId>, Refusal> {
        Ok(Topology { local: self.0, nodes: Vec::new(), rings: Vec::new() })
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example speaks to its reader")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, client) = (Identity::generate(), Identity::generate());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: GrpcUrl = format!("https://{}", listener.local_addr()?).parse()?;
    let tls = TlsIdentity::new(&server)?;
    let counters = Arc::new(AcceptCounters::default());
    let incoming = Incoming::tls(listener, &tls, AcceptLimits::new(), counters)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = Arc::new(Hermit(server.peer_id()));
    let serving = tokio::spawn(serve(incoming, handler, ServerConfig::new(), async {
        let _ = stopped.await;
    }));

    let tls = TlsIdentity::new(&client)?;
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let dir = std::env::temp_dir();
        let (cert, key) = (dir.join("hermit-client.pem"), dir.join("hermit-client.key"));
        fs::write(&cert, tls.client_pem())?;
        fs::write(&key, tls.key_pem())?;
        let (cert, key, authority) = (cert.display(), key.display(), url.authority());
        println!("grpcurl -insecure -cert {cert} -key {key} {authority} list");
        serving.await??;
        return Ok(());
    }
    let limit = Duration::from_secs(1);
    let node = Client::connect(&TlsConnector::new(&tls)?, &url, &client, limit).await?;
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    let answer = node.list_peers(request, limit).await?;
    println!("{} knows {} peers", answer.responder, answer.records.len());

    drop(node);
    let _ = stop.send(());
    serving.await??;
    Ok(())
}
