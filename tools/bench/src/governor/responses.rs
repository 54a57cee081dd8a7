//! How the controller responds on a plant whose parts are known: to a step, a ramp, noise, and a meter that fails.

use std::time::Duration;

use anyhow::Result;
use unring_rate_governor::{CONTROL_PERIOD, Controller, CpuBudget, Measurement};

use crate::chart::{self, Axis, Chart, Scale};
use crate::{Report, Run};

/// Work admitted in one period is done in it to this part, the rest later.
const LAG: f64 = 0.7;

/// CPU that does not depend on admission, as a part of the budget.
const BASE: f64 = 0.04;

const SECONDS: u32 = 60;

/// What is done to the loop.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    title: &'static str,
    /// What callers ask for at a time in s, as a multiple of the budget.
    demand: fn(f64) -> f64,
    /// What callers can get at most at a scale of 1, as a multiple of the budget.
    normal: f64,
    /// When the load is there in full, in s: from here on it has to settle.
    from: f64,
    /// Measured CPU is off by at most this part.
    noise: f64,
    /// From when to when the meter says nothing, in s.
    blind: (f64, f64),
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "governor-step",
        title: "A step to eight times the budget at 5 s, and back at 40 s",
        demand: |at| if (5.0..40.0).contains(&at) { 8.0 } else { 0.3 },
        normal: 8.0,
        from: 5.0,
        noise: 0.0,
        blind: (0.0, 0.0),
    },
    Scenario {
        name: "governor-ramp",
        title: "A ramp to eight times the budget within 20 s",
        demand: |at| (at / 20.0 * 8.0).min(8.0),
        normal: 8.0,
        from: 20.0,
        noise: 0.0,
        blind: (0.0, 0.0),
    },
    Scenario {
        name: "governor-noise",
        title: "A step at 5 s, and a meter that is off by up to 30 %",
        demand: |at| if at >= 5.0 { 8.0 } else { 0.3 },
        normal: 8.0,
        from: 5.0,
        noise: 0.3,
        blind: (0.0, 0.0),
    },
    Scenario {
        name: "governor-sensor-loss",
        title: "A step at 5 s, and a meter that says nothing from 20 s to 35 s",
        demand: |at| if at >= 5.0 { 3.0 } else { 0.3 },
        normal: 2.5,
        from: 5.0,
        noise: 0.0,
        blind: (20.0, 35.0),
    },
];

/// Time in s and CPU that is used, demanded, and the scale.
#[derive(Clone, Debug, Default)]
struct Trace {
    cpu: Vec<(f64, f64)>,
    demand: Vec<(f64, f64)>,
    scale: Vec<(f64, f64)>,
}

impl Scenario {
    fn run(&self) -> Trace {
        let mut controller = Controller::new(CpuBudget::DEFAULT);
        let budget = controller.budget().share();
        let (mut trace, mut cpu, mut random) = (Trace::default(), 0.0, 0x9E37_79B9_7F4A_7C15_u64);
        let period = CONTROL_PERIOD.as_secs_f64();
        for step in 1..=SECONDS * 5 {
            let at = f64::from(step) * period;
            let demand = (self.demand)(at);
            let admitted = demand.min(self.normal * controller.factor());
            cpu += LAG * (BASE + admitted - cpu);
            let seen = (at < self.blind.0 || at >= self.blind.1)
                .then(|| budget * cpu * (1.0 + self.noise * uniform(&mut random)));
            let measurement = Measurement {
                cpu: seen,
                admitted: admitted / self.normal,
                limiting: admitted < demand,
            };
            let scale = controller.update(measurement, CONTROL_PERIOD);
            trace.cpu.push((at, cpu));
            trace.demand.push((at, demand));
            trace.scale.push((at, scale));
        }
        trace
    }
}

/// In -1 to 1, the same in each run (xorshift64*).
fn uniform(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
    bits as f64 / f64::from(u32::MAX) * 2.0 - 1.0
}

/// What a response is judged by, of CPU as a multiple of the budget.
#[derive(Clone, Copy, Debug)]
struct Judged {
    /// Time in s after which it stays within a tenth.
    settled: f64,
    /// The most that it is above 1 afterwards, or below: how far it swings past.
    overshoot: f64,
    /// Of the mean, afterwards.
    error: f64,
}

fn judge(cpu: &[(f64, f64)], from: f64, to: f64) -> Judged {
    let part: Vec<_> = cpu.iter().filter(|(at, _)| *at > from && *at < to).copied().collect();
    let out = part.iter().rposition(|(_, cpu)| (cpu - 1.0).abs() > 0.1);
    let settled = out.map_or(0.0, |last| part[last].0 - from + CONTROL_PERIOD.as_secs_f64());
    // Before the first reaction CPU is what was asked for, which no controller can help; then it falls.
    let fell = part.iter().position(|(_, cpu)| *cpu < 1.0).unwrap_or(0);
    let swing = part[fell..].iter().map(|(_, cpu)| (cpu - 1.0).abs()).fold(0.0, f64::max);
    let rest: Vec<_> =
        part.iter().filter(|(at, _)| *at > from + 5.0).map(|(_, cpu)| *cpu).collect();
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    Judged { settled, overshoot: swing, error: (mean - 1.0).abs() }
}

pub(super) fn run(run: &Run, report: &mut Report) -> Result<()> {
    for scenario in SCENARIOS {
        let trace = scenario.run();
        let title = format!("{}: controller on a model", scenario.title);
        let chart = Chart {
            name: scenario.name,
            title: &title,
            x: Axis { label: "time (s)", scale: Scale::Linear },
            y: Axis { label: "multiples of the budget; scale", scale: Scale::Linear },
        };
        let budget = trace.cpu.iter().map(|(at, _)| (*at, 1.0)).collect();
        let series = [
            ("CPU", trace.cpu.clone()),
            ("asked for", trace.demand),
            ("scale", trace.scale),
            ("budget", budget),
        ];
        chart::lines(run, &chart, &series)?;
    }
    let step = judge(&SCENARIOS[0].run().cpu, SCENARIOS[0].from, 40.0);
    report.value("model_step_settled", step.settled, "s");
    report.value("model_step_overshoot", step.overshoot, "");
    report.value("model_step_error", step.error, "");
    report.target(
        "step response of the controller on a model",
        "settled < 5 s, overshoot < 20 %, error < 10 %",
        format!(
            "{:.1} s, {:.0} %, {:.1} %",
            step.settled,
            step.overshoot * 100.0,
            step.error * 100.0
        ),
        step.settled < 5.0 && step.overshoot < 0.2 && step.error < 0.1,
    );
    Ok(())
}

/// How long a period is, for the charts' readers.
const _: () = assert!(CONTROL_PERIOD.as_millis() == Duration::from_millis(200).as_millis());

#[cfg(test)]
mod tests {
    use super::{SCENARIOS, judge};

    /// The numbers of the drawings in `docs/bench`, which this code draws.
    #[test]
    fn every_response_settles_without_swinging_past_the_budget() {
        let [step, ramp, noise, loss] = SCENARIOS;
        for (scenario, to) in [(step, 40.0), (ramp, 60.0), (noise, 60.0), (loss, 20.0)] {
            let judged = judge(&scenario.run().cpu, scenario.from, to);
            assert!(judged.error < 0.1, "{}: {judged:?}", scenario.name);
            if scenario.noise == 0.0 {
                assert!(judged.settled < 5.0, "{}: {judged:?}", scenario.name);
                assert!(judged.overshoot < 0.2, "{}: {judged:?}", scenario.name);
            }
        }
    }

    #[test]
    fn a_meter_that_fails_is_held_then_less_is_admitted_then_it_settles_again() {
        let [.., loss] = SCENARIOS;
        let trace = loss.run();
        let at = |time: f64| trace.cpu.iter().find(|(at, _)| *at >= time).unwrap().1;
        let scale = |time: f64| trace.scale.iter().find(|(at, _)| *at >= time).unwrap().1;
        assert!((at(21.8) - at(19.8)).abs() < 0.01, "held for two seconds");
        // A quarter of what callers can get, which is less than the budget here.
        assert!((scale(34.8) - 4.0).abs() < 0.01 && scale(19.8) < 3.0, "{}", scale(34.8));
        assert!(at(34.8) < 0.7, "{}", at(34.8));
        let judged = judge(&trace.cpu, 35.0, 60.0);
        assert!(judged.settled < 5.0, "{judged:?}");
    }
}
