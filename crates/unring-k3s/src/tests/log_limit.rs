use std::net::IpAddr;
use std::time::Duration;

use crate::limits;
use crate::log_limit::Kind::{Ordinary, Refusal};
use crate::log_limit::{LOG_EVERY, LogLimit};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_client_is_spoken_of_once_a_minute_with_what_was_withheld() {
    let (mut limit, a, b): (_, IpAddr, IpAddr) =
        (LogLimit::default(), [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    assert_eq!(limit.line(a, Ordinary, at(0)), Some(0));
    for second in 1..60 {
        assert_eq!(limit.line(a, Ordinary, at(second)), None);
    }
    assert_eq!(limit.line(b, Ordinary, at(59)), Some(0), "each client has its own line");
    assert_eq!(
        limit.line(a, Refusal, at(59)),
        Some(0),
        "a refusal is not hidden by what went well"
    );
    assert_eq!(limit.line(a, Ordinary, LOG_EVERY), Some(59));
    assert_eq!(limit.line(a, Ordinary, LOG_EVERY * 2), Some(0));
}

#[test]
fn clients_are_bounded_and_make_room_after_a_minute() {
    let mut limit = LogLimit::default();
    let client = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
    for n in 0..limits::MAX_LOGGED_CLIENTS {
        assert_eq!(limit.line(client(n), Ordinary, at(10)), Some(0));
    }
    assert_eq!(limit.line(client(5000), Ordinary, at(20)), None, "all were spoken of just now");
    assert_eq!(limit.line(client(5001), Ordinary, at(20)), None);
    // It is looked for room once a second, whoever floods.
    let ms = Duration::from_millis;
    assert_eq!(limit.line(client(5000), Ordinary, ms(69_500)), None);
    assert_eq!(limit.line(client(5000), Ordinary, ms(70_499)), None);
    assert_eq!(limit.line(client(5000), Ordinary, ms(70_500)), Some(0));
    assert_eq!(limit.line(client(5001), Ordinary, ms(70_500)), Some(0));
}
