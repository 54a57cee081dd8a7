//! Nodes that are nothing but a key, and say something new all the time.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use unring_peer::{Identity, NodeRecord, PeerAddress, SignedRecord, UnixMillis};
use unring_peer_addr::{OutboundOpen, OutboundUpdate};

use crate::caller::Caller;

/// Between two versions of every record.
const PAUSE: Duration = Duration::from_millis(20);

/// Records valid for as long as a test may take.
const TTL: Duration = Duration::from_secs(30 * 60);

/// Nodes whose records one caller brings.
#[derive(Debug)]
pub struct FakePeers {
    caller: Caller,
    identities: Vec<Identity>,
    /// Where they say that they are.
    addresses: Vec<PeerAddress>,
    version: u64,
}

impl FakePeers {
    /// So many nodes.
    pub fn new(peers: usize) -> Self {
        let identities = (0..peers).map(|_| Identity::generate()).collect();
        Self { caller: Caller::default(), identities, addresses: Vec::new(), version: 0 }
    }

    /// So many nodes that are said to be at these addresses, one after the other and round again.
    pub fn at(peers: usize, addresses: &[SocketAddr]) -> Self {
        let libp2p = |at: &SocketAddr| format!("/ip4/{}/tcp/{}", at.ip(), at.port()).parse();
        let addresses = addresses.iter().map(|address| libp2p(address).unwrap()).collect();
        Self { addresses, ..Self::new(peers) }
    }

    /// Tells the node at `url` of ever newer versions of all of them, for this long and at least once.
    pub fn change_all_the_time(&mut self, url: &str, time: Duration) {
        let turns = 1 + usize::try_from(time.as_millis() / PAUSE.as_millis()).unwrap();
        let first = self.version + 1;
        self.version += turns as u64;
        let (identities, addresses) = (self.identities.clone(), self.addresses.clone());
        let updates = stream::iter(first..=self.version).then(move |seq| {
            let at = addresses.iter().map(Some).cycle().chain(std::iter::repeat(None));
            let records = identities.iter().zip(at);
            let records = records.map(|(identity, at)| record(identity, seq, at)).collect();
            async move {
                tokio::time::sleep(PAUSE).await;
                OutboundUpdate { records, ..OutboundUpdate::default() }
            }
        });
        self.caller.block_on(async {
            let client = self.caller.connect(url).await.unwrap();
            // It stays open for longer than there is something to say, so that the last word is heard.
            let updates = updates.chain(stream::pending());
            let open = OutboundOpen::default();
            let mut heard = client.watch_peers(open, updates, TTL).await.unwrap();
            let until = tokio::time::sleep(PAUSE * u32::try_from(turns + 2).unwrap());
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => return,
                    batch = heard.next() => drop(batch.unwrap().unwrap()),
                }
            }
        });
    }
}

fn record(identity: &Identity, seq: u64, at: Option<&PeerAddress>) -> SignedRecord {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = UnixMillis::new(u64::try_from(now.as_millis()).unwrap());
    let fake = NodeRecord::new(identity.peer_id(), "fake");
    let addresses = at.cloned().into_iter().collect();
    let record = NodeRecord { seq, issued_at: now, ttl: TTL, addresses, ..fake };
    SignedRecord::sign(identity, record).unwrap()
}
