//! CPU and memory of a process, from `/proc` (see proc(5)).

use std::fs;

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// CPU time of all its threads, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory now, in MiB.
    pub rss_mib: f64,
    /// The most resident memory that it ever had, in MiB.
    pub peak_rss_mib: f64,
}

/// Reads the usage of a process; `None` when it has ended.
pub fn read(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse(&stat, &status, rustix::param::clock_ticks_per_second())
}

/// Whether a process runs. One that has ended and waits for its parent to notice (a zombie) does not.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.trim_start().chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

#[expect(clippy::cast_precision_loss, reason = "ticks and KiB of one process are far below 2^52")]
fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Usage> {
    // The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    // utime and stime are fields 14 and 15; the first field here is number 3.
    let mut fields = fields.split_ascii_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let mib = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib as f64 / 1024.0)
    };
    Some(Usage {
        cpu_seconds: (user + system) as f64 / ticks_per_second as f64,
        rss_mib: mib("VmRSS:")?,
        peak_rss_mib: mib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Usage, is_running, parse, read};

    #[test]
    fn fields_are_found_behind_a_name_with_spaces() {
        let stat = "7 (un) ring) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 123 1000 500 18446744073709551615";
        let status = "Name:\tunring\nVmHWM:\t   30720 kB\nVmRSS:\t   20480 kB\nThreads:\t4\n";
        assert_eq!(
            parse(stat, status, 100),
            Some(Usage { cpu_seconds: 3.0, rss_mib: 20.0, peak_rss_mib: 30.0 })
        );
        assert_eq!(parse(stat, "Name:\tzombie\n", 100), None);
        assert_eq!(parse("", status, 100), None);
    }

    #[test]
    fn an_ended_process_does_not_run_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while is_running(child.id()) {}
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(!is_running(child.id()) && is_running(std::process::id()));
    }

    #[test]
    fn this_process_has_a_usage() {
        let usage = read(std::process::id()).unwrap();
        assert!(usage.rss_mib > 0.5 && usage.cpu_seconds >= 0.0, "{usage:?}");
    }
}
