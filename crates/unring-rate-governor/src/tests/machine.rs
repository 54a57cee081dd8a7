//! The machine's files from fixtures, and how the budget gives way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::{
    CpuBudget, InvalidMachineFile, LEAST_PART, LoweredBy, MIN_BUDGET_PERCENT, Machine, Yielding,
    parse_cpu_max, parse_cpu_pressure, parse_own_cgroup, parse_throttled,
};

const SECOND: Duration = Duration::from_secs(1);

/// What `parse` makes of each fixture of a kind that it understands. Those named `bad-...` it must not.
fn understood<T>(
    kind: &str,
    parse: impl Fn(&str) -> Result<T, InvalidMachineFile>,
) -> BTreeMap<String, T> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures").join(kind);
    let (mut understood, mut refused) = (BTreeMap::new(), 0);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        match (name.starts_with("bad-"), parse(&text)) {
            (false, Ok(value)) => drop(understood.insert(name, value)),
            (true, Err(error)) => {
                refused += 1;
                assert!(error.to_string().contains(" has no valid "), "{error}");
            }
            (bad, _) => panic!("{kind}/{name}: bad is {bad}, and it was taken for the opposite"),
        }
        // A file that was cut off anywhere is understood or refused, and nothing worse.
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = parse(&text[..end]);
        }
    }
    assert!(refused >= 3, "{kind}: {refused} fixtures were refused");
    understood
}

fn named<T, const N: usize>(values: [(&str, T); N]) -> BTreeMap<String, T> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn what_the_kernel_writes_is_understood_and_what_it_does_not_is_refused() {
    assert_eq!(
        understood("pressure", parse_cpu_pressure),
        named([("idle", 0.0), ("overcommitted", 0.9936), ("without-full-line", 0.415)])
    );
    assert_eq!(
        understood("cpu_max", parse_cpu_max),
        named([
            ("no-quota", None),
            ("half-a-core", Some(0.5)),
            ("four-cores", Some(4.0)),
            ("a-thousandth", Some(0.001)),
        ])
    );
    assert_eq!(
        understood("cpu_stat", parse_throttled),
        named([
            ("throttled", Duration::from_micros(25_063_181)),
            ("never-throttled", Duration::ZERO),
        ])
    );
    let owned = |text: &str| parse_own_cgroup(text).map(str::to_owned);
    assert_eq!(
        understood("cgroup", owned),
        named([
            ("pod", "kubepods.slice/kubepods-burstable.slice/cri-containerd-1f.scope".to_owned()),
            ("namespace-root", String::new()),
            ("hybrid", "system.slice/unring.service".to_owned()),
        ])
    );
}

fn pressed(share: f64) -> Machine {
    Machine { pressure: Some(share), ..Machine::default() }
}

/// After so many seconds of this machine, one reading a second.
fn after(yielding: &mut Yielding, machine: Machine, seconds: u32) -> f64 {
    for _ in 0..seconds {
        yielding.update(machine, SECOND);
    }
    yielding.budget(CpuBudget::DEFAULT).percent()
}

fn is_near(percent: f64, wanted: f64) -> bool {
    (percent - wanted).abs() < 1e-6
}

#[test]
fn pressure_halves_the_budget_every_five_seconds_down_to_a_quarter() {
    let mut yielding = Yielding::new();
    assert!(is_near(after(&mut yielding, pressed(0.39), 100), 5.0));
    assert!(is_near(after(&mut yielding, pressed(0.4), 5), 2.5));
    assert_eq!((yielding.lowered_by(), yielding.is_short()), (LoweredBy::Pressure, true));
    assert!(is_near(after(&mut yielding, pressed(1.0), 1000), 5.0 * LEAST_PART));
}

#[test]
fn between_the_thresholds_nothing_changes_its_mind() {
    let mut yielding = Yielding::new();
    after(&mut yielding, pressed(0.5), 5);
    // Still short: from 0.4 to 0.2 it depends on where it came from.
    assert!(is_near(after(&mut yielding, pressed(0.21), 5), 1.25));
    assert!(yielding.is_short());
    // Over: twice as much every 20 s, also while the pressure is between the two again.
    assert!(after(&mut yielding, pressed(0.19), 1) > 1.25 && !yielding.is_short());
    assert!(is_near(after(&mut yielding, pressed(0.39), 19), 2.5));
    assert_eq!(yielding.lowered_by(), LoweredBy::Pressure, "until it is all back");
    assert!(is_near(after(&mut yielding, pressed(0.39), 21), 5.0));
    assert_eq!(yielding.lowered_by(), LoweredBy::Nothing);
}

#[test]
fn a_load_that_comes_and_goes_lowers_more_than_it_gives_back() {
    let mut yielding = Yielding::new();
    let mut least = f64::MAX;
    for _ in 0..50 {
        least = after(&mut yielding, pressed(0.9), 5).min(least);
        after(&mut yielding, pressed(0.0), 5);
    }
    assert!(is_near(least, 1.25), "{least}");
}

#[test]
fn throttling_is_what_is_new_since_the_last_reading() {
    let mut yielding = Yielding::new();
    let throttled =
        |millis| Machine { throttled: Some(Duration::from_millis(millis)), ..Machine::default() };
    // A day of it before we came says nothing of now.
    yielding.update(throttled(86_400_000), SECOND);
    yielding.update(throttled(86_400_049), SECOND);
    assert_eq!(yielding.lowered_by(), LoweredBy::Nothing);
    yielding.update(throttled(86_400_100), SECOND);
    assert_eq!((yielding.lowered_by(), yielding.is_short()), (LoweredBy::Throttling, true));
    // Another group's smaller number, or none at all, is no throttling.
    yielding.update(throttled(5), SECOND);
    assert!(!yielding.is_short());
    yielding.update(Machine::default(), SECOND);
    yielding.update(throttled(90_000), SECOND);
    assert!(!yielding.is_short());
    yielding.update(throttled(99_000), Duration::ZERO);
    assert!(!yielding.is_short(), "in no time nothing can be said");
}

#[test]
fn a_quota_below_one_core_makes_the_budget_a_share_of_it() {
    let mut yielding = Yielding::new();
    let quota = |cores| Machine { quota: Some(cores), ..Machine::default() };
    assert!(is_near(after(&mut yielding, quota(0.5), 1), 2.5));
    assert_eq!((yielding.lowered_by(), yielding.is_short()), (LoweredBy::Quota, false));
    assert!(is_near(after(&mut yielding, quota(4.0), 1), 5.0));
    assert_eq!(yielding.lowered_by(), LoweredBy::Nothing);
    let both = Machine { pressure: Some(1.0), ..quota(0.5) };
    assert!(is_near(after(&mut yielding, both, 5), 1.25));
    assert_eq!(yielding.lowered_by(), LoweredBy::Pressure);
}

#[test]
fn it_is_never_below_the_least_budget_and_never_above_the_configured_one() {
    let mut yielding = Yielding::new();
    let tiny = Machine { pressure: Some(1.0), quota: Some(0.000_001), throttled: None };
    assert!(is_near(after(&mut yielding, tiny, 60), MIN_BUDGET_PERCENT));
    for percent in [MIN_BUDGET_PERCENT, 0.7, 5.0, 100.0] {
        let configured = CpuBudget::from_percent(percent).unwrap();
        let least = yielding.budget(configured);
        assert!(least <= configured && least.percent() >= MIN_BUDGET_PERCENT, "{least}");
        assert_eq!(Yielding::new().budget(configured).percent(), configured.percent());
    }
}

#[test]
fn what_is_unknown_or_nonsense_lowers_nothing() {
    let mut yielding = Yielding::new();
    let nonsense = [f64::NAN, f64::INFINITY, -1.0];
    for value in nonsense {
        let machine = Machine { pressure: Some(value), quota: Some(value), throttled: None };
        assert!(is_near(after(&mut yielding, machine, 10), 5.0), "{value}");
    }
    // Known to be short, then unknown: it comes back, since a file that went away must not lower it for ever.
    after(&mut yielding, pressed(1.0), 60);
    assert!(is_near(after(&mut yielding, Machine::default(), 40), 5.0));
}
