//! Two nodes, one image: what one advertises the other finds, until it is withdrawn.

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use unring_routing::{Key, LookupConfig, MemoryConfig, MemoryNetwork, Router};

#[expect(clippy::print_stdout, reason = "it is what an example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let many = NonZeroUsize::new(1000).ok_or("zero")?;
    let validity = Duration::from_secs(19 * 60);
    let lookup = LookupConfig {
        found_for: Duration::from_secs(5),
        missing_for: Duration::from_millis(500),
        cached: many,
        keys: many,
        callers_per_key: many,
    };
    let config = MemoryConfig { validity, advertised: 1000, lookup };
    let network = MemoryNetwork::new(config, Instant::now());
    let server1 = network.join(PeerId::random(), vec!["/ip4/10.0.0.1/tcp/5001".parse()?], 1);
    let server2 = network.join(PeerId::random(), vec!["/ip4/10.0.0.2/tcp/5001".parse()?], 2);

    let key = Key::new("docker.io/library/nginx:1.27");
    server1.advertise(&[key])?;
    let found = futures::executor::block_on(server2.lookup(key))?;
    let lease = found.pick().ok_or("server1 has it")?;
    println!("{} has it, at {:?}", lease.provider().peer, lease.provider().addresses);
    drop(lease);

    server1.withdraw(&[key])?;
    network.advance(validity);
    let found = futures::executor::block_on(server2.lookup(key))?;
    println!("{} have it after it was withdrawn and {} s", found.len(), validity.as_secs());
    Ok(())
}
