//! `exchange`: what a node's answer costs beside a bare tonic method that sends as many bytes.

mod prebuilt;

use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message as _;
use unring_peer_addr::pb::{ListPeersRequest, Scope};

use self::prebuilt::Prebuilt;
use crate::bare::{self, Bare};
use crate::chart::{self, Axis, Chart, Scale};
use crate::cpu::cpu_of;
use crate::load::Load;
use crate::node::{self, Running};
use crate::seed::{Seed, cluster};
use crate::{Contender, Report, Run, alloc};

const LIST_PEERS: &str = "/unring.peeraddr.v1.PeerAddrService/ListPeers";

/// Records in the book.
const SIZES: [usize; 3] = [3, 100, 5000];

/// Room for all of them: a tenth of a book is kept for nodes that bring their own record.
const CAPACITY: usize = 6000;

/// Calls open at once on the one connection: half of what the node lets it have.
const IN_FLIGHT: usize = 32;

const ROUNDS: usize = 11;

/// Of the bare method's requests a second.
const WANTED: f64 = 0.85;

/// gRPC's bytes before a message.
const PREFIX: usize = 5;

/// What is drawn: requests a second with each size of the book.
#[derive(Default)]
struct Rates {
    node: Vec<f64>,
    bare: Vec<f64>,
}

pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("exchange");
    let mut rates = Rates::default();
    for size in SIZES {
        one_size(run, size, &mut report, &mut rates)
            .with_context(|| format!("with {size} records in the book"))?;
    }
    let chart = Chart {
        name: "exchange",
        title: "Answers from the book beside a bare tonic method of as many bytes",
        x: Axis { label: "records in the book", scale: Scale::Linear },
        y: Axis { label: "requests/s on one thread", scale: Scale::Linear },
    };
    let groups = SIZES.map(|size| size.to_string());
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    chart::bars(run, &chart, &groups, &[("unring node", rates.node), ("bare tonic", rates.bare)])?;
    Ok(report)
}

fn one_size(run: &Run, size: usize, report: &mut Report, rates: &mut Rates) -> Result<()> {
    let request = ListPeersRequest { scope: Scope::Local.into(), ..ListPeersRequest::default() };
    let request = request.encode_to_vec();
    let seed = Seed::start(cluster(size)?)?;
    let running = Running::start(std::slice::from_ref(&seed.url), CAPACITY)?;
    running.wait_for_peers(size)?;

    let mut ours = Load::connect(running.grpc, LIST_PEERS, &request)?;
    ours.run(1, 1, drop)?;
    let bytes = ours.answer_bytes().context("an answer came")?;
    let beside = Bare::start(LIST_PEERS, Prebuilt(vec![b'x'; bytes - PREFIX].into()))?;
    let mut theirs = Load::connect(beside.address, LIST_PEERS, &request)?;

    let contenders = vec![
        Contender::fallible("node", |calls| ours.run(calls, IN_FLIGHT, drop)),
        Contender::fallible("bare", |calls| theirs.run(calls, IN_FLIGHT, drop)),
    ];
    let measured = run.rounds(&format!("exchange-{size}"), contenders, ROUNDS)?;
    for (name, thread, load, drawn) in [
        ("node", node::THREAD, &mut ours, &mut rates.node),
        ("bare", bare::THREAD, &mut theirs, &mut rates.bare),
    ] {
        let per_second = 1e9 / measured.median(name)?;
        drawn.push(per_second);
        let mut value = |key: &str, number, unit| {
            report.value(&format!("{name}_{size}_{key}"), number, unit);
        };
        value("requests", per_second, "per_s");
        let calls = run.pick(20_000, 1000);
        let mut took = Vec::new();
        let before = cpu_of(thread)?;
        load.run(calls, IN_FLIGHT, |call| took.push(call))?;
        let cpu = cpu_of(thread)?.saturating_sub(before).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        value("cpu_per_answer", cpu * 1e6 / calls as f64, "us");
        value("p50", percentile(&mut took, 50), "us");
        value("p99", percentile(&mut took, 99), "us");
        let mut took = Vec::new();
        load.run(calls / 4, 1, |call| took.push(call))?;
        value("alone_p50", percentile(&mut took, 50), "us");
        value("alone_p99", percentile(&mut took, 99), "us");
        // The client allocates nothing once it runs: what is counted is the server's.
        let calls = run.pick(2000, 200);
        let (ran, allocated) = alloc::during(|| load.run(calls, IN_FLIGHT, drop));
        ran?;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let per_call = |count: usize| count as f64 / calls as f64;
        value("allocations", per_call(allocated.allocations), "per_answer");
        value("allocated_bytes", per_call(allocated.bytes), "per_answer");
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes of a message")]
    report.value(&format!("answer_{size}"), bytes as f64, "bytes");
    let ratio = measured.ratio("bare", "node")?;
    report.value(&format!("ratio_{size}"), ratio.ratio, "");
    report.target(
        format!("requests/s against a bare method of as many bytes, {size} records in the book"),
        format!(">= {WANTED}"),
        format!("{:.2} ({:.2} to {:.2})", ratio.ratio, ratio.least, ratio.greatest),
        ratio.ratio >= WANTED,
    );
    running.stop()
}

/// In microseconds.
fn percentile(took: &mut [Duration], percent: usize) -> f64 {
    took.sort_unstable();
    let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
    took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
}
