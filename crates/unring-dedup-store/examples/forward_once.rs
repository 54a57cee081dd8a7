//! A node that forwards each request at most once, whoever sends it and however often.
//!
//! `cargo run -p unring-dedup-store --example forward_once`

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use unring_dedup_store::{Config, DedupStore, Outcome, Standing};

#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let epoch = Instant::now();
    let forwarded: DedupStore<(&str, u128), &str> = DedupStore::new(Config {
        retention: Duration::from_secs(120),
        capacity: NonZeroUsize::new(4).ok_or("capacity")?,
        per_introducer: NonZeroUsize::new(2).ok_or("per introducer")?,
        reserved_for_known: 1,
    });

    // server1 asks; its request comes back round the ring; then a stranger sends made-up requests.
    let requests = [
        ("server1", 1, "server1", Standing::Known),
        ("server1", 1, "server3", Standing::Known),
        ("made-up", 2, "stranger", Standing::Newcomer),
        ("made-up", 3, "stranger", Standing::Newcomer),
        ("made-up", 4, "stranger", Standing::Newcomer),
    ];
    for (origin, id, caller, standing) in requests {
        let verdict =
            match forwarded.check_and_insert((origin, id), caller, standing, epoch.elapsed()) {
                Outcome::New => "forward it".to_owned(),
                Outcome::Duplicate { .. } => "forwarded already: answer locally".to_owned(),
                Outcome::IntroducerFull { limit, .. } => {
                    format!("{caller} has {limit} pending: answer locally")
                }
                Outcome::Full { limit, .. } => format!("{limit} entries held: answer locally"),
            };
        println!("{origin}/{id} from {caller}: {verdict}");
    }
    // On a timer, so that no request pays for the purge.
    forwarded.rotate(epoch.elapsed());
    Ok(())
}
