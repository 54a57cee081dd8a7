//! "Have I seen this within `T`?": the dedup store beside caches, and beside a bare map that is swept.
//!
//! *Warm* all do the same. *At the cap* they do not, because their contracts differ: the store refuses who comes too many,
//! which is cheaper than to enter it; a cache forgets another instead, and then says "new" of what it had seen; the map
//! has no cap. `STATE-THREADS_NAME_new` is the part of the answers that was "new": 0.5 is right, so it says who did what.

mod contenders;
mod load;

use anyhow::{Context as _, Result};

use self::contenders::{Moka, Ours, QuickCache, SccHashCache, Seen, Swept};
use self::load::{CHUNKS, Call, Load};
use crate::chart::{Axis, Chart, Scale, bars};
use crate::{Contender, Report, Run, alloc, median};

/// What a node's store holds at most.
const CAPACITY: usize = 65_536;
/// New keys within `T`, so that the two generations that are held fit.
const KEYS: u64 = 25_000;
/// A cap that this load meets: half of what comes in `2T`.
const SMALL: usize = 25_000;

const ROUNDS: usize = 11;
const NAMES: [&str; 5] = ["unring", "dashmap-swept", "moka", "quick_cache", "scc-HashCache"];

pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("dedup");
    let mut groups = Vec::new();
    let mut rates: Vec<(&str, Vec<f64>)> = NAMES.iter().map(|name| (*name, Vec::new())).collect();
    for threads in [1, 2] {
        for (state, capacity) in [("warm", CAPACITY), ("cap", SMALL)] {
            let group = format!("{state}-{threads}");
            let medians = measure(run, &mut report, &group, threads, capacity)?;
            for (rate, median) in rates.iter_mut().zip(medians) {
                rate.1.push(1000.0 / median);
            }
            groups.push(group);
        }
    }
    for (name, bytes) in bytes_per_entry()? {
        report.value(&format!("bytes_per_entry_{name}"), bytes, "B");
        if name == "unring" {
            report.target(
                "bytes per entry, 16-byte keys",
                "<= 64",
                format!("{bytes:.1}"),
                bytes <= 64.0,
            );
        }
    }
    let chart = Chart {
        name: "dedup",
        title: "Have I seen this? 16-byte keys, half of them duplicates",
        x: Axis { label: "state and threads", scale: Scale::Linear },
        y: Axis { label: "answers (million/s)", scale: Scale::Linear },
    };
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    bars(run, &chart, &groups, &rates)?;
    Ok(report)
}

/// Measures all contenders in one state, and gives their medians in ns per answer, in the order of [`NAMES`].
fn measure(
    run: &Run,
    report: &mut Report,
    group: &str,
    threads: u64,
    capacity: usize,
) -> Result<Vec<f64>> {
    let (ours, swept) = (Ours::new(capacity)?, Swept::new());
    let (moka, quick, scc) =
        (Moka::new(capacity), QuickCache::new(capacity), SccHashCache::new(capacity));
    let mut loads = [Load::new(threads, KEYS); 5];
    let [a, b, c, d, e] = &mut loads;
    let contenders = vec![
        contender(NAMES[0], &ours, a),
        contender(NAMES[1], &swept, b),
        contender(NAMES[2], &moka, c),
        contender(NAMES[3], &quick, d),
        contender(NAMES[4], &scc, e),
    ];
    let measured = run.rounds(&format!("dedup-{group}"), contenders, ROUNDS)?;
    let mut medians = Vec::new();
    for (name, load) in NAMES.iter().zip(&loads) {
        let each: Vec<_> =
            measured.rounds(name)?.iter().map(|t| t / (CHUNKS * load.calls()) as f64).collect();
        medians.push(median(&each));
        report.value(&format!("{group}_{name}"), median(&each), "ns");
        report.value(&format!("{group}_{name}_new"), load.new as f64 / load.asked as f64, "");
    }
    let faster = |other| -> Result<f64> { Ok(measured.ratio(other, "unring")?.ratio) };
    let moka = faster("moka")?;
    report.target(
        format!("{group}: speed against moka"),
        ">= 5",
        format!("{moka:.2}"),
        moka >= 5.0,
    );
    let (swept, want) = (faster("dashmap-swept")?, if threads == 1 { 0.75 } else { 1.0 });
    report.target(
        format!("{group}: speed against a bare DashMap and a sweeper"),
        format!(">= {want}"),
        format!("{swept:.2}"),
        swept >= want,
    );
    Ok(medians)
}

/// A contender that has seen `2T` already when it is first measured. One piece of its work is a whole `T`: how often each clears
/// away differs, and a median over shorter pieces would leave out the clearing of whoever does it seldom.
fn contender<'a>(name: &str, seen: &'a impl Seen, load: &'a mut Load) -> Contender<'a> {
    for _ in 0..12 {
        load.run(seen);
    }
    Contender::timed(name, move |times| (0..times * CHUNKS).map(|_| load.run(seen)).sum())
}

/// What the allocator gave, for as many entries as are held at the cap.
fn bytes_per_entry() -> Result<Vec<(&'static str, f64)>> {
    fn filled<S: Seen>(make: impl FnOnce() -> Result<S>) -> Result<f64> {
        let (seen, allocated) = alloc::during(|| {
            let seen = make()?;
            for number in 0..CAPACITY as u64 {
                let call = Call { key: load::key(number), caller: number % 64, now: load::T };
                seen.is_new(&call);
            }
            anyhow::Ok(seen)
        });
        drop(seen?);
        let kept = i32::try_from(allocated.kept).context("bytes kept")?;
        Ok(f64::from(kept) / CAPACITY as f64)
    }
    Ok(vec![
        (NAMES[0], filled(|| Ours::new(CAPACITY))?),
        (NAMES[1], filled(|| Ok(Swept::new()))?),
        (NAMES[2], filled(|| Ok(Moka::new(CAPACITY)))?),
        (NAMES[3], filled(|| Ok(QuickCache::new(CAPACITY)))?),
        (NAMES[4], filled(|| Ok(SccHashCache::new(CAPACITY)))?),
    ])
}
