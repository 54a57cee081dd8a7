//! Reads what the kernel says of the machine's CPU, and lowers the budget by it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use unring_rate_governor::{
    CpuBudget, LoweredBy, Machine, Yielding, parse_cpu_max, parse_cpu_pressure, parse_own_cgroup,
    parse_throttled,
};

use crate::errors::chain;
use crate::log::NODE;

/// How often the files are read: the kernel renews its averages every 2 s, and a read is some 10 us.
const EVERY: Duration = Duration::from_secs(1);

/// Bytes of one file; the longest honest one, `cpu.stat`, has 400. What is beyond is not read.
const MAX_MACHINE_FILE_BYTES: u64 = 4 * 1024;

/// Control groups that are read, the own one and those above it. Kubernetes nests 4; what is further up is left out.
const MAX_CONTROL_GROUPS: usize = 8;

/// How often a shortage is told that comes and goes.
const TELL_AGAIN: Duration = Duration::from_secs(10 * 60);

const PRESSURE: &str = "proc/pressure/cpu";
const OWN_GROUP: &str = "proc/self/cgroup";

/// Where cgroup v2 is mounted: alone, or beside v1.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// The files of one machine.
#[derive(Debug)]
struct MachineFiles {
    root: PathBuf,
    /// With a `cpu.max`.
    groups: Vec<PathBuf>,
    /// Whether somebody was told that a file cannot be read.
    told: bool,
}

impl MachineFiles {
    /// Finds the control groups of this process. `root` is `/` but in tests.
    fn find(root: &Path) -> Self {
        let mut groups = Vec::new();
        let own = read(&root.join(OWN_GROUP)).unwrap_or_default();
        // Without cgroup v2 there is no quota that could be read.
        let own = parse_own_cgroup(&own).unwrap_or_default();
        for mount in MOUNTS.map(|mount| root.join(mount)) {
            let group = mount.join(own);
            let levels = group.ancestors().take_while(|level| level.starts_with(&mount));
            groups.extend(
                levels.filter(|level| level.join("cpu.max").is_file()).map(Path::to_path_buf),
            );
        }
        groups.truncate(MAX_CONTROL_GROUPS);
        Self { root: root.to_path_buf(), groups, told: false }
    }

    fn read(&mut self) -> Machine {
        let pressure = self.parsed(&self.root.join(PRESSURE), parse_cpu_pressure);
        let mut quota: Option<f64> = None;
        let mut throttled = Some(Duration::ZERO);
        for group in self.groups.clone() {
            if let Some(Some(cores)) = self.parsed(&group.join("cpu.max"), parse_cpu_max) {
                quota = Some(quota.map_or(cores, |least| least.min(cores)));
            }
            let of_group = self.parsed(&group.join("cpu.stat"), parse_throttled);
            // All or nothing: a sum that lacks one group now would seem to jump when it is back.
            throttled = throttled.zip(of_group).map(|(sum, more)| sum.saturating_add(more));
        }
        Machine { pressure, quota, throttled }
    }

    /// What a file says; nothing when it cannot be read or understood, which is told once.
    fn parsed<T, E: std::error::Error + 'static>(
        &mut self,
        path: &Path,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let why = match read(path) {
            Ok(text) => match parse(&text) {
                Ok(value) => return Some(value),
                Err(error) => chain(&error),
            },
            Err(error) => chain(&error),
        };
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                target: NODE,
                event = "machine_pressure_unknown",
                file = %path.display(),
                error = why,
                "a shortage of CPU on this machine may go unnoticed; the CPU budget is held all the same. Not said again"
            );
        }
        None
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_MACHINE_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The budget that is held now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    pub(super) budget: CpuBudget,
    pub(super) lowered_by: LoweredBy,
    /// Share of time in which a task waits for a CPU of this machine; none if it is not known.
    pub(super) pressure: Option<f64>,
}

/// Looks at the machine now and then.
#[derive(Debug)]
pub(super) struct Watch {
    /// None when the operator does not want it.
    files: Option<MachineFiles>,
    yielding: Yielding,
    looked: Option<Duration>,
    pressure: Option<f64>,
    was_short: bool,
    told: Option<Duration>,
}

impl Watch {
    /// `root` is `/`; none leaves the budget alone.
    pub(super) fn new(root: Option<&Path>) -> Self {
        Self {
            files: root.map(MachineFiles::find),
            yielding: Yielding::new(),
            looked: None,
            pressure: None,
            was_short: false,
            told: None,
        }
    }

    /// What is left of `configured` at `now`.
    pub(super) fn held(&mut self, configured: CpuBudget, now: Duration) -> Held {
        let due = self.looked.is_none_or(|last| now.saturating_sub(last) >= EVERY);
        if let (Some(files), true) = (&mut self.files, due) {
            let dt = now.saturating_sub(self.looked.replace(now).unwrap_or(now));
            let machine = files.read();
            self.pressure = machine.pressure;
            self.yielding.update(machine, dt);
            self.tell(now);
        }
        Held {
            budget: self.yielding.budget(configured),
            lowered_by: self.yielding.lowered_by(),
            pressure: self.pressure,
        }
    }

    fn tell(&mut self, now: Duration) {
        let was_short = std::mem::replace(&mut self.was_short, self.yielding.is_short());
        let begins = self.was_short && !was_short;
        if begins && self.told.is_none_or(|last| now >= last + TELL_AGAIN) {
            self.told = Some(now);
            tracing::info!(
                target: NODE,
                event = "machine_short_of_cpu",
                why = self.yielding.lowered_by().name(),
                pressure = self.pressure,
                "this machine is short of CPU: P2P work gives way, down to a quarter of its budget while it lasts"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PRESSED: &str = "some avg10=80.00 avg60=0.00 avg300=0.00 total=1\n";

    /// A machine of these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_quota_on_the_way_up_counts_and_throttling_of_all() {
        let root = machine(&[
            (PRESSURE, PRESSED),
            (OWN_GROUP, "0::/pods/pod1/container\n"),
            ("sys/fs/cgroup/pods/pod1/container/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/pods/pod1/container/cpu.stat", "throttled_usec 1000\n"),
            ("sys/fs/cgroup/pods/pod1/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/pods/pod1/cpu.stat", "throttled_usec 2000\n"),
            ("sys/fs/cgroup/pods/cpu.max", "200000 100000\n"),
            ("sys/fs/cgroup/pods/cpu.stat", "throttled_usec 0\n"),
        ]);
        let mut files = MachineFiles::find(root.path());
        let expected = Machine {
            pressure: Some(0.8),
            quota: Some(0.5),
            throttled: Some(Duration::from_micros(3000)),
        };
        assert_eq!(files.read(), expected);
        assert!(!files.told);
        // One group that cannot be read: no sum that would jump when it is back.
        fs::remove_file(root.path().join("sys/fs/cgroup/pods/cpu.stat")).unwrap();
        assert_eq!(files.read(), Machine { throttled: None, ..expected });
        assert!(files.told);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for mount in MOUNTS {
            let max = format!("{mount}/cpu.max");
            let stat = format!("{mount}/cpu.stat");
            let root = machine(&[
                (OWN_GROUP, "0::/\n"),
                (&max, "25000 100000\n"),
                (&stat, "throttled_usec 7\n"),
            ]);
            assert_eq!(MachineFiles::find(root.path()).read().quota, Some(0.25), "{mount}");
        }
    }

    #[test]
    fn absent_garbled_and_endless_files_are_tolerated() {
        let endless = "some ".repeat(10_000);
        for text in [None, Some(""), Some("\u{0}\u{1}garbage"), Some(endless.as_str())] {
            let files: Vec<_> = text
                .into_iter()
                .flat_map(|text| {
                    [(PRESSURE, text), (OWN_GROUP, text), ("sys/fs/cgroup/cpu.max", text)]
                })
                .collect();
            let root = machine(&files);
            let mut watch = Watch::new(Some(root.path()));
            for second in 0..20 {
                let held = watch.held(CpuBudget::DEFAULT, seconds(second));
                let unchanged = (CpuBudget::DEFAULT, LoweredBy::Nothing, None);
                assert_eq!((held.budget, held.lowered_by, held.pressure), unchanged, "{text:?}");
            }
        }
    }

    #[test]
    fn a_pressed_machine_lowers_the_budget_and_gives_it_back() {
        let root = machine(&[(PRESSURE, PRESSED)]);
        let mut watch = Watch::new(Some(root.path()));
        let first = watch.held(CpuBudget::DEFAULT, seconds(100));
        assert_eq!((first.budget, first.pressure), (CpuBudget::DEFAULT, Some(0.8)));
        assert_eq!(first.lowered_by, LoweredBy::Pressure, "what the line says that is written now");
        let later = watch.held(CpuBudget::DEFAULT, seconds(105));
        assert!((later.budget.percent() - 2.5).abs() < 1e-9, "{later:?}");
        assert_eq!(later.lowered_by, LoweredBy::Pressure);
        // Not read more often than every second.
        fs::write(root.path().join(PRESSURE), "some avg10=0.00\n").unwrap();
        assert_eq!(watch.held(CpuBudget::DEFAULT, seconds(105)), later);
        let back = watch.held(CpuBudget::DEFAULT, seconds(200));
        assert_eq!((back.budget, back.lowered_by), (CpuBudget::DEFAULT, LoweredBy::Nothing));
        // A new budget from the operator counts at once.
        let ten = CpuBudget::from_percent(10.0).unwrap();
        assert_eq!(watch.held(ten, seconds(200)).budget, ten);
    }

    #[test]
    fn a_shortage_that_comes_back_is_told_again_after_a_while() {
        let root = machine(&[(PRESSURE, PRESSED)]);
        let mut watch = Watch::new(Some(root.path()));
        let mut look = |text: &str, second| {
            fs::write(root.path().join(PRESSURE), text).unwrap();
            watch.held(CpuBudget::DEFAULT, seconds(second));
            watch.told
        };
        let calm = "some avg10=0.00\n";
        assert_eq!(look(calm, 1), None);
        assert_eq!(look(PRESSED, 2), Some(seconds(2)));
        assert_eq!(look(PRESSED, 1000), Some(seconds(2)), "it lasts");
        assert_eq!(look(calm, 1001), Some(seconds(2)));
        assert_eq!(look(PRESSED, 1002), Some(seconds(1002)));
        assert_eq!(look(calm, 1003), Some(seconds(1002)));
        assert_eq!(look(PRESSED, 1004), Some(seconds(1002)), "so soon again");
    }

    #[test]
    fn who_wants_no_such_thing_is_left_alone() {
        let held = Watch::new(None).held(CpuBudget::DEFAULT, seconds(1));
        let expected =
            Held { budget: CpuBudget::DEFAULT, lowered_by: LoweredBy::Nothing, pressure: None };
        assert_eq!(held, expected);
    }
}
