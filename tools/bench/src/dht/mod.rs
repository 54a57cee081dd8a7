//! The DHT: twenty nodes of unring and two of js-libp2p, who find what any of them advertises.
//!
//! - *everywhere*: each key of each node is looked up by each other one.
//! - *frozen*: the same while one node of js-libp2p is stopped in the middle of its work and answers nobody.
//! - *many*: one node advertises 5000 keys; CPU time of its thread, messages, and whether all are found.
//! - *30 minutes*: with all intervals a sixtieth, what one node advertised is told again and again and looked up meanwhile.
//!
//! Theory: in a network of n nodes with buckets of k = 20 a walk has log2(n / k) hops, none of them before the closest when n is
//! not above k, and asks the k closest; a key that is told costs that walk and k messages, 2 k in all, each time.

mod js;
mod network;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::js::Js;
use self::network::{Nodes, SCALE, THREADS, until};
use crate::cpu::cpu_of;
use crate::{Report, Run};

const NODES: usize = 20;
const JS_NODES: usize = 2;

/// The size of a bucket: peers that are told of a key.
const K: f64 = 20.0;

/// For what takes a moment, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures.
pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("dht");
    let nodes = Nodes::start(NODES)?;
    let mut js = start_js(&nodes, &mut report)?;
    let everybody = NODES - 1 + js.len();
    let took = until("all know most", PATIENCE, || {
        Ok(nodes.all.iter().all(|node| node.router.counters().peers >= everybody.min(18)))
    })?;
    report.value("joined", took.as_secs_f64(), "s");

    let keys = everywhere(run, &nodes, &mut js, &mut report)?;
    frozen(&nodes, &mut js, &keys, &mut report)?;
    many(run, &nodes, &mut report)?;
    again(run, &nodes, &mut report)?;
    Ok(report)
}

fn start_js(nodes: &Nodes, report: &mut Report) -> Result<Vec<Js>> {
    let folder = match js::install()? {
        Ok(folder) => folder,
        Err(why) => {
            println!("SKIPPED  the nodes of js-libp2p: {why}");
            report.value("js_nodes", 0.0, "");
            return Ok(Vec::new());
        }
    };
    let mut all = Vec::new();
    for _ in 0..JS_NODES {
        let mut js = Js::start(&folder)?;
        js.connect(&nodes.first_address()?)?;
        until("js-libp2p knows somebody", PATIENCE, || Ok(js.peers()? > 0))?;
        all.push(js);
    }
    report.value("js_nodes", number(all.len()), "");
    Ok(all)
}

/// Returns the keys that the nodes of unring advertise, with who does.
fn everywhere(
    run: &Run,
    nodes: &Nodes,
    js: &mut [Js],
    report: &mut Report,
) -> Result<Vec<(usize, String)>> {
    let each = run.pick(20, 2);
    let name = |who: &str, node: usize, n: usize| format!("sha256:{who}-{node}-{n}");
    let mut keys = Vec::new();
    for node in 0..NODES {
        let own: Vec<String> = (0..each).map(|n| name("unring", node, n)).collect();
        nodes.advertise(node, &own)?;
        keys.extend(own.into_iter().map(|key| (node, key)));
    }
    told(nodes, 0..NODES)?;
    let (mut of_js, mut found) = (Vec::new(), Vec::new());
    let mut js_cpu = Duration::ZERO;
    let before = nodes.counters();
    for (node, js) in js.iter_mut().enumerate() {
        let own: Vec<String> = (0..each).map(|n| name("js", node, n)).collect();
        let before = js.cpu()?;
        js.advertise(&own)?;
        js_cpu += js.cpu()?.saturating_sub(before);
        // At once: js-libp2p tells nobody again, and the nodes forget it in a sixtieth of 19 min.
        let each = |asker| own.iter().map(move |key| (asker, key.clone()));
        found.extend(nodes.look_up((0..NODES).flat_map(each).collect()));
        of_js.extend(own);
    }

    let mut lookups: Vec<(usize, String)> = Vec::new();
    for asker in 0..NODES {
        let others = keys.iter().filter(|(owner, _)| *owner != asker);
        lookups.extend(others.map(|(_, key)| (asker, key.clone())));
    }
    found.extend(nodes.look_up(lookups));
    let after = nodes.counters();
    let messages = count(after.lookup_requests - before.lookup_requests)
        / count(after.lookups - before.lookups);
    let ours = Times::of(&found);
    ours.report("lookup", report);
    report.value("messages_per_lookup", messages, "");
    report.value("theory_messages_per_lookup", K, "");
    report.target("found by unring's nodes", "100 %", ours.share(), ours.missed == 0);
    let p99 = ours.at(0.99);
    let fits = p99 <= Duration::from_secs(1);
    report.target("p99 of a look-up", "<= 1 s", format!("{p99:.1?}"), fits);

    let mut by_js = Vec::new();
    for (node, js) in js.iter_mut().enumerate() {
        let own = format!("sha256:js-{node}-");
        let wanted = keys.iter().map(|(_, key)| key).chain(&of_js);
        for key in wanted.filter(|key| !key.starts_with(&own)) {
            by_js.push(js.lookup(key)?);
        }
    }
    if !js.is_empty() {
        let theirs = Times::of(&by_js);
        theirs.report("js_lookup", report);
        report.target("found by js-libp2p's nodes", "100 %", theirs.share(), theirs.missed == 0);
        let keys = number(js.len() * each);
        report.value("js_cpu_per_1000_keys", js_cpu.as_secs_f64() * 1e6 / keys, "ms");
    }
    Ok(keys)
}

/// One that hangs costs look-ups the time in which it is passed over.
fn frozen(
    nodes: &Nodes,
    js: &mut Vec<Js>,
    keys: &[(usize, String)],
    report: &mut Report,
) -> Result<()> {
    let Some(hung) = js.pop() else { return Ok(()) };
    hung.freeze()?;
    let peer = hung.peer().context("it has an id")?.to_owned();
    let lookups = |asker: usize| {
        let others = keys.iter().filter(move |(owner, _)| *owner != asker);
        // What somebody provides, and as many that nobody does.
        others
            .step_by(7)
            .flat_map(move |(_, key)| [(asker, key.clone()), (asker, format!("no {key}"))])
    };
    let found = nodes.look_up((0..NODES).flat_map(lookups).collect());
    let times: Vec<_> = found.iter().map(|(took, _)| (*took, true)).collect();
    let times = Times::of(&times);
    times.report("lookup_frozen", report);
    let p99 = times.at(0.99);
    let fits = p99 <= Duration::from_secs(1);
    report.target(
        "p99 of a look-up, of half of the keys nobody has, while one node hangs",
        "<= 1 s",
        format!("{p99:.1?}"),
        fits,
    );
    println!("{peer} was frozen");
    Ok(())
}

fn many_keys(run: &Run) -> Vec<String> {
    (0..run.pick(5000, 500)).map(|n| format!("sha256:layer-{n}")).collect()
}

fn many(run: &Run, nodes: &Nodes, report: &mut Report) -> Result<()> {
    let keys = many_keys(run);
    let (first, cpu) = (&nodes.all[0].router, cpu_of(THREADS[0])?);
    let before = (first.counters(), nodes.counters());
    let began = Instant::now();
    nodes.advertise(0, &keys)?;
    let goal = before.0.records_sent + u64::try_from(keys.len() * (NODES - 2))?;
    until("all are told", PATIENCE, || {
        let counters = first.counters();
        Ok(counters.pending == 0 && counters.records_sent >= goal)
    })?;
    let (took, cpu) = (began.elapsed(), cpu_of(THREADS[0])?.saturating_sub(cpu));
    let after = (first.counters(), nodes.counters());
    let thousands = number(keys.len()) / 1000.0;
    report.value("tell_per_1000_keys", took.as_secs_f64() * 1000.0 / thousands, "ms");
    report.value("cpu_per_1000_keys", cpu.as_secs_f64() * 1000.0 / thousands, "ms");
    let walks = count(after.0.walks - before.0.walks);
    report.value("walks_per_1000_keys", walks / thousands, "");
    let records = count(after.0.records_sent - before.0.records_sent);
    let requests = count(after.0.requests - before.0.requests);
    report.value("messages_per_key_told", (records + requests) / number(keys.len()), "");
    report.value("theory_messages_per_key_told", 2.0 * K, "");
    let refused = after.1.records_refused - before.1.records_refused;
    let lookups = keys.iter().step_by(25).enumerate();
    let lookups = lookups.map(|(n, key)| (1 + n % (NODES - 1), key.clone())).collect();
    let found = Times::of(&nodes.look_up(lookups));
    report.target(
        format!("of {} keys of one node, found, and records refused", keys.len()),
        "100 %, 0",
        format!("{}, {refused}", found.share()),
        found.missed == 0 && refused == 0,
    );
    Ok(())
}

fn again(run: &Run, nodes: &Nodes, report: &mut Report) -> Result<()> {
    let keys = many_keys(run);
    let span = Duration::from_secs(run.pick(30 * 60, 6 * 60)) / SCALE;
    let (first, cpu) = (&nodes.all[0].router, cpu_of(THREADS[0])?);
    let before = first.counters();
    let began = Instant::now();
    let (mut found, mut turn) = (Vec::new(), 0);
    while began.elapsed() < span {
        let lookups = (0..NODES - 1).map(|asker| {
            turn += 1;
            // A prime step: all come by.
            (1 + asker, keys[turn * 101 % keys.len()].clone())
        });
        found.extend(nodes.look_up(lookups.collect()));
        std::thread::sleep(Duration::from_millis(500));
    }
    let (after, cpu) = (first.counters(), cpu_of(THREADS[0])?.saturating_sub(cpu));
    let rounds = span.as_secs_f64() * f64::from(SCALE) / (12.0 * 60.0);
    let told = count(after.records_sent - before.records_sent);
    let thousands = number(keys.len()) / 1000.0;
    report.value("reprovide_records_per_key_and_round", told / number(keys.len()) / rounds, "");
    let cpu_ms = cpu.as_secs_f64() * 1000.0 / rounds / thousands;
    report.value("reprovide_cpu_per_1000_keys_and_round", cpu_ms, "ms");
    let times = Times::of(&found);
    times.report("reprovide_lookup", report);
    let what = format!(
        "found during {} min of re-providing, 1:{SCALE}",
        span.as_secs() * u64::from(SCALE) / 60
    );
    report.target(what, "100 %", times.share(), times.missed == 0);
    Ok(())
}

/// Waits until the nodes have told of what they advertise.
fn told(nodes: &Nodes, who: std::ops::Range<usize>) -> Result<()> {
    until("all are told", PATIENCE, || {
        Ok(nodes.all[who.clone()].iter().all(|node| {
            let counters = node.router.counters();
            counters.pending == 0 && counters.records_sent > 0
        }))
    })
    .map(drop)
}

/// How long look-ups took, sorted, and how many found nobody.
struct Times {
    sorted: Vec<Duration>,
    missed: usize,
}

impl Times {
    fn of(lookups: &[(Duration, bool)]) -> Self {
        let mut sorted: Vec<_> = lookups.iter().map(|(took, _)| *took).collect();
        sorted.sort_unstable();
        Self { sorted, missed: lookups.iter().filter(|(_, found)| !found).count() }
    }

    /// The least time within which this share of them was done (nearest rank).
    fn at(&self, share: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank in a list in memory"
        )]
        let rank = (share * number(self.sorted.len())).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1).min(last)).copied().unwrap_or_default()
    }

    fn share(&self) -> String {
        let all = self.sorted.len();
        format!("{:.2} % of {all}", 100.0 * number(all - self.missed) / number(all.max(1)))
    }

    fn report(&self, name: &str, report: &mut Report) {
        report.value(&format!("{name}_p50"), self.at(0.5).as_secs_f64() * 1000.0, "ms");
        report.value(&format!("{name}_p99"), self.at(0.99).as_secs_f64() * 1000.0, "ms");
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let ms = Duration::from_millis;
        let times = Times::of(&(1..=200).rev().map(|n| (ms(n), n != 7)).collect::<Vec<_>>());
        assert_eq!((times.at(0.5), times.at(0.99), times.at(1.0)), (ms(100), ms(198), ms(200)));
        assert_eq!((times.missed, times.share().as_str()), (1, "99.50 % of 200"));
        assert_eq!(Times::of(&[]).at(0.99), Duration::ZERO);
    }
}
