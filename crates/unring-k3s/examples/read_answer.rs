//! Reads an answer of `/v1-k3s/p2p` from standard input, as `kubectl get --raw /v1-k3s/p2p` prints it.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::io::{self, Read as _};

use unring_k3s::{limits, parse_answer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut body = Vec::new();
    io::stdin().take(limits::MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut body)?;
    let answer = parse_answer(&body)?;
    for address in &answer.addresses {
        println!("{} is at {}", address.peer, address.address);
    }
    println!("{:?}", answer.skipped);
    Ok(())
}
