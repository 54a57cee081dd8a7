//! Responses of the controller alone, on the plainest plant: CPU follows what is admitted with a lag, plus noise.

use std::time::Duration;

use crate::{
    BLIND_FACTOR, CONTROL_PERIOD, Controller, CpuBudget, FLOOR, MAX_SCALE, Measurement,
    SENSOR_GRACE,
};

/// Work admitted in one period is done in it to this part, the rest later.
const LAG: f64 = 0.7;

/// CPU that does not depend on admission (timers, keep-alives), as a part of the budget.
const BASE: f64 = 0.04;

/// Of a plant whose callers always ask for more.
fn measured(cpu: Option<f64>) -> Measurement {
    Measurement { cpu, admitted: 1.0, limiting: true }
}

/// A run of the controller against a plant.
struct Run {
    controller: Controller,
    cpu: f64,
    noise: u64,
    /// Seconds and measured CPU as a part of the budget.
    trace: Vec<(f64, f64)>,
}

impl Run {
    fn new(percent: f64) -> Self {
        let controller = Controller::new(CpuBudget::from_percent(percent).unwrap());
        Self { controller, cpu: 0.0, noise: 0x9E37_79B9_7F4A_7C15, trace: Vec::new() }
    }

    /// Uniform in -1..1, the same in each run (xorshift64*).
    fn random(&mut self) -> f64 {
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        let bits = u32::try_from(self.noise.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap();
        f64::from(bits) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    /// `demand(seconds)` is what callers would use were everything admitted at the normal rate, in CPU share; what exceeds
    /// `normal` is refused at any scale.
    fn go(&mut self, seconds: u32, noise: f64, normal: f64, demand: impl Fn(f64) -> f64) {
        let period = CONTROL_PERIOD.as_secs_f64();
        let start = self.trace.last().map_or(0.0, |last| last.0);
        for step in 1..=seconds * 5 {
            let now = start + f64::from(step) * period;
            let demand = demand(now);
            let admitted = demand.min(normal * self.controller.factor());
            self.cpu += LAG * (BASE * self.controller.budget().share() + admitted - self.cpu);
            let cpu = Some(self.cpu * (1.0 + noise * self.random()));
            let measured =
                Measurement { cpu, admitted: admitted / normal, limiting: admitted < demand };
            self.controller.update(measured, CONTROL_PERIOD);
            self.trace.push((now, self.cpu / self.controller.budget().share()));
        }
    }

    /// The first moment from which CPU stays within 10 % of the budget.
    fn settled(&self, from: f64) -> f64 {
        let out = self.trace.iter().rev().find(|(at, cpu)| *at <= from || (cpu - 1.0).abs() > 0.1);
        out.map_or(0.0, |(at, _)| at - from)
    }

    fn extremes(&self, from: f64) -> (f64, f64) {
        let after = self.trace.iter().filter(|(at, _)| *at > from).map(|(_, cpu)| *cpu);
        after.fold((f64::MAX, f64::MIN), |(low, high), cpu| (low.min(cpu), high.max(cpu)))
    }

    fn mean(&self, from: f64) -> f64 {
        let (sum, count) = self
            .trace
            .iter()
            .filter(|(at, _)| *at > from)
            .fold((0.0, 0.0), |(sum, count), (_, cpu)| (sum + cpu, count + 1.0));
        sum / count
    }
}

#[test]
fn a_step_of_load_settles_without_swinging_past_the_budget() {
    for percent in [0.5, 5.0, 50.0] {
        for times in [1.5, 2.0, 4.0, 8.0] {
            let mut run = Run::new(percent);
            let load = percent / 100.0 * times;
            run.go(5, 0.0, load, |_| 0.0);
            run.go(30, 0.0, load, |_| load * 3.0);
            let settled = run.settled(5.0);
            assert!(settled < 5.0, "{percent} %, {times} times: settled after {settled} s");
            // What the load does before the first reaction is no overshoot of the controller; what follows would be.
            let (low, high) = run.extremes(5.0 + settled);
            assert!(low > 0.8 && high < 1.2, "{percent} %, {times} times: {low} to {high}");
            let first_below = run
                .trace
                .iter()
                .filter(|(at, _)| *at > 6.0)
                .map(|(_, cpu)| *cpu)
                .fold(f64::MAX, f64::min);
            assert!(first_below > 0.8, "{percent} %, {times} times: fell to {first_below}");
            assert!((run.mean(15.0) - 1.0).abs() < 0.1);
        }
    }
}

#[test]
fn a_step_of_the_budget_settles_without_overshoot() {
    for (before, after) in [(2.0, 10.0), (10.0, 2.0), (5.0, 7.0), (1.0, 0.5)] {
        let mut run = Run::new(before);
        run.go(20, 0.0, 0.12, |_| 1.0);
        run.controller.set_budget(CpuBudget::from_percent(after).unwrap());
        run.go(20, 0.0, 0.12, |_| 1.0);
        if after < 1.2 {
            // Below the floor of 1.2 % and the base: the floor wins, and says so.
            assert!(run.controller.floor_wins());
            continue;
        }
        let settled = run.settled(20.0);
        assert!(settled < 5.0, "{before} -> {after}: {settled} s");
        let past = if after > before { run.extremes(20.0).1 } else { 2.0 - run.extremes(20.0).0 };
        assert!(past < 1.2, "{before} -> {after}: {past}");
    }
}

#[test]
fn a_ramp_of_load_is_followed() {
    let mut run = Run::new(5.0);
    // From nothing to eight times the budget in 20 s, and back to nothing.
    run.go(20, 0.0, 0.4, |now| now / 20.0 * 0.4);
    let peak = run.extremes(0.0).1;
    assert!(peak < 1.2, "rising: {peak}");
    run.go(10, 0.0, 0.4, |_| 0.4);
    assert!((run.mean(22.0) - 1.0).abs() < 0.1);
    run.go(20, 0.0, 0.4, |now| 0.4 - (now - 30.0) / 20.0 * 0.4);
    let peak = run.extremes(30.0).1;
    assert!(peak < 1.2, "falling: {peak}");
}

#[test]
fn noise_neither_shifts_the_mean_nor_is_amplified() {
    let mut run = Run::new(5.0);
    run.go(60, 0.3, 0.3, |_| 1.0);
    let mean = run.mean(5.0);
    assert!((mean - 1.0).abs() < 0.1, "mean {mean}");
    let after: Vec<f64> =
        run.trace.iter().filter(|(at, _)| *at > 5.0).map(|(_, cpu)| cpu - mean).collect();
    let deviation = (after.iter().map(|d| d * d).sum::<f64>() / after.len() as f64).sqrt();
    // Uniform noise of 30 % has a standard deviation of 17 %.
    assert!(deviation < 0.17, "deviation {deviation}");
}

#[test]
fn the_next_wave_of_a_flood_finds_what_the_first_taught() {
    let mut run = Run::new(5.0);
    run.go(10, 0.0, 0.4, |_| 1.0);
    run.go(2, 0.0, 0.4, |_| 0.0);
    run.go(10, 0.0, 0.4, |_| 1.0);
    let peak = run.extremes(12.0).1;
    assert!(peak < 1.5, "second wave peaks at {peak}, the first at {}", run.extremes(0.0).1);
    // After long quiet the normal rate is back.
    run.go(30, 0.0, 0.4, |_| 0.0);
    assert!((run.controller.factor() - 1.0).abs() < 1e-9);
}

#[test]
fn cpu_that_no_request_explains_is_not_taken_for_their_price() {
    // Handshakes at a start: three quarters of the budget, and one request in a while.
    let mut controller = Controller::new(CpuBudget::DEFAULT);
    for _ in 0..50 {
        controller.update(
            Measurement { cpu: Some(0.0375), admitted: 0.01, limiting: false },
            CONTROL_PERIOD,
        );
    }
    assert!((controller.factor() - 1.0).abs() < 1e-9);
}

#[test]
fn nothing_winds_up_at_a_bound() {
    let mut run = Run::new(5.0);
    // An hour at the floor with ten times too much, then a load that is affordable at 0.5: as quick as from anywhere else.
    run.go(3600, 0.0, 5.0, |_| 5.0);
    assert!(run.controller.floor_wins());
    assert!((run.controller.scale() - MAX_SCALE).abs() < 1e-9);
    run.go(20, 0.0, 0.1, |_| 5.0);
    let settled = run.settled(3600.0);
    assert!(settled < 5.0, "{settled} s");
    assert!(!run.controller.floor_wins());
}

#[test]
fn a_lost_sensor_holds_then_lowers_and_never_raises() {
    let budget = CpuBudget::DEFAULT;
    let mut free = Controller::new(budget);
    for _ in 0..10 {
        free.update(measured(None), CONTROL_PERIOD);
    }
    assert_eq!((free.factor(), free.is_blind()), (1.0, false), "held for {SENSOR_GRACE:?}");
    for _ in 0..10 {
        free.update(measured(None), CONTROL_PERIOD);
    }
    assert!(free.is_blind() && (free.factor() - BLIND_FACTOR).abs() < 1e-9, "{free:?}");

    let mut low = Controller::new(budget);
    for _ in 0..50 {
        low.update(measured(Some(1.0)), CONTROL_PERIOD);
    }
    for reading in [None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)] {
        for _ in 0..500 {
            low.update(measured(reading), CONTROL_PERIOD);
        }
        assert!((low.factor() - FLOOR).abs() < 1e-9 && low.is_blind(), "{reading:?}: {low:?}");
    }
    // Back again: it goes on from there, without a jump.
    let before = low.factor();
    low.update(measured(Some(0.05)), CONTROL_PERIOD);
    assert!(!low.is_blind() && (low.factor() / before - 1.0).abs() < 0.01);
}

#[test]
fn a_sensor_that_flickers_still_settles() {
    let mut run = Run::new(5.0);
    run.go(2, 0.0, 0.4, |_| 1.0);
    for _ in 0..20 {
        run.go(1, 0.0, 0.4, |_| 1.0);
        for _ in 0..5 {
            run.controller.update(measured(None), CONTROL_PERIOD);
        }
    }
    assert!((run.mean(7.0) - 1.0).abs() < 0.1);
}

#[test]
fn odd_periods_are_stable() {
    for millis in [0, 1, 50, 1_000, 60_000] {
        let mut controller = Controller::new(CpuBudget::DEFAULT);
        for _ in 0..20_000 {
            let cpu = 0.4 * controller.factor();
            controller.update(measured(Some(cpu)), Duration::from_millis(millis));
        }
        let held = 0.4 * controller.factor() / 0.05;
        assert!(millis == 0 || (held - 1.0).abs() < 0.01, "every {millis} ms: {held}");
    }
    let mut controller = Controller::new(CpuBudget::DEFAULT);
    for cpu in [0.0, f64::MIN_POSITIVE, f64::MAX] {
        let scale = controller.update(measured(Some(cpu)), Duration::MAX);
        assert!((1.0..=MAX_SCALE).contains(&scale), "{cpu}: {scale}");
    }
}
