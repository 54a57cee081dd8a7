//! A node signs what it says of itself, another one reads it and notices a changed byte.
//!
//! `cargo run -p unring-peer --example sign_and_read`

use std::error::Error;
use std::time::Duration;

use unring_peer::{Identity, NodeRecord, SignedRecord, UnixMillis, UnverifiedRecord};

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let server1 = Identity::generate();
    let mut record = NodeRecord::new(server1.peer_id(), "server1");
    record.addresses = vec!["/ip4/10.0.0.1/tcp/5872".parse()?];
    record.seq = 7;
    record.issued_at = UnixMillis::new(1_790_000_000_000);
    record.ttl = Duration::from_secs(30 * 60);
    let signed = SignedRecord::sign(&server1, record)?;
    println!("server1 signs {} bytes", signed.envelope().len());

    let (envelope, tag) = (signed.envelope().clone(), signed.membership_tag().clone());
    let received = UnverifiedRecord::decode(envelope.clone(), tag.clone())?;
    println!("seq {} is known before the signature is paid for", received.seq());
    let verified = received.verify()?;
    println!("it is {}'s, at {}", verified.record().name, verified.record().addresses[0]);

    let mut changed = envelope.to_vec();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    match UnverifiedRecord::decode(changed.into(), tag).and_then(UnverifiedRecord::verify) {
        Ok(_) => Err("a changed record was accepted".into()),
        Err(error) => {
            println!("one changed bit: {error}");
            Ok(())
        }
    }
}
