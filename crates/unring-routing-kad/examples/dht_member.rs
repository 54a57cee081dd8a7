//! A member of Spegel's network that does what it is told on standard input:
//! `cargo run -p unring-routing-kad --example dht_member [PSK]`.
//!
//! PSK is the key of a private network in hexadecimal. Each line is a command, and each is answered with one line:
//!
//! | command | answer |
//! |---|---|
//! | `connect ADDRESS` | `connected ID` |
//! | `advertise KEY` | `advertised` |
//! | `lookup KEY` | `found ID=IP,IP ID=IP` |
//! | `peers` | `peers N`: in the routing table |
//! | `record` | `record HEX`: a libp2p peer record of ours, signed |
//! | `open HEX` | `opened ID ADDRESS ADDRESS`: such a record of somebody else |
//!
//! What goes wrong is answered with `error ...`. The first line says where it listens. It ends when its input does.

use std::error::Error;
use std::io::{self, BufRead as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::core::{PeerRecord, SignedEnvelope};
use libp2p_identity::Keypair;
use tokio::sync::mpsc;
use unring_routing::{Key, LookupConfig, Router as _};
use unring_routing_kad::{
    Config, DEFAULT_MAX_CONNECTIONS, DialConfig, Handle, KadConfig, KadRouter, Limits, Network,
    NetworkKey,
};

/// Commands read and not answered yet; the reader waits for more room.
const COMMANDS: usize = 16;

fn config(network_key: Option<NetworkKey>) -> Result<Config, Box<dyn Error>> {
    let limits = Limits::new(DEFAULT_MAX_CONNECTIONS);
    let many = NonZeroUsize::new(64).ok_or("64 is not 0")?;
    // Each look-up asks anew.
    let (found_for, missing_for) = (Duration::ZERO, Duration::ZERO);
    let lookup =
        LookupConfig { found_for, missing_for, cached: many, keys: many, callers_per_key: many };
    Ok(Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        external: vec![],
        agent_version: "dht-member/1".to_owned(),
        limits,
        dial: DialConfig::for_limits(&limits),
        kad: Some(KadConfig::spegel(lookup)),
        network_key,
    })
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "it is spoken to over its output")]
async fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).map(|text| NetworkKey::from_hex(&text)).transpose()?;
    let keypair = Keypair::generate_ed25519();
    let (network, handle, _events) = Network::bind(keypair.clone(), config(key)?).await?;
    let router = network.router().ok_or("it takes part in Kademlia")?;
    let running = tokio::spawn(network.run());
    let listening = handle.listen_addresses();
    let address = listening.first().ok_or("it listens nowhere")?;
    println!("listening {address}/p2p/{}", handle.peer_id());

    let (lines, mut commands) = mpsc::channel(COMMANDS);
    // Standard input cannot be waited for without a thread.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        match obey(&line, &handle, &router, &keypair).await {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error {error}"),
        }
    }
    handle.shutdown();
    running.await?;
    Ok(())
}

async fn obey(
    line: &str,
    handle: &Handle,
    router: &KadRouter,
    keypair: &Keypair,
) -> Result<String, Box<dyn Error>> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match command {
        "connect" => format!("connected {}", handle.connect(argument.parse()?).await?),
        "advertise" => {
            router.advertise(&[Key::new(argument)])?;
            "advertised".to_owned()
        }
        "lookup" => {
            let found = router.lookup(Key::new(argument)).await?;
            let mut answer = "found".to_owned();
            for provider in found.all() {
                let ips: Vec<_> = provider.addresses.iter().map(ToString::to_string).collect();
                answer += &format!(" {}={}", provider.peer, ips.join(","));
            }
            answer
        }
        "peers" => format!("peers {}", router.counters().peers),
        "record" => {
            let record = PeerRecord::new_interop(keypair, handle.listen_addresses())?;
            let bytes = record.to_signed_envelope().into_protobuf_encoding();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("record {hex}")
        }
        "open" => {
            let envelope = SignedEnvelope::from_protobuf_encoding(&from_hex(argument)?)?;
            let record = PeerRecord::from_signed_envelope_interop(envelope)?;
            let addresses: Vec<_> = record.addresses().iter().map(ToString::to_string).collect();
            format!("opened {} {}", record.peer_id(), addresses.join(" "))
        }
        _ => return Err(format!("no such command: {command}").into()),
    })
}

fn from_hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?)).collect()
}
