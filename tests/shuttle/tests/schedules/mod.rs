//! How many schedules, and which.

/// Schedules with a switch of thread at random steps.
const RANDOM: usize = 2000;
/// Schedules of few switches, which find what takes exactly those (probabilistic concurrency testing, Burckhardt et al. 2010).
const PCT: usize = 1000;
/// Switches in each of the latter.
const PCT_DEPTH: usize = 3;

/// Runs `test` in each schedule. A deadlock, a panic and a call that nobody wakes fail it, with the schedule to repeat.
pub(crate) fn in_many_schedules(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, RANDOM);
    shuttle::check_pct(test, PCT, PCT_DEPTH);
}
