//! Times and bounds of Kademlia, each with its reason.

use std::time::Duration;

use unring_routing::LookupConfig;

/// The protocol of Spegel's network.
pub const SPEGEL_PROTOCOL: &str = "/spegel/kad/1.0.0";

/// Peers that hold a record, and peers in a bucket: k of the Kademlia paper, and what Spegel and libp2p have.
pub const REPLICATION: usize = 20;
/// Requests on their way at once in one walk. go-libp2p's; rust-libp2p has 3. A walk with dead peers in it is then as fast.
pub const PARALLEL_REQUESTS: usize = 10;
/// Requests on their way at once in a look-up: the paper's, and rust-libp2p's. Most look-ups end after the first answers, and
/// what was asked beside them was asked in vain.
pub const PARALLEL_LOOKUP_REQUESTS: usize = 3;
/// Bytes of one answer that is read: what go-libp2p answers at most.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long after it was told a record is believed: Spegel's.
pub const RECORD_VALIDITY: Duration = Duration::from_secs(19 * 60);
/// Each key is told again once in this time. Spegel's is 15 min; 12 leave time for a second try before others forget.
pub const REPROVIDE_INTERVAL: Duration = Duration::from_secs(12 * 60);
/// Slots of the time above; in each, the keys of its share of the key space are told. A slot of 11 s has one walk or two.
pub const REPROVIDE_SLOTS: u32 = 64;
/// Keys that are told in one go; the next follow when it is done. Bounds what is encoded at once to some 0.5 MB a peer.
pub const MAX_BATCH: usize = 512;
/// Keys advertised by this node: the layers, configurations and manifests of some thousand images.
pub const MAX_ADVERTISED: usize = 65_536;
/// Records kept of other nodes: 20 nodes with 5000 keys each are 100 000. Seven eighths of a power of two, which is what a hash table
/// of 2^18 places holds: 15 MB.
pub const MAX_PROVIDER_RECORDS: usize = 229_376;
/// Of these, of one provider: as many as one may advertise, a quarter, so that four liars are needed to fill the store.
pub const MAX_RECORDS_PER_PROVIDER: usize = 65_536;
/// Providers kept of one key; a further one takes the place of a random one. Three times what an answer of 20 holds.
pub const MAX_PROVIDERS_PER_KEY: usize = 64;
/// Providers after which a look-up ends before it has asked everybody, once [`ENOUGH_RESPONDERS`] have answered. Spegel tries three.
pub const ENOUGH_PROVIDERS: usize = 8;
/// Answers, that of this node included, before [`ENOUGH_PROVIDERS`] are enough: as many as are asked at once, so that one who invents
/// providers does not speak alone.
pub const ENOUGH_RESPONDERS: usize = 3;
/// Providers believed of one answer: as many as those of libp2p and this project hold.
pub const MAX_PROVIDERS_IN_ANSWER: usize = 20;
/// Answers in a row that name nobody new after which a look-up that has found somebody ends. Who provides tells the same 20
/// closest peers, so they know the same.
pub const SETTLED_ANSWERS: usize = 3;
/// One request, the connection included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// After this a request no longer holds up the next one of its walk.
pub const STALLED_AFTER: Duration = Duration::from_millis(250);
/// The same in a look-up, for which somebody waits. All 20 silent are passed over in 0.7 s.
pub const LOOKUP_STALLED_AFTER: Duration = Duration::from_millis(100);
/// When all others have answered that nobody provides a key, one who is not connected is waited for until so long after it was asked:
/// five round trips and two handshakes' cryptography; it may be the only one who knows. Below a second with what comes before it.
pub const PATIENCE: Duration = Duration::from_millis(800);
/// The same for one who is connected: two round trips of a quarter of a second.
pub const PATIENCE_CONNECTED: Duration = Duration::from_millis(600);
/// Who was waited for in vain is waited for no longer than [`LOOKUP_STALLED_AFTER`] for this time, or until it answers or connects:
/// then a node that hangs costs an asker one slow look-up in it.
pub const STALLED_FOR: Duration = Duration::from_secs(15);
/// Each further time is twice as long, up to this: so soon a peer is waited for again that has become slow instead of dead.
pub const STALLED_FOR_MOST: Duration = Duration::from_secs(120);
/// Peers remembered that were waited for in vain; then the first of them is forgotten. Ten walks' worth.
pub const MAX_STALLED: usize = 1024;
/// Telling one newcomer of all keys that are near it; of what is left then it hears when the sweep comes by.
pub const NEWCOMER_TIMEOUT: Duration = Duration::from_secs(6);
/// Telling one batch of keys; those that were not come to their turn are taken up again after the ones that are due by then.
pub const BATCH_TIMEOUT: Duration = Duration::from_secs(30);
/// A whole look-up; then it ends with what it has.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request: a key, an id and some addresses are a few hundred.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Streams that one peer has open to ask us; a further one is reset. More than a node uses that looks up many keys at once.
pub const MAX_INBOUND_STREAMS: usize = 32;
/// Of these, such as are held back or do not read their answer; what they sent meanwhile counts to their connection.
pub const MAX_BUSY_STREAMS: usize = 16;
/// A peer's question costs as much as so many records that it tells: it is answered with up to 40 peers.
pub const REQUEST_COST: u32 = 4;
/// Records that one peer may tell at once after a pause; a quarter as many questions.
pub const REQUEST_BURST: u32 = 4096;
/// Then one in this time: 2000 records or 500 questions a second, some hundredths of a processor.
pub const REQUEST_GAP: Duration = Duration::from_micros(500);
/// A request that comes too early waits at most this long, then its stream is reset.
pub const MAX_REQUEST_DELAY: Duration = Duration::from_secs(1);
/// Until the first request on a stream has come, and until an answer has been read.
pub const INBOUND_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stream may wait for a further request: as in go-libp2p, which keeps its streams.
pub const INBOUND_IDLE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read whatever others hold: honest ones mostly are shorter.
pub const FREE_ANSWER_BYTES: usize = 16 * 1024;
/// Bytes of a request that are read whatever others hold: honest ones are shorter.
pub const FREE_REQUEST_BYTES: usize = 1024;
/// Bytes of requests beyond these that all peers hold together; then longer ones are refused.
pub const MAX_REQUEST_BYTES_HELD: usize = 1024 * 1024;
/// Streams of each peer that may be held back or not read their answer, whatever other peers do.
pub const FREE_BUSY_STREAMS: usize = 2;
/// Such streams beyond these of all peers together: with answers of up to some 10 KB less than 2 MiB.
pub const MAX_BUSY_STREAMS_OF_ALL: usize = 128;
/// Bytes of long answers that all requests on their way hold together; short ones are not counted.
pub const MAX_ANSWER_BYTES_HELD: usize = 16 * 1024 * 1024;
/// Dials at once by look-ups and walks; further ones wait. Twice those to wanted peers: a look-up is waited for.
pub const MAX_KAD_DIALS: usize = 16;
/// Of these, to peers that only others know: whoever names peers that never answer cannot hold up those that were met.
pub const MAX_HEARSAY_DIALS: usize = 8;
/// Peers that only others know which are dialled at once after a pause: twice what a walk asks in a network of a thousand.
pub const HEARSAY_DIAL_BURST: u32 = 64;
/// Then one in this time, so that no list of addresses makes this node scan the machines in it.
pub const HEARSAY_DIAL_GAP: Duration = Duration::from_millis(125);
/// Dials at once of libp2p's walks that refresh the routing table; for further ones they take the peer for unreachable. Nobody waits
/// for them.
pub const MAX_REFRESH_DIALS: usize = 4;
/// Such dials at once after a pause: to those a walk begins with.
pub const REFRESH_DIAL_BURST: u32 = 16;
/// Then one in this time: a table of 20 buckets is refreshed in five minutes, and no faster by whoever names peers in it.
pub const REFRESH_DIAL_GAP: Duration = Duration::from_millis(500);
/// Addresses of one peer that are tried on the word of others.
pub const MAX_TOLD_ADDRESSES: usize = 4;
/// Of so many others who say where a peer is, all that they tell is tried.
pub(crate) const TELLERS: usize = 4;
/// Between two walks that refresh the routing table: libp2p's.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How this node takes part in Kademlia.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KadConfig {
    /// The name of the protocol, which only its members speak.
    pub protocol: &'static str,
    /// Each advertised key is told again once in this time.
    pub reprovide_interval: Duration,
    /// Keys advertised at most.
    pub max_advertised: usize,
    /// Between two walks that refresh the routing table.
    pub refresh_interval: Duration,
    /// One request, the connection included.
    pub request_timeout: Duration,
    /// A whole look-up.
    pub lookup_timeout: Duration,
    /// How look-ups are kept and bounded.
    pub lookup: LookupConfig,
    /// What is kept of others.
    pub store: StoreLimits,
}

/// Bounds on the records that other nodes told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// In total; a further one is refused. [`crate::Event::StoreAlmostFull`] comes at four fifths.
    pub records: usize,
    /// Of one provider; a further one is refused.
    pub per_provider: usize,
    /// Of one key; a further one replaces a random one.
    pub per_key: usize,
    /// How long each is believed. It must be longer than others take to tell it again.
    pub validity: Duration,
}

impl KadConfig {
    /// The project's values, for Spegel's network.
    #[must_use]
    pub fn spegel(lookup: LookupConfig) -> Self {
        Self {
            protocol: SPEGEL_PROTOCOL,
            reprovide_interval: REPROVIDE_INTERVAL,
            max_advertised: MAX_ADVERTISED,
            refresh_interval: REFRESH_INTERVAL,
            request_timeout: REQUEST_TIMEOUT,
            lookup_timeout: LOOKUP_TIMEOUT,
            lookup,
            store: StoreLimits {
                records: MAX_PROVIDER_RECORDS,
                per_provider: MAX_RECORDS_PER_PROVIDER,
                per_key: MAX_PROVIDERS_PER_KEY,
                validity: RECORD_VALIDITY,
            },
        }
    }
}
