//! A real node, flooded with multiples of what its budget pays for, and an honest caller beside the flood.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tempfile::TempDir;

use super::flood::{Flood, Flooded, Honest, Manners, Tally, honest};
use super::node::{Nodes, Sample};
use crate::chart::{self, Axis, Chart, Scale};
use crate::{Report, Run};

/// The default budget, in percent of one core.
const BUDGET: f64 = 5.0;

const FLOODERS: usize = 16;

/// An honest caller asks so often: a third of an equal share of the floor.
const HONEST_EVERY: Duration = Duration::from_millis(250);

/// How often the status page is read.
const SAMPLE: Duration = Duration::from_millis(200);

/// Samples in the second over which CPU is averaged.
const WINDOW: usize = 5;

/// Requests a second while their price is found.
const PRICE_RATE: f64 = 400.0;

/// What one load did.
#[derive(Debug)]
struct Seen {
    flooded: Arc<Flooded>,
    honest: Honest,
    samples: Vec<Sample>,
    /// Time in s since the flood began, and CPU of the last second in percent of one core.
    cpu: Vec<(f64, f64)>,
}

#[expect(clippy::print_stdout, reason = "CPU over time is what one wants to see")]
pub(super) fn run(run: &Run, unring: &Path, report: &mut Report) -> Result<()> {
    let lasts = Duration::from_secs(run.pick(30, 4));
    let price = price(unring)?;
    let affordable = BUDGET / 100.0 / price;
    report.value("price_of_a_request", price * 1e6, "us");
    println!("a request costs {:.0} us: {BUDGET} % pay for {affordable:.0} a second", price * 1e6);
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for times in [2.0, 5.0, 20.0] {
        let seen = load(unring, times * affordable, lasts, 0)?;
        let name = format!("flood_{times}x");
        println!("{times} times what the budget pays for:\n{}", seen.text());
        seen.report(&name, times, affordable, report);
        lines.push((format!("{times} times"), seen.cpu));
    }
    hints(unring, 5.0 * affordable, lasts, report)?;
    let until = lasts.as_secs_f64();
    lines.push(("budget".to_owned(), vec![(0.0, BUDGET), (until, BUDGET)]));
    let chart = Chart {
        name: "governor",
        title: "P2P CPU of a node that 16 callers flood, over its budget",
        x: Axis { label: "time since the flood began (s)", scale: Scale::Linear },
        y: Axis { label: "CPU of the last second (% of one core)", scale: Scale::Linear },
    };
    let lines: Vec<_> = lines.iter().map(|(name, line)| (name.as_str(), line.clone())).collect();
    chart::lines(run, &chart, &lines)
}

/// CPU seconds of one request of the flood's mix, by a node that has budget to spare.
fn price(unring: &Path) -> Result<f64> {
    let dir = TempDir::new()?;
    let nodes = Nodes::start(unring, dir.path(), 100.0)?;
    let flood = Flood {
        url: nodes.url(),
        callers: vec![Manners::Ignore; FLOODERS],
        per_second: PRICE_RATE,
        lasts: Duration::from_secs(4),
    };
    let flooded = Arc::new(Flooded::default());
    let samples = during(&nodes, flood, &flooded)?;
    let (first, last) = samples.first().zip(samples.last()).context("samples")?;
    let cpu = last.cpu_seconds - first.cpu_seconds;
    let answered = last.answered.saturating_sub(first.answered);
    Ok(cpu / (answered as f64).max(1.0))
}

/// Runs the flood beside samples of the node, from its first to its last request.
fn during(nodes: &Nodes, flood: Flood, flooded: &Arc<Flooded>) -> Result<Vec<Sample>> {
    let done = Arc::clone(flooded);
    let flooding = thread::spawn(move || flood.run(&done));
    while !flooded.begun.load(Ordering::Relaxed) && !flooding.is_finished() {
        thread::sleep(Duration::from_millis(5));
    }
    let mut samples = Vec::new();
    let mut next = Instant::now();
    while !flooding.is_finished() {
        samples.push(nodes.sample(flooded)?);
        next += SAMPLE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    flooding.join().map_err(|_| anyhow!("the flood panicked"))??;
    Ok(samples)
}

fn load(unring: &Path, per_second: f64, lasts: Duration, obeying: usize) -> Result<Seen> {
    let dir = TempDir::new()?;
    let nodes = Nodes::start(unring, dir.path(), BUDGET)?;
    let mut callers = vec![Manners::Ignore; FLOODERS];
    callers[..obeying].fill(Manners::Obey);
    let flood = Flood { url: nodes.url(), callers, per_second, lasts };
    let (over, flooded) = (Arc::new(AtomicBool::new(false)), Arc::new(Flooded::default()));
    let (url, end) = (nodes.url(), Arc::clone(&over));
    let honest = thread::spawn(move || honest(&url, HONEST_EVERY, &end));
    let samples = during(&nodes, flood, &flooded);
    over.store(true, Ordering::Relaxed);
    let honest = honest.join().map_err(|_| anyhow!("the honest caller panicked"))??;
    let samples = samples?;
    let start = samples.first().context("samples")?.at;
    let cpu = samples.windows(WINDOW + 1).map(|window| {
        let (first, last) = (&window[0], &window[WINDOW]);
        let seconds = (last.at - first.at).as_secs_f64();
        let percent = (last.cpu_seconds - first.cpu_seconds) / seconds * 100.0;
        ((last.at - start).as_secs_f64(), percent)
    });
    let cpu = cpu.collect();
    Ok(Seen { flooded, honest, samples, cpu })
}

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

impl Seen {
    /// Mean CPU over the budget from 5 s on, or from the middle of a short run.
    fn mean(&self) -> f64 {
        let end = self.cpu.last().map_or(0.0, |last| last.0);
        let from = f64::min(5.0, end / 2.0);
        let ends = self.samples.first().zip(self.samples.last());
        let first = ends.and_then(|(start, _)| {
            self.samples.iter().find(|sample| (sample.at - start.at).as_secs_f64() >= from)
        });
        first.zip(self.samples.last()).map_or(f64::NAN, |(first, last)| {
            let seconds = (last.at - first.at).as_secs_f64();
            (last.cpu_seconds - first.cpu_seconds) / seconds * 100.0 / BUDGET
        })
    }

    /// The time in s after which CPU of the last second stays below 1.2 times the budget.
    fn settled(&self) -> f64 {
        let out = self.cpu.iter().rposition(|(_, percent)| *percent > BUDGET * 1.2);
        out.map_or(0.0, |last| self.cpu[last].0)
    }

    /// The stage in which the node was most of the time, and the part of it.
    fn stage(&self) -> (String, f64) {
        let share = |level: &str| {
            let in_it = self.samples.iter().filter(|sample| sample.level == level).count();
            in_it as f64 / self.samples.len().max(1) as f64
        };
        ["normal", "degraded", "refusing", "reading_slowly"]
            .map(|level| (level.to_owned(), share(level)))
            .into_iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or_default()
    }

    fn p99(&self) -> f64 {
        let mut latencies = self.honest.latencies.clone();
        latencies.sort();
        let index = latencies.len() * 99 / 100;
        latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    fn text(&self) -> String {
        let lines = self.cpu.iter().step_by(WINDOW).map(|(at, percent)| {
            let level = self
                .samples
                .iter()
                .rfind(|sample| (sample.at - self.samples[0].at).as_secs_f64() <= *at)
                .map_or("", |sample| sample.level.as_str());
            format!("  {at:5.1} s  {percent:6.2} %  {level}\n")
        });
        lines.collect()
    }

    fn report(&self, name: &str, times: f64, affordable: f64, report: &mut Report) {
        let Tally { sent, answered, degraded, refused, failed } = &self.flooded.ignoring;
        let seconds = self.cpu.last().map_or(1.0, |last| last.0);
        let offered = count(sent) / seconds / affordable;
        report.value(&format!("{name}_offered_ratio"), offered, "");
        for (what, counter) in [
            ("answered", answered),
            ("degraded", degraded),
            ("refused", refused),
            ("failed", failed),
        ] {
            report.value(&format!("{name}_{what}"), count(counter), "");
        }
        let (stage, part) = self.stage();
        report.value(&format!("{name}_{stage}_part"), part, "");
        let (mean, settled) = (self.mean(), self.settled());
        report.value(&format!("{name}_cpu_error"), mean - 1.0, "");
        report.value(&format!("{name}_settled"), settled, "s");
        report.target(
            format!("CPU of a node offered {times} times its budget (by {offered:.1} times)"),
            "mean within 10 % of the budget from 5 s on",
            format!(
                "{:+.1} %, {settled:.1} s to stay below 1.2 times, held by {stage}",
                (mean - 1.0) * 100.0
            ),
            (mean - 1.0).abs() <= 0.1,
        );
        let success = f64::from(self.honest.answered) / f64::from(self.honest.asked.max(1));
        report.value(&format!("{name}_honest_success"), success, "");
        report.value(&format!("{name}_honest_p99"), self.p99(), "ms");
        report.target(
            format!("the honest caller beside {times} times"),
            "every request answered",
            format!("{:.1} %, p99 {:.0} ms", success * 100.0, self.p99()),
            self.honest.answered == self.honest.asked,
        );
    }
}

/// Half of the flood comes back when it was told to, the other half goes on asking.
fn hints(unring: &Path, per_second: f64, lasts: Duration, report: &mut Report) -> Result<()> {
    let seen = load(unring, per_second, lasts, FLOODERS / 2)?;
    let part = |tally: &Tally| {
        (count(&tally.answered) + count(&tally.degraded)) / count(&tally.sent).max(1.0)
    };
    let (obeying, ignoring) = (part(&seen.flooded.obeying), part(&seen.flooded.ignoring));
    report.value("hints_obeyed_answered_part", obeying, "");
    report.value("hints_ignored_answered_part", ignoring, "");
    report.value("hints_obeyed_sent", count(&seen.flooded.obeying.sent), "");
    report.value("hints_ignored_sent", count(&seen.flooded.ignoring.sent), "");
    report.target(
        "requests of callers that come back when told to, against those that do not",
        "a greater part is answered",
        format!("{:.0} % against {:.0} %", obeying * 100.0, ignoring * 100.0),
        obeying > ignoring,
    );
    Ok(())
}
