//! What the kernel says of the machine's CPU, from the text of its files.

use std::time::Duration;

/// Text of one of these files that could not be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{file} has no valid {what}")]
pub struct InvalidMachineFile {
    /// The kind of file.
    pub file: &'static str,
    /// What was looked for in it.
    pub what: &'static str,
}

/// The share of the last 10 s in which at least one task that could have run waited for a CPU, from 0 to 1.
///
/// From `/proc/pressure/cpu`: the `some` line's `avg10`, in percent (Linux, `Documentation/accounting/psi.rst`). It is the
/// whole machine's, also when read in a container. Its `full` line is not defined for the whole machine and not read.
///
/// # Errors
/// [`InvalidMachineFile`] when there is no such number, or it is no percentage.
pub fn parse_cpu_pressure(text: &str) -> Result<f64, InvalidMachineFile> {
    let invalid = InvalidMachineFile { file: "/proc/pressure/cpu", what: "some avg10" };
    let some = text.lines().find_map(|line| line.strip_prefix("some ")).ok_or(invalid)?;
    let avg10 = some.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="));
    let percent: f64 = avg10.and_then(|number| number.parse().ok()).ok_or(invalid)?;
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err(invalid) }
}

/// The cores that a control group may use on average; none: as many as there are.
///
/// From `cpu.max` of cgroup v2: quota and period in microseconds, `max` for no quota (Linux,
/// `Documentation/admin-guide/cgroup-v2.rst`).
///
/// # Errors
/// [`InvalidMachineFile`] when it does not hold two such numbers, or the period is 0.
pub fn parse_cpu_max(text: &str) -> Result<Option<f64>, InvalidMachineFile> {
    let invalid = InvalidMachineFile { file: "cpu.max", what: "quota and period" };
    let mut fields = text.split_ascii_whitespace();
    let (quota, period) = (fields.next().ok_or(invalid)?, fields.next().ok_or(invalid)?);
    // 32 bits hold 71 minutes, and the kernel takes at most a second as period.
    let period: u32 = period.parse().map_err(|_| invalid)?;
    if period == 0 || fields.next().is_some() {
        return Err(invalid);
    }
    if quota == "max" {
        return Ok(None);
    }
    let quota: u32 = quota.parse().map_err(|_| invalid)?;
    Ok(Some(f64::from(quota) / f64::from(period)))
}

/// How long a control group has been kept from running by its quota, since it was made.
///
/// From `cpu.stat` of cgroup v2: `throttled_usec`, which is there where the CPU controller is on.
///
/// # Errors
/// [`InvalidMachineFile`] when there is no such number.
pub fn parse_throttled(text: &str) -> Result<Duration, InvalidMachineFile> {
    let invalid = InvalidMachineFile { file: "cpu.stat", what: "throttled_usec" };
    let found = text.lines().find_map(|line| line.strip_prefix("throttled_usec "));
    let micros = found.and_then(|number| number.trim_end().parse().ok()).ok_or(invalid)?;
    Ok(Duration::from_micros(micros))
}

/// The path of this process's control group of cgroup v2 below its mount point, without a leading slash.
///
/// From `/proc/self/cgroup`: the line with hierarchy 0 (Linux, cgroups(7)).
///
/// # Errors
/// [`InvalidMachineFile`] when there is no such line (cgroup v1 alone), or when its path leads out of the mount.
pub fn parse_own_cgroup(text: &str) -> Result<&str, InvalidMachineFile> {
    let invalid = InvalidMachineFile { file: "/proc/self/cgroup", what: "line of cgroup v2" };
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(invalid)?;
    // `/../other`: a process in another cgroup namespace than its mount.
    if path.split('/').any(|part| part == "..") { Err(invalid) } else { Ok(path) }
}
