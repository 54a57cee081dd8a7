//! Carries a walk out: who is asked when, how long is waited for whom, and when it ends.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p_identity::PeerId;
use tokio::time::sleep_until;

use crate::kad::client::AskError;
use crate::kad::patience::Patience;
use crate::kad::router::KadGauges;
use crate::kad::walk::Walk;
use crate::kad::wire::{Answer, Contact};

/// Carries walks out.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) patience: &'a Patience,
    pub(crate) gauges: &'a KadGauges,
    /// Each who is asked has the time of its request; otherwise, once anybody has answered, what [`Patience`] says.
    pub(crate) to_the_end: bool,
}

/// Woken so much later than it was to be, this process or its machine was busy with something else, and nobody else was slow.
const LATE: Duration = Duration::from_millis(50);

/// Tokio's, which tests stop.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Asking<'_> {
    /// Walks until it is done or `enough` says so of an answer; it is asked about none when only slow peers are waited for. Counts who
    /// was asked and who answered.
    pub(crate) async fn walk<F>(
        &self,
        mut walk: Walk,
        ask: impl Fn(Contact) -> F,
        mut enough: impl FnMut(Option<&Answer>) -> bool,
        (asked, answered): &mut (usize, usize),
    ) -> Walk
    where
        F: Future<Output = Result<Answer, AskError>>,
    {
        let mut on_their_way = FuturesUnordered::new();
        // Of those who were asked; bounded as they are.
        let mut allowed: HashMap<PeerId, Duration> = HashMap::new();
        let mut lost = Duration::ZERO;
        while !walk.is_done() {
            while let Some(contact) = walk.next(clock()) {
                *asked += 1;
                self.gauges.requests.fetch_add(1, Ordering::Relaxed);
                let peer = contact.peer;
                allowed.insert(peer, self.patience.of(clock(), &peer));
                let asking = ask(contact);
                on_their_way.push(async move { (peer, asking.await) });
            }
            let now = clock();
            if walk.only_stalled_left(now) && enough(None) {
                break;
            }
            // Nobody at all answers: that is rather this node's fault, and whoever does is worth the time.
            let hurries = !self.to_the_end && *answered > 0;
            let waited_for = walk.waited_for().filter(|_| hurries);
            let end = |(peer, since): &(PeerId, Instant)| Some(*since + *allowed.get(peer)? + lost);
            let end = waited_for.as_ref().and_then(|all| all.iter().filter_map(end).max());
            if let Some(late) = end.and_then(|end| now.checked_duration_since(end)) {
                if late > LATE {
                    lost += late;
                    continue;
                }
                for (peer, _) in waited_for.into_iter().flatten() {
                    self.patience.stalled(now, peer);
                }
                break;
            }
            let next = walk.next_due(now).into_iter().chain(end).min();
            tokio::select! {
                Some((peer, answer)) = on_their_way.next() => match answer {
                    Ok(answer) => {
                        *answered += 1;
                        self.patience.answered(&peer);
                        let ends = enough(Some(&answer));
                        walk.on_answer(&peer, answer.closer);
                        if ends {
                            break;
                        }
                    }
                    Err(error) => {
                        if matches!(error, AskError::Timeout) {
                            self.patience.stalled(clock(), peer);
                        }
                        self.gauges.request_failures.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%peer, error = crate::failure::chain(&error), "request failed");
                        walk.on_failure(&peer);
                    }
                },
                () = async { match next {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }} => {}
                // Nothing on its way and nobody to ask.
                else => break,
            }
        }
        walk
    }
}

#[cfg(test)]
mod tests;
