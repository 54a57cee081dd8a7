//! A node whose only source is down: `cargo run -p unring-bootstrap --example lone_node [SECONDS]`.
//!
//! Prints when it is asked within the first SECONDS (default 60). Nothing waits: time is an argument.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use unring_bootstrap::{Action, Kind, Myself, Table};
use unring_peer::Identity;

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(60), |text| text.parse())?;
    let me = Myself { peer: Identity::generate().peer_id(), addresses: BTreeSet::new() };
    let mut table = Table::new(me, 1);
    let mut now = Duration::ZERO;
    table.add(now, Kind::Http, "http://server1:5000/id".to_owned())?;
    while now <= Duration::from_secs(seconds) {
        table.on_timer(now);
        for action in table.take_actions() {
            match action {
                Action::Ask(attempt) => {
                    println!("{now:>12.3?}  asked");
                    table.answered(now, attempt, Err("connection refused".to_owned()));
                }
                Action::Say(_) => println!("{now:>12.3?}  a line in the log"),
                Action::Dial(..) | Action::PeersChanged => {}
            }
        }
        now = table.next_due().ok_or("nothing is ever due")?;
    }
    Ok(())
}
