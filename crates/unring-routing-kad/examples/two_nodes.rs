//! Two nodes in one process find each other: `cargo run -p unring-routing-kad --example two_nodes [SECONDS]`.
//!
//! They stay connected for SECONDS (default 0) so that their memory and CPU at rest can be looked at.

use std::error::Error;
use std::time::Duration;

use libp2p_identity::Keypair;
use unring_routing_kad::{
    Config, DEFAULT_MAX_CONNECTIONS, DialConfig, Event, Limits, Network, WantedPeer,
};

fn config() -> Result<Config, Box<dyn Error>> {
    let limits = Limits::new(DEFAULT_MAX_CONNECTIONS);
    Ok(Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        external: vec![],
        agent_version: "two-nodes/1".to_owned(),
        limits,
        dial: DialConfig::for_limits(&limits),
        kad: None,
        network_key: None,
    })
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let (network1, server1, mut events) =
        Network::bind(Keypair::generate_ed25519(), config()?).await?;
    let (network2, server2, _) = Network::bind(Keypair::generate_ed25519(), config()?).await?;
    let running1 = tokio::spawn(network1.run());
    let running2 = tokio::spawn(network2.run());

    server1.set_peers(vec![WantedPeer {
        peer: server2.peer_id(),
        addresses: server2.listen_addresses(),
        hearsay: false,
    }]);
    while let Some(event) = events.recv().await {
        println!("server1: {event:?}");
        if matches!(event, Event::Connected { .. }) {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;

    server1.shutdown();
    server2.shutdown();
    running1.await?;
    running2.await?;
    Ok(())
}
