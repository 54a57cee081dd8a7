//! Three servers joined in a ring: what each step of time brings.

use std::{collections::BTreeSet, time::Duration};

use unring_cycle_detector::{Config, Detector, Event, Join, SetJoinsError, Voice};

fn main() -> Result<(), SetJoinsError> {
    let mut detector = Detector::new(Config::new("server1"));
    let joins =
        [("server1", "server2", 10), ("server2", "server3", 20), ("server3", "server1", 30)];
    for (from, to, since_unix_ms) in joins {
        let join = Join {
            address: format!("https://{to}:6443"),
            targets: BTreeSet::from([to]),
            since_unix_ms,
        };
        detector.set_joins(Duration::ZERO, from, from.to_owned(), vec![join])?;
    }
    detector.caller_seen(Duration::ZERO, &"server3");

    // A node would sleep until `next_wake` or until something arrives.
    let mut now = Duration::ZERO;
    while now <= Duration::from_secs(3600) {
        for event in detector.poll(now, 0) {
            report(&event);
        }
        let Some(next) = detector.next_wake() else { break };
        now = next;
    }

    // The operator takes the join out of server3's configuration.
    detector.set_joins(now, "server3", "server3".to_owned(), Vec::new())?;
    for wait in [0, 2] {
        detector.poll(now + Duration::from_secs(wait), 0).iter().for_each(report);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn report(event: &Event<&str>) {
    let ring = event.ring();
    let cut = ring
        .cuts
        .first()
        .map_or(String::new(), |cut| format!(", cut {} -> {}", cut.from, cut.address));
    match event.voice() {
        Voice::Warn => println!("WARN ring {} {}{cut}", ring.id, ring.witness.join(" -> ")),
        Voice::Info => println!("INFO ring {} {} is gone", ring.id, ring.witness.join(" -> ")),
        Voice::Quiet => {}
    }
}
