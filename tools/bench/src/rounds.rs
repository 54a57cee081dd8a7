//! Contenders measured in turns, so that what slows the machine down for a while slows all of them.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use serde::Deserialize;

use crate::run::{Run, root};

/// Samples of each contender in each round: the fewest that criterion takes. Rounds do what more would do.
const SAMPLES: usize = 10;

/// Resamples of criterion's bootstrap, of whose result only the median is used.
const RESAMPLES: usize = 2000;

/// What criterion is told once a contender has failed: it knows no errors, and does not like zero.
const FAILED: Duration = Duration::from_secs(1);

/// Somebody who does the work.
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut(u64) -> Result<Duration> + 'a>,
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Contender<'a> {
    /// `run` does the work so many times and says how long it took, without what it prepared or cleared away.
    pub fn timed(name: impl Into<String>, mut run: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self::fallible(name, move |times| Ok(run(times)))
    }

    /// As [`Contender::timed`]; the first error ends the measurement.
    pub fn fallible(
        name: impl Into<String>,
        run: impl FnMut(u64) -> Result<Duration> + 'a,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// `work` is what is measured.
    pub fn new<T>(name: impl Into<String>, mut work: impl FnMut() -> T + 'a) -> Self {
        Self::timed(name, move |times| {
            let started = Instant::now();
            for _ in 0..times {
                black_box(work());
            }
            started.elapsed()
        })
    }
}

/// What a ratio was over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The ratio of the medians over all rounds.
    pub ratio: f64,
    /// The least ratio of one round.
    pub least: f64,
    /// The greatest ratio of one round.
    pub greatest: f64,
}

/// Nanoseconds that one piece of work took: for each contender, the median of each round.
#[derive(Clone, Debug)]
pub struct Measured(Vec<(String, Vec<f64>)>);

impl Measured {
    /// The medians of the rounds, in ns, in the order in which they were run.
    ///
    /// # Errors
    /// When there is no such contender.
    pub fn rounds(&self, name: &str) -> Result<&[f64]> {
        let found = self.0.iter().find(|(contender, _)| contender == name);
        Ok(&found.with_context(|| format!("there is no contender {name:?}"))?.1)
    }

    /// The median over all rounds, in ns.
    ///
    /// # Errors
    /// When there is no such contender.
    pub fn median(&self, name: &str) -> Result<f64> {
        Ok(median(self.rounds(name)?))
    }

    /// How many times as long `name` takes as `other`.
    ///
    /// # Errors
    /// When there is no such contender.
    pub fn ratio(&self, name: &str, other: &str) -> Result<Spread> {
        let (ours, theirs) = (self.rounds(name)?, self.rounds(other)?);
        let each: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Ok(Spread {
            ratio: median(ours) / median(theirs),
            least: each.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

impl Run {
    /// Measures the contenders in turns, in the opposite order in every other round: whoever comes first in a round
    /// meets another state of the caches and of the clock than the one after it. A quick run takes two rounds at most.
    ///
    /// Each contender's number of a round is criterion's median over ten samples.
    ///
    /// # Errors
    /// When a contender fails, criterion's results cannot be read, or a name is no file name.
    pub fn rounds(
        &self,
        group: &str,
        mut contenders: Vec<Contender<'_>>,
        rounds: usize,
    ) -> Result<Measured> {
        let is_plain = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        for name in contenders.iter().map(|contender| contender.name.as_str()).chain([group]) {
            ensure!(is_plain(name) && name.len() <= 60, "{name:?} cannot be a file name");
        }
        let output = root().join("target/criterion");
        // Without results of earlier runs there is nothing that criterion would compare with.
        if output.join(group).exists() {
            fs::remove_dir_all(output.join(group)).context("remove criterion's last results")?;
        }
        let sampling = self.sampling();
        let mut criterion = Criterion::default()
            .without_plots()
            .output_directory(&output)
            .sample_size(SAMPLES)
            .nresamples(RESAMPLES)
            .warm_up_time(sampling.warm_up)
            .measurement_time(sampling.measurement);
        let mut measured = vec![Vec::new(); contenders.len()];
        for round in 0..self.pick(rounds, rounds.min(2)) {
            let mut order: Vec<_> = (0..contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let Contender { name, run } = &mut contenders[index];
                let mut failed = None;
                let mut group_of_criterion = criterion.benchmark_group(group);
                group_of_criterion.sampling_mode(SamplingMode::Flat);
                group_of_criterion.bench_function(BenchmarkId::new(name.as_str(), round), |b| {
                    b.iter_custom(|times| {
                        if failed.is_none() {
                            match run(times) {
                                Ok(took) => return took,
                                Err(error) => failed = Some(error),
                            }
                        }
                        // It takes ever more of what takes no time.
                        thread::sleep(sampling.warm_up);
                        FAILED
                    });
                });
                group_of_criterion.finish();
                if let Some(error) = failed.take() {
                    return Err(error.context(format!("measure {name}")));
                }
                let results = output.join(group).join(&*name).join(round.to_string());
                measured[index].push(estimate(&results.join("new/estimates.json"))?);
            }
        }
        let names = contenders.into_iter().map(|contender| contender.name);
        Ok(Measured(names.zip(measured).collect()))
    }
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

fn estimate(file: &std::path::Path) -> Result<f64> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let estimates: Estimates =
        serde_json::from_slice(&text).with_context(|| format!("parse {}", file.display()))?;
    Ok(estimates.median.point_estimate)
}

/// The median; of an even number the mean of the two in the middle, of none NaN.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (None, _) => f64::NAN,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(values[middle - 1], *value),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use super::{Contender, Measured, Spread, median};
    use crate::Run;

    #[test]
    fn the_ratio_is_that_of_the_medians_and_the_spread_that_of_the_rounds() {
        let measured = Measured(vec![
            ("ours".to_owned(), vec![10.0, 30.0, 20.0]),
            ("theirs".to_owned(), vec![20.0, 10.0, 10.0]),
        ]);
        let spread = measured.ratio("ours", "theirs").unwrap();
        assert_eq!(spread, Spread { ratio: 2.0, least: 0.5, greatest: 3.0 });
        assert!(measured.ratio("ours", "nobody").is_err());
    }

    #[test]
    fn contenders_take_turns_and_errors_come_through() {
        let run = Run { quick: true, unring: None, programs: PathBuf::new() };
        let turns = &RefCell::new(Vec::new());
        let turn = |name| {
            Contender::new(name, move || {
                let mut turns = turns.borrow_mut();
                if turns.last() != Some(&name) {
                    turns.push(name);
                }
            })
        };
        let measured = run.rounds("selftest", vec![turn("a"), turn("b")], 3).unwrap();
        assert_eq!(*turns.borrow(), ["a", "b", "a"], "the last of a round begins the next");
        assert_eq!(measured.rounds("a").unwrap().len(), 2, "a quick run has two rounds");
        assert!(measured.median("b").unwrap() > 0.0);

        let broken = Contender::fallible("broken", |_| Err(anyhow::anyhow!("the server is gone")));
        let error = run.rounds("selftest-broken", vec![broken], 1).unwrap_err();
        assert_eq!(format!("{error:#}"), "measure broken: the server is gone");
        let unfit = Contender::new("a/b", || ());
        assert!(run.rounds("selftest-name", vec![unfit], 1).is_err());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
