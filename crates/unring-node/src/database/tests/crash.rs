//! Killed in the middle of commits: what was acknowledged is there, and nothing else is broken.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Says to a process of this test that it is the one that writes, and where.
const DIR: &str = "UNRING_CRASH_TEST_DIR";

/// Processes that are killed.
const CRASHES: u64 = 50;
const PEERS: usize = 8;

/// Commits as fast as it can, and says of each that it is done, until it is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let Opened { database, loaded, set_aside } = open(Path::new(&dir));
    assert!(set_aside.is_none(), "{set_aside:?}");
    let mut shelf = Shelf::new(4096, &loaded);
    let identities: Vec<_> = (0..PEERS).map(|_| Identity::generate()).collect();
    let mut out = std::io::stderr();
    for turn in 1.. {
        let identity = &identities[usize::try_from(turn).unwrap() % PEERS];
        let seq = loaded.seq + turn;
        let book = shelf.plan(NOW, vec![record(identity, seq, minutes(30))]);
        database.write(&Changes { seq: Some(seq), book, ..Changes::default() }).unwrap();
        writeln!(out, "acknowledged {seq} {}", identity.peer_id()).unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_fifty_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = (0, BTreeMap::new());
    for round in 0..CRASHES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "database::tests::crash::writes_until_it_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // After so many commits, and wherever the next one is by then.
        let mut seen = 0;
        acknowledged.1.clear();
        for line in lines {
            let line = line.unwrap();
            if let Some(done) = line.strip_prefix("acknowledged ") {
                let (seq, peer) = done.split_once(' ').unwrap();
                let seq: u64 = seq.parse().unwrap();
                acknowledged.0 = seq;
                acknowledged.1.insert(peer.to_owned(), seq);
                seen += 1;
            }
            if seen == 1 + round % 9 {
                // What is still in the pipe may be read, or not: it only makes the promise smaller.
                let _ = child.kill();
            }
        }
        let _ = child.wait();
        let Opened { loaded, set_aside, .. } = open(dir.path());
        assert_eq!(set_aside, None, "round {round}");
        assert!(
            loaded.seq >= acknowledged.0,
            "round {round}: {} of {}",
            loaded.seq,
            acknowledged.0
        );
        let found: BTreeMap<_, _> =
            loaded.book.iter().map(|found| (found.peer_id().to_base58(), found.seq())).collect();
        for (peer, seq) in &acknowledged.1 {
            assert!(found.get(peer).is_some_and(|found| found >= seq), "round {round}: {found:?}");
        }
        assert!(loaded.unreadable.is_empty());
    }
    assert!(acknowledged.0 >= CRASHES);
}
