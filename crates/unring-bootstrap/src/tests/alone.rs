use std::time::Duration;

use crate::limits::{ALONE_AFTER, QUIET};
use crate::{Alone, Company};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_lone_node_says_so_once_and_takes_it_back_once() {
    let mut alone = Alone::new();
    assert_eq!(alone.update(s(0), false, false), None, "not everything was tried");
    assert_eq!(alone.next_due(), None);
    assert_eq!(alone.update(s(2), true, false), None);
    assert_eq!(alone.next_due(), Some(s(2) + ALONE_AFTER));
    assert_eq!(alone.update(s(7), true, false), Some(Company::Alone));
    assert!(alone.is_said());
    for second in 8..1000 {
        assert_eq!(alone.update(s(second), true, false), None);
    }
    assert_eq!(alone.next_due(), None);
    assert_eq!(alone.update(s(1000), true, true), Some(Company::NoLonger));
    assert_eq!(alone.update(s(1001), true, true), None);
    assert!(!alone.is_said());
}

#[test]
fn who_has_company_in_time_says_nothing() {
    let mut alone = Alone::new();
    assert_eq!(alone.update(s(0), true, false), None);
    assert_eq!(alone.update(s(4), true, true), None);
    assert_eq!(alone.update(s(6), true, false), None, "the wait begins anew");
    assert_eq!(alone.update(s(10), true, false), None);
    assert_eq!(alone.update(s(11), true, false), Some(Company::Alone));
}

#[test]
fn company_that_comes_and_goes_is_told_once_a_minute() {
    let mut alone = Alone::new();
    let mut said = 0;
    for second in 0..600 {
        let company = second % 10 == 9;
        said += usize::from(alone.update(s(second), true, company).is_some());
    }
    assert!((18..=20).contains(&said), "{said} lines in 10 minutes, pairs {QUIET:?} apart");
}
