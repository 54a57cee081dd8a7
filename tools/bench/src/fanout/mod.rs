//! `fanout`: what it takes to tell 1000 streams of one changed record, beside a bare tonic stream of the same bytes.

mod bare;
mod subscriber;

use std::cell::Cell;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use unring_peer::Identity;

use self::bare::BareStreams;
use self::subscriber::Subscribers;
use crate::chart::{self, Axis, Chart, Scale};
use crate::cpu::cpu_of;
use crate::node::Running;
use crate::seed::{Seed, cluster, sign};
use crate::{Contender, Report, Run, alloc};

pub(super) const WATCH_PEERS: &str = "/unring.peeraddr.v1.PeerAddrService/WatchPeers";

/// Streams open at once: 24 fewer than a node allows.
const STREAMS: usize = 1000;

const ROUNDS: usize = 7;

/// Changes over which CPU is counted.
const CHANGES: u32 = 50;

pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("fanout");
    let streams = run.pick(STREAMS, 100);
    let readers: Vec<_> = (0..streams).map(|_| Identity::generate()).collect();
    let changing = Identity::generate();
    let mut records = cluster(2)?;
    records.push(sign(&changing, 2, None, 1)?);
    let seed = Seed::start(records)?;
    let node = Running::start(std::slice::from_ref(&seed.url), 100)?;
    node.wait_for_peers(3)?;

    let (ours, ours_kept) = alloc::during(|| Subscribers::open(node.grpc, WATCH_PEERS, &readers));
    let mut ours = ours.context("open streams of the node")?;
    let seq = Cell::new(1);
    let publish = || {
        seq.set(seq.get() + 1);
        seed.publish(sign(&changing, 2, None, seq.get())?)
    };
    ours.time(publish)?;
    let message = Bytes::copy_from_slice(ours.last_message());
    ensure!(!message.is_empty(), "the change came");
    let bare = BareStreams::start(message.clone())?;
    let (theirs, theirs_kept) =
        alloc::during(|| Subscribers::open(bare.address, WATCH_PEERS, &readers));
    let mut theirs = theirs.context("open bare streams")?;

    let contenders = vec![
        Contender::fallible("node", |changes| {
            (0..changes).map(|_| ours.time(publish)).sum::<Result<_>>()
        }),
        Contender::fallible("bare", |changes| {
            (0..changes).map(|_| theirs.time(|| bare.publish())).sum::<Result<_>>()
        }),
    ];
    let measured = run.rounds("fanout", contenders, ROUNDS)?;

    let changes = run.pick(CHANGES, 5);
    let mut cpu = [0.0; 2];
    let before = cpu_of(crate::node::THREAD)?;
    for _ in 0..changes {
        ours.time(publish)?;
    }
    cpu[0] = (cpu_of(crate::node::THREAD)? - before).as_secs_f64();
    let before = cpu_of(crate::bare::THREAD)?;
    for _ in 0..changes {
        theirs.time(|| bare.publish())?;
    }
    cpu[1] = (cpu_of(crate::bare::THREAD)? - before).as_secs_f64();

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (per_stream, pushes) =
        (|bytes: i128| bytes as f64 / streams as f64, f64::from(changes) * streams as f64);
    let mut drawn = Vec::new();
    for (name, cpu, kept) in [("node", cpu[0], ours_kept), ("bare", cpu[1], theirs_kept)] {
        let last = measured.median(name)? / 1e6;
        report.value(&format!("{name}_until_the_last"), last, "ms");
        report.value(&format!("{name}_cpu_per_push"), cpu / pushes * 1e6, "us");
        report.value(&format!("{name}_memory_per_stream"), per_stream(kept.kept), "bytes");
        drawn.push((name, vec![last, cpu / f64::from(changes) * 1e3]));
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
    report.value("streams", streams as f64, "");
    #[expect(clippy::cast_precision_loss, reason = "bytes of a message")]
    report.value("message", message.len() as f64, "bytes");
    report.value("time_ratio", measured.ratio("node", "bare")?.ratio, "");
    report.value("cpu_ratio", cpu[0] / cpu[1], "");
    let chart = Chart {
        name: "fanout",
        title: "One changed record to 1000 streams",
        x: Axis { label: "", scale: Scale::Linear },
        y: Axis { label: "time of one change (ms)", scale: Scale::Linear },
    };
    let series: Vec<_> = drawn
        .into_iter()
        .map(|(name, values)| (if name == "node" { "unring node" } else { "bare tonic" }, values))
        .collect();
    chart::bars(run, &chart, &["until the last has it", "CPU of the server"], &series)?;
    node.stop()?;
    Ok(report)
}
