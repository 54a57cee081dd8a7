//! Nodes that are nothing but a key, and say something new all the time.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use unring_peer::{Identity, NodeRecord, SignedRecord, UnixMillis};
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
    version: u64,
}

impl FakePeers {
    /// So many nodes.
    pub fn new(peers: usize) -> Self {
        let identities = (0..peers).map(|_| Identity::generate()).collect();
        Self { caller: Caller::default(), identities, version: 0 }
    }

    /// Tells the node at `url` of ever newer versions of all of them, for this long and at least once.
    pub fn change_all_the_time(&mut self, url: &str, time: Duration) {
        let turns = 1 + usize::try_from(time.as_millis() / PAUSE.as_millis()).unwrap();
        let first = self.version + 1;
        self.version += turns as u64;
        let identities = self.identities.clone();
        let updates = stream::iter(first..=self.version).then(move |seq| {
            let records = identities.iter().map(|identity| record(identity, seq)).collect();
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

fn record(identity: &Identity, seq: u64) -> SignedRecord {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = UnixMillis::new(u64::try_from(now.as_millis()).unwrap());
    let record =
        NodeRecord { seq, issued_at: now, ttl: TTL, ..NodeRecord::new(identity.peer_id(), "fake") };
    SignedRecord::sign(identity, record).unwrap()
}
