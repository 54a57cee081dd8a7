//! Where a single flight belongs, and where it is a deadlock.
//!
//! `cargo run -p unring-dedup-store --example outbound_lookups`

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::task::Poll;

use futures::executor::{LocalPool, block_on};
use futures::future::{FutureExt, LocalBoxFuture, join_all};
use futures::task::LocalSpawnExt;
use unring_dedup_store::{FlightLimits, FlightRefused, SingleFlight};

type Answer = Result<usize, FlightRefused>;

#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limits = FlightLimits {
        keys: NonZeroUsize::new(64).ok_or("keys")?,
        callers_per_key: NonZeroUsize::new(256).ok_or("callers")?,
    };

    // Right: three tasks of this process need one address, and nobody outside waits for them in turn.
    let (lookups, queries) = (SingleFlight::new(limits), Cell::new(0));
    let resolve = |_name: &'static str| async {
        queries.set(queries.get() + 1);
        a_round_trip().await;
        vec![IpAddr::from([10, 0, 0, 7])]
    };
    let calls = (0..3).map(|_| lookups.run("server1", || resolve("server1")));
    let answers: Result<Vec<_>, _> = block_on(join_all(calls)).into_iter().collect();
    println!("{} callers, {} query: {:?}", 3, queries.get(), answers?[0]);

    // Each of three nodes in a ring asks the next one. A node that is asked while it asks has two ways to answer.
    println!("answering from what is known: {} of 3 nodes get an answer", ring(limits, false)?);
    println!("joining the own fetch:        {} of 3 nodes get an answer", ring(limits, true)?);
    Ok(())
}

/// Lets everything else run first.
async fn a_round_trip() {
    let mut over = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut over, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// How many nodes have an answer when nothing moves any more.
fn ring(limits: FlightLimits, join: bool) -> Result<usize, futures::task::SpawnError> {
    let nodes: Rc<Vec<SingleFlight<(), usize>>> =
        Rc::new((0..3).map(|_| SingleFlight::new(limits)).collect());
    let (mut pool, answered) = (LocalPool::new(), Rc::new(Cell::new(0)));
    for node in 0..3 {
        let (nodes, answered) = (Rc::clone(&nodes), Rc::clone(&answered));
        pool.spawner().spawn_local(async move {
            if fetch(nodes, node, join).await.is_ok() {
                answered.set(answered.get() + 1);
            }
        })?;
    }
    pool.run_until_stalled();
    Ok(answered.get())
}

/// What `node` has to say, for which it asks the next one. Its own fetches are one flight, and that is fine.
fn fetch(
    nodes: Rc<Vec<SingleFlight<(), usize>>>,
    node: usize,
    join: bool,
) -> LocalBoxFuture<'static, Answer> {
    async move {
        let next = (node + 1) % nodes.len();
        let ask = {
            let nodes = Rc::clone(&nodes);
            move || async move {
                // Every node starts at once: each fetch is on its way before any is answered.
                a_round_trip().await;
                match join {
                    // The handler of the next node. To join its own fetch is the mistake.
                    true => fetch(nodes, next, join).await.unwrap_or(0) + 1,
                    false => 1,
                }
            }
        };
        nodes[node].run((), ask).await
    }
    .boxed_local()
}
