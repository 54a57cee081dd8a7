//! A node inside another program: `cargo run -p unring-node --example embedded [SECONDS]`.
//!
//! It keeps its identity in a folder below the system's temporary one, takes free ports on loopback and runs for
//! SECONDS (default 1).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use unring_node::Node;
use unring_node::config::{Config, KEYS, Settings};
use unring_node::log::LogCounters;

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let data_dir = std::env::temp_dir().join("unring-example-embedded");
    let mut settings = Settings::default();
    // The same keys as in a file, in the environment and on the command line.
    for (name, value) in [
        ("data_dir", data_dir.display().to_string()),
        ("listen.grpc", "127.0.0.1:0".to_owned()),
        ("listen.libp2p", "/ip4/127.0.0.1/tcp/0".to_owned()),
        ("listen.admin", "127.0.0.1:0".to_owned()),
    ] {
        let key = KEYS.iter().find(|key| key.name == name).ok_or("no such key")?;
        settings.add_flag(key, vec![value]);
    }
    let config = Config::read(&settings, Some("embedded".to_owned()))?;

    // Outside of any runtime: the node brings one of its own for P2P work.
    let node = Node::build(config, Arc::new(LogCounters::default()))?;
    println!("peer id  {}", node.peer_id());
    println!("gRPC     https://{}", node.grpc_address());
    println!("status   http://{}/statusz", node.admin_address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(
        node.run(async move { tokio::time::sleep(Duration::from_secs(seconds)).await }),
    )?;
    println!("drained");
    Ok(())
}
