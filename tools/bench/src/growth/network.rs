//! One network, measured from its start to its second renewal.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use unring_sim::{Follow, Shape, Traffic, Trusting, World};

/// What a message takes from node to node: a switch and two kernels.
const LATENCY: Duration = Duration::from_millis(1);

/// How exactly the time of convergence is known.
const STEP: Duration = Duration::from_millis(10);

/// No book has changed for this long: what goes up a join is held for 200 ms, and a lost race costs one more such time.
const QUIET: Duration = Duration::from_secs(2);

/// A network that has not converged by then has failed.
const LIMIT: Duration = Duration::from_secs(300);

/// The default ttl; records are signed anew after a third of it.
const TTL: Duration = Duration::from_secs(30 * 60);

/// Requests that are counted one by one, and nodes whose versions are followed.
const SAMPLES: usize = 5;

/// Up to here it is checked node by node that each knows each; it takes time quadratic in the nodes.
const CHECKED: usize = 300;

/// Up to here the requests of the start are let through: N of them, which each cost E messages with an answer that holds
/// all that is known. Above, each is answered at once with nothing, so that books fill by streams alone.
const ASKING: usize = 100;

/// Up to here rings are searched for: each node of a network does so by itself, from its own copy of all joins. What is
/// searched for is not sent; what a ring brings is a look at the join every 5 minutes.
const SEARCHING: usize = 300;

/// A network to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) shape: Shape,
    pub(super) nodes: usize,
    /// Records that each node has room for.
    pub(super) book: usize,
}

/// What was counted.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) joins: f64,
    /// Records that a node knew at the end, on average.
    pub(super) known: f64,
    /// From the start of all nodes until the last book changed.
    pub(super) converged_s: f64,
    /// Everything sent until then.
    pub(super) cold: Traffic,
    /// Recursive messages of the dearest of some single requests to the converged network.
    pub(super) request_messages: f64,
    /// How often the followed version that was sent most was sent, when all renew their records.
    pub(super) version_pushes: f64,
    /// Everything sent in one third of the ttl.
    pub(super) steady: Traffic,
    /// Real time.
    pub(super) took: Duration,
}

impl Network {
    pub(super) fn measure(self) -> Result<Found> {
        let Self { shape, nodes, book } = self;
        let started = Instant::now();
        let book_capacity = NonZeroUsize::new(book).context("a book has room")?;
        let mut number = 0;
        let mut world = World::shaped(Trusting, LATENCY, shape, nodes, |config| {
            config.book_capacity = book_capacity;
            config.find_rings = nodes <= SEARCHING;
            // Spread over half of the time, as those of nodes that were not started at once.
            config.record_ttl = TTL - TTL / 2 * number / u32::try_from(nodes).unwrap_or(u32::MAX);
            number += 1;
        });
        let follow = Follow::Only(samples(nodes).map(|id| world.node(id).peer_id()).collect());
        world.traffic.follow = follow.clone();
        world.faults.hollow_requests = nodes > ASKING;
        let converged_s = converge(&mut world)?;
        let cold = std::mem::take(&mut world.traffic);
        let known = known(&world);
        if nodes <= CHECKED && nodes < book {
            let missing = world.missing();
            ensure!(missing.is_empty(), "not all know all: {missing:?}");
        }

        world.faults.hollow_requests = false;
        let mut request_messages = 0;
        for id in samples(nodes) {
            world.traffic = Traffic::default();
            world.traffic.follow = follow.clone();
            let client = world.ask(id, Duration::from_secs(10));
            world.run_for(Duration::from_secs(10));
            ensure!(world.answer(client).is_some(), "a request to {id} was not answered");
            request_messages = request_messages.max(world.traffic.recursive);
        }

        world.traffic = Traffic::default();
        world.traffic.follow = follow;
        world.run_for(TTL / 3);
        let steady = std::mem::take(&mut world.traffic);
        ensure!(steady.repeated == 0, "a version went out twice on one side of a stream");
        ensure!(steady.recursive == 0, "a node asked without a cause");
        Ok(Found {
            joins: world.joins().len() as f64,
            known: known as f64 / nodes as f64,
            converged_s,
            cold,
            request_messages: request_messages as f64,
            version_pushes: steady.most_pushes_of_a_version() as f64,
            steady,
            took: started.elapsed(),
        })
    }
}

impl Found {
    /// All that is sent on streams: heartbeats, and pushes, each of which a heartbeat is put off by.
    pub(super) fn steady_messages(&self) -> f64 {
        (self.steady.heartbeats + self.steady.pushes) as f64
    }

    /// In a line, for whoever waits.
    pub(super) fn line(&self) -> String {
        format!(
            "{:.0} joins, {:.0} known, converged in {:.2} s, a request is {:.0} messages, a version {:.0} pushes; took {:.1} s",
            self.joins,
            self.known,
            self.converged_s,
            self.request_messages,
            self.version_pushes,
            self.took.as_secs_f64()
        )
    }
}

/// Nodes far from each other by number.
fn samples(nodes: usize) -> impl Iterator<Item = usize> {
    (0..SAMPLES).map(move |sample| sample * nodes / SAMPLES)
}

/// Runs until no book has changed for a while; when the last one did.
fn converge(world: &mut World<Trusting>) -> Result<f64> {
    let (mut last, mut changed_at) = (0, Duration::ZERO);
    loop {
        world.run_for(STEP);
        let (now, known) = (world.now().mono, known(world));
        if known != last {
            (last, changed_at) = (known, now);
        }
        if now >= changed_at + QUIET {
            return Ok(changed_at.as_secs_f64());
        }
        ensure!(now < LIMIT, "books still change after {LIMIT:?}");
    }
}

fn known(world: &World<Trusting>) -> usize {
    let engines = world.nodes().iter().filter_map(|node| node.engine());
    engines.map(|engine| engine.peers_known()).sum()
}
