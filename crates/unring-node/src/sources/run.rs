//! The task that asks and dials.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use unring_bootstrap::{Action, Alone, Attempt, Candidate};
use unring_peer::PeerId;

use super::{connect, say};
use crate::node::Parts;

/// How often it is looked whether the node is still alone while no libp2p peer is connected: a gRPC stream tells nobody
/// that it opened.
const LOOK: Duration = Duration::from_secs(1);

/// Asks and dials until the network ends.
///
/// Its tasks are bounded: one question of each source, and as many dials as it may tell addresses. A source that is asked in
/// another way has its question of before beside it until that ends, after 10 s at most.
pub(crate) async fn run(parts: &Arc<Parts>) {
    let mut connected = parts.network.watch_connected();
    let mut peers = BTreeSet::new();
    let mut alone = Alone::new();
    let mut work = JoinSet::new();
    let mut changed = true;
    loop {
        let now = parts.exchange.now().mono;
        if std::mem::take(&mut changed) {
            peers.clone_from(&connected.borrow_and_update());
        }
        // The set is told each time: it is small, and the table sees for itself whether it is news.
        let told: BTreeSet<PeerId> = peers.clone();
        let actions = parts.sources.tell(|table| {
            table.set_connected(now, told);
            table.on_timer(now);
        });
        for action in actions {
            act(parts, &mut work, action);
        }
        look(parts, &mut alone, now, !peers.is_empty());
        let due = [parts.sources.state.lock().table.next_due(), alone.next_due()];
        let due = due.into_iter().flatten().min();
        let due = if peers.is_empty() {
            Some(due.map_or(now + LOOK, |due| due.min(now + LOOK)))
        } else {
            due
        };
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            Some(_) = work.join_next(), if !work.is_empty() => {}
            () = parts.sources.replaced.notified() => {}
            result = connected.changed() => {
                if result.is_err() {
                    return;
                }
                changed = true;
            }
        }
    }
}

fn act(parts: &Arc<Parts>, work: &mut JoinSet<()>, action: Action) {
    match action {
        Action::Ask(attempt) => {
            let parts = Arc::clone(parts);
            work.spawn(async move { ask(&parts, attempt).await });
        }
        Action::Dial(attempt, candidate) => {
            let parts = Arc::clone(parts);
            work.spawn(async move { dial(&parts, attempt, &candidate).await });
        }
        Action::PeersChanged => parts.sources.peers_changed.notify_one(),
        Action::Say(source) => {
            if let Some(view) = parts.sources.view(source) {
                say::source(&view);
            }
        }
    }
}

async fn ask(parts: &Parts, attempt: Attempt) {
    let sources = &parts.sources;
    let (Some(asker), Some(view)) = (sources.asker(attempt.source), sources.view(attempt.source))
    else {
        return;
    };
    // The table gives it up at the same time.
    let Ok(answer) = tokio::time::timeout(view.kind.ask_limit(), asker.ask()).await else { return };
    // What it wants done waits for the task that reaps this one.
    let now = parts.exchange.now().mono;
    sources.state.lock().table.answered(now, attempt, answer);
}

async fn dial(parts: &Parts, attempt: Attempt, candidate: &Candidate) {
    let answer = connect::dial(&parts.network, candidate).await;
    let now = parts.exchange.now().mono;
    parts.sources.state.lock().table.dialled(now, attempt, candidate, answer);
}

/// Says that the node is alone, or not any more.
fn look(parts: &Parts, alone: &mut Alone, now: Duration, peers: bool) {
    let streams = || parts.exchange.read(|engine, _| engine.open_streams() > 0);
    let tried = parts.sources.all_tried();
    if let Some(company) = alone.update(now, tried, peers || streams()) {
        say::company(company, parts.sources.views().len(), parts.config.upstreams.len());
    }
    parts.sources.state.lock().alone = alone.is_said();
}
