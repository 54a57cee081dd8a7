//! Signed records as bytes, to check other implementations of libp2p's signed envelope with:
//! `cargo run -p unring-peer --example envelope [HEX]`.
//!
//! Without an argument it prints a new record in hexadecimal. With one it reads such a record of somebody else, checks the
//! signature, and prints peer id, version and name.

use std::error::Error;
use std::time::Duration;

use unring_peer::{Identity, NodeRecord, SignedRecord, UnixMillis, UnverifiedRecord};

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let Some(hex) = std::env::args().nth(1) else {
        let identity = Identity::generate();
        let mut record = NodeRecord::new(identity.peer_id(), "server1");
        record.seq = 1;
        record.issued_at = UnixMillis::new(1_790_000_000_000);
        record.ttl = Duration::from_secs(1800);
        let signed = SignedRecord::sign(&identity, record)?;
        let hex: String = signed.envelope().iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{} {hex}", identity.peer_id());
        return Ok(());
    };
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Result<Vec<u8>, Box<dyn Error>> =
        pairs.map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?)).collect();
    let signed = UnverifiedRecord::decode(bytes?.into(), Vec::new().into())?.verify()?;
    let record = signed.record();
    println!("{} {} {}", record.peer_id, record.seq, record.name);
    Ok(())
}
