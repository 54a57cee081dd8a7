//! Two nodes in a line: what K3s's path answers where it does not storm.

use std::error::Error;
use std::time::Duration;

use naive_node::{Caller, Config, GIVE_UP_AFTER, Limits, Node, TlsFiles};

const FIRST: &str =
    "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
const SECOND: &str =
    "/ip4/127.0.0.1/tcp/5002/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("naive-node-example-{}", std::process::id()));
    let tls = TlsFiles::make(&dir)?;
    let limits = Limits { max_in_flight: 2, max_messages: 10 };
    let config = |name: &str, address: &str| -> Result<Config, Box<dyn Error>> {
        Ok(Config {
            name: name.to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            address: address.parse()?,
            servers: Vec::new(),
            nodes: None,
            tls: tls.clone(),
            token: None,
            cap: None,
            limits,
            give_up_after: GIVE_UP_AFTER,
            bootstrap: false,
            quiet: false,
        })
    };
    let second = Node::bind(config("second", SECOND)?).await?;
    let mut first = Node::bind(config("first", FIRST)?).await?;
    first.join(vec![second.listen]);
    let asked = first.listen;
    tokio::spawn(first.run());
    tokio::spawn(second.run());
    let caller = Caller::new(tls, limits, Duration::from_secs(5))?;
    let addresses = caller.call(asked).addresses().await?;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, [SECOND, FIRST]);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
