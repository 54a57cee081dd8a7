//! The controller: from measured CPU to how much each request is charged.
//!
//! CPU is a product, `factor * what the callers would use`, and the second part is unknown and ranges over decades. Its
//! logarithm is a sum, so a PI controller on logarithms has the same loop gain at any load (a textbook PI on the share
//! itself is ten times faster at ten times the load, or unstable). It is in velocity form, `u += I * e + P * de`, with `u`
//! clamped, so nothing winds up while the factor rests at a bound. Nor does it while callers ask for less than the factor
//! allows: then `u` follows what they really used (back-calculation; Åström and Murray, *Feedback Systems*, section 11.4).

use std::time::Duration;

use crate::budget::CpuBudget;

/// The share of the normal rate that passes however much CPU it costs, so that discovery never starves.
pub const FLOOR: f64 = 0.1;

/// The most that a cost is multiplied by: there the admitted rate is down to [`FLOOR`].
pub const MAX_SCALE: f64 = 1.0 / FLOOR;

/// How often to measure and update. Five times a second settles within 5 s; reading the meter is some 10 us a thread.
pub const CONTROL_PERIOD: Duration = Duration::from_millis(200);

/// How long a missing measurement changes nothing: ten periods, so that one slow read is not an incident.
pub const SENSOR_GRACE: Duration = Duration::from_secs(2);

/// Where the factor goes when CPU cannot be measured for longer than that: a quarter of the normal rate. It is only ever
/// lowered to this, never raised, since nothing says that more would be affordable.
pub const BLIND_FACTOR: f64 = 0.25;

/// Integral gain in 1/s: the error falls to 1/e in 0.4 s.
const INTEGRAL: f64 = 2.5;

/// The largest part of an error that one update corrects, however late it comes; a loop with one period of delay
/// oscillates from 1 and diverges from 2.
const MAX_STEP: f64 = 0.7;

/// Proportional gain, on the change of the error: an answer to a step before the integral has moved.
const PROPORTIONAL: f64 = 0.1;

/// Largest error that counts, ln 10: an idle meter reads 0, whose logarithm would be infinite.
const MAX_ERROR: f64 = std::f64::consts::LN_10;

/// How much slower the factor rises while nobody is limited. A higher factor would change nothing then, so the error says
/// nothing; what a flood taught is kept for its next wave, and forgotten within half a minute.
const IDLE_RECOVERY: f64 = 0.03;

/// From this part of the budget on, the CPU that was measured is taken to be that of the requests, so that the factor can
/// follow them; below it may be anything.
const TRACK_FROM: f64 = 0.5;

/// What the controller is told of the time since its last update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// CPU seconds per second of the metered threads; `None`, or no finite number >= 0, where it is not known.
    pub cpu: Option<f64>,
    /// What was admitted, as a part of the normal rate.
    pub admitted: f64,
    /// Whether any request was degraded or refused. If none was, a low reading means little demand, not room for more.
    pub limiting: bool,
}

/// PI controller with anti-windup over the factor of the normal rate that is admitted, between [`FLOOR`] and 1.
#[derive(Debug, Clone)]
pub struct Controller {
    budget: CpuBudget,
    log_factor: f64,
    last_error: Option<f64>,
    blind_for: Duration,
    over_budget: bool,
}

impl Controller {
    /// A controller that admits the normal rate until it measures more than `budget`.
    pub fn new(budget: CpuBudget) -> Self {
        Self {
            budget,
            log_factor: 0.0,
            last_error: None,
            blind_for: Duration::ZERO,
            over_budget: false,
        }
    }

    /// The budget that CPU is held at.
    pub fn budget(&self) -> CpuBudget {
        self.budget
    }

    /// Changes the budget. The factor moves on from where it is.
    pub fn set_budget(&mut self, budget: CpuBudget) {
        self.budget = budget;
        // The error's jump is the operator's doing, not a change of load.
        self.last_error = None;
    }

    /// Takes what was measured over the last `dt` and returns the new [`scale`](Self::scale).
    pub fn update(&mut self, measured: Measurement, dt: Duration) -> f64 {
        match measured.cpu.filter(|cpu| cpu.is_finite() && *cpu >= 0.0) {
            // What is below the floor is admitted at any factor, and explains no CPU worth following.
            Some(cpu)
                if !measured.limiting
                    && measured.admitted >= FLOOR
                    && cpu > self.budget.share() * TRACK_FROM =>
            {
                self.follow(cpu, measured.admitted);
            }
            Some(cpu) => self.correct(cpu, measured.limiting, dt.as_secs_f64()),
            None => self.go_blind(dt),
        }
        self.scale()
    }

    /// The factor was not what held CPU where it is. The most it can be is what would have used the budget, at the CPU that
    /// what was admitted did use.
    fn follow(&mut self, cpu: f64, admitted: f64) {
        self.sensed(cpu);
        self.last_error = None;
        let affordable = admitted * self.budget.share() / cpu;
        self.log_factor = affordable.max(FLOOR).ln().min(self.log_factor);
    }

    fn correct(&mut self, cpu: f64, limiting: bool, dt: f64) {
        self.sensed(cpu);
        let error = (self.budget.share() / cpu).ln().clamp(-MAX_ERROR, MAX_ERROR);
        let change = self.last_error.map_or(0.0, |last| error - last);
        self.last_error = Some(error);
        let integral = (1.0 - (-INTEGRAL * dt).exp()).min(MAX_STEP);
        let step = integral * error + PROPORTIONAL * change;
        let step = if step > 0.0 && !limiting { step * IDLE_RECOVERY } else { step };
        self.log_factor = (self.log_factor + step).clamp(FLOOR.ln(), 0.0);
    }

    fn sensed(&mut self, cpu: f64) {
        self.blind_for = Duration::ZERO;
        self.over_budget = cpu > self.budget.share();
    }

    fn go_blind(&mut self, dt: Duration) {
        self.last_error = None;
        self.blind_for = self.blind_for.saturating_add(dt);
        if self.is_blind() {
            self.over_budget = false;
            let step = (INTEGRAL * dt.as_secs_f64()).min(MAX_STEP);
            let target = BLIND_FACTOR.ln().min(self.log_factor);
            self.log_factor = (self.log_factor - step).max(target);
        }
    }

    /// What each cost is multiplied by, from 1 (the normal rate is admitted) to [`MAX_SCALE`] (the floor).
    pub fn scale(&self) -> f64 {
        1.0 / self.factor()
    }

    /// The share of the normal rate that is admitted, from [`FLOOR`] to 1.
    pub fn factor(&self) -> f64 {
        self.log_factor.exp().clamp(FLOOR, 1.0)
    }

    /// Whether CPU is above the budget although nothing but the floor is admitted: the floor wins over the budget, and only
    /// less work per refusal (reading no more from the offenders) would help.
    pub fn floor_wins(&self) -> bool {
        self.over_budget && self.log_factor <= FLOOR.ln()
    }

    /// Whether CPU has not been measured for longer than [`SENSOR_GRACE`].
    pub fn is_blind(&self) -> bool {
        self.blind_for > SENSOR_GRACE
    }
}
