//! Two nodes and the loop that runs them: `cargo run -p unring-exchange --example two_engines`.
//!
//! The second joins the first over a stream, and the first asks the second nothing: it hears of it all the same.
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use unring_exchange::{Action, Batch, Config, Engine, Now, Origin, Signatures, StreamId};
use unring_peer::{
    Identity, InvalidRecord, Membership, SignedRecord, UnixMillis, UnverifiedRecord,
};

type Node = Engine<Signatures>;

fn at(millis: u64) -> Now {
    let unix = UnixMillis::new(1_790_000_000_000 + millis);
    Now { mono: Duration::from_millis(millis), unix }
}

fn start(name: &str, upstreams: &[&str]) -> Node {
    let identity = Identity::generate();
    let config = Config::new(name, rand::random());
    let origin = Origin {
        identity,
        last_seq: 0,
        addresses: Vec::new(),
        grpc_url: None,
        membership: Membership::default(),
    };
    let mut node = Engine::new(at(0), config, origin, Signatures);
    let upstreams = upstreams.iter().map(|upstream| ((*upstream).to_owned(), at(0).unix));
    node.set_upstreams(at(0), upstreams.collect());
    node
}

/// What comes over the wire is bytes, which are read and not believed yet.
fn read(record: &SignedRecord) -> Result<UnverifiedRecord, InvalidRecord> {
    UnverifiedRecord::decode(record.envelope().clone(), record.membership_tag().clone())
}

/// A broken record does not cost the others; whoever receives them counts it.
fn received(batch: Batch<SignedRecord>) -> Batch<UnverifiedRecord> {
    batch.map_records(|records| records.iter().filter_map(|record| read(record).ok()).collect())
}

/// The stream between the two: how each end calls it.
#[derive(Default)]
struct Stream {
    of_first: Option<StreamId>,
    of_second: Option<StreamId>,
}

fn main() -> Result<(), InvalidRecord> {
    let mut first = start("first", &[]);
    let mut second = start("second", &["https://first:5871"]);
    let mut stream = Stream::default();
    // A real loop sleeps until `next_timer`; this one looks every millisecond for a second.
    for millis in 1..1000 {
        let now = at(millis);
        second.on_timer(now);
        for action in second.take_actions() {
            match action {
                Action::PersistSeq { seq } => {
                    println!("{millis:>4} ms: second writes seq {seq} to disk");
                    second.on_seq_persisted(now, seq);
                }
                Action::OpenStream { stream: id, caller_record, .. } => {
                    println!("{millis:>4} ms: second opens a stream to first");
                    let record = Some(read(&caller_record)?);
                    stream.of_first = first.on_watcher(now, Some(second.me()), record, None).ok();
                    stream.of_second = Some(id);
                    second.on_stream_opened(now, id, first.me(), true);
                }
                Action::Push { batch, .. } => {
                    println!("{millis:>4} ms: second pushes {} records", batch.records.len());
                    if let Some(id) = stream.of_first {
                        first.on_stream_records(now, id, received(batch), 0);
                    }
                }
                // Requests to first would be sent here, and end in `on_call_done`.
                _ => {}
            }
        }
        first.on_timer(now);
        for action in first.take_actions() {
            match (action, stream.of_second) {
                (Action::PersistSeq { seq }, _) => first.on_seq_persisted(now, seq),
                (Action::Push { batch, .. }, Some(id)) => {
                    println!("{millis:>4} ms: first pushes {} records", batch.records.len());
                    second.on_stream_records(now, id, received(batch), 0);
                }
                _ => {}
            }
        }
    }
    for (name, node) in [("first", &first), ("second", &second)] {
        let peers = node.peers(at(1000));
        let peers: Vec<_> = peers.iter().map(|peer| peer.record.record().name.as_str()).collect();
        println!("{name} knows {peers:?}");
    }
    Ok(())
}
