//! Callers that ask for more than a node can answer, bounded in count and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use rand::Rng as _;
use unring_exchange::{Incomplete, OutboundRequest, RemoteAnswer, Scope};
use unring_peer::{Identity, NodeRecord, SignedRecord, UnixMillis};
use unring_peer_addr::{CallError, Client, TlsIdentity, UrlConnector};

/// Time to connect: the node may be reading slowly.
const CONNECT: Duration = Duration::from_secs(20);

/// Time for an answer, as nodes give each other.
const DEADLINE: Duration = Duration::from_secs(10);

/// Requests of one caller that are on their way at once: half of the streams that a node grants a connection.
const IN_FLIGHT: usize = 32;

/// Requests of one caller at most, so that a flood ends whatever happens to the clock.
const MOST: u64 = 50_000;

/// How often a caller looks what it owes.
const STEP: Duration = Duration::from_millis(5);

/// How long the callers would be remembered.
const RECORD_TTL: Duration = Duration::from_secs(30 * 60);

/// Every fifth request wants to be forwarded.
const DEAR: u64 = 5;

/// A caller with an identity, a connection and a record of its own.
#[derive(Debug)]
pub(super) struct Caller {
    client: Client,
    record: SignedRecord,
}

impl Caller {
    /// Connects a new caller to the node at `url`.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let identity = Identity::generate();
        let tls = TlsIdentity::new(&identity)?;
        let connector = UrlConnector::new(&tls, false)?;
        let client = Client::connect(&connector, &url.parse()?, &identity, CONNECT).await?;
        let mut record = NodeRecord::new(identity.peer_id(), "caller");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        record.seq = u64::try_from(now)?;
        record.issued_at = UnixMillis::new(record.seq);
        record.ttl = RECORD_TTL;
        Ok(Self { client, record: SignedRecord::sign(&identity, record)? })
    }

    /// Asks once, as a node does that takes part.
    pub(super) async fn ask(&self, scope: Scope) -> Outcome {
        let caller_record = Some(self.record.clone());
        let request = OutboundRequest { scope, max_peers: 0, trace: None, caller_record };
        Outcome::of(self.client.list_peers(request, DEADLINE).await)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Answered,
    /// Answered from the book, with a word when to ask for more.
    Degraded(Duration),
    Refused(Duration),
    Failed,
}

impl Outcome {
    fn of(answer: Result<RemoteAnswer, CallError>) -> Self {
        match answer {
            Ok(answer) if answer.incomplete.contains(&Incomplete::Degraded) => {
                Self::Degraded(answer.retry_after.unwrap_or_default())
            }
            Ok(_) => Self::Answered,
            Err(error) => error.retry_after().map_or(Self::Failed, Self::Refused),
        }
    }

    pub(super) fn is_answer(self) -> bool {
        matches!(self, Self::Answered | Self::Degraded(_))
    }
}

/// How many of a group's requests ended how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) degraded: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Tally {
    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Answered => &self.answered,
            Outcome::Degraded(_) => &self.degraded,
            Outcome::Refused(_) => &self.refused,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What callers do when they are told to come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// Go on asking.
    Ignore,
    /// Ask one at a time, and not before they were told to.
    Obey,
}

/// Who asks how much for how long.
#[derive(Debug)]
pub(super) struct Flood {
    pub(super) url: String,
    /// The manners of each caller.
    pub(super) callers: Vec<Manners>,
    /// Requests a second of all together.
    pub(super) per_second: f64,
    pub(super) lasts: Duration,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Flooded {
    pub(super) ignoring: Tally,
    pub(super) obeying: Tally,
    /// Set once all callers are connected and the flood begins.
    pub(super) begun: AtomicBool,
}

impl Flooded {
    /// Requests of both groups that were answered.
    pub(super) fn answered(&self) -> u64 {
        [&self.ignoring, &self.obeying]
            .iter()
            .flat_map(|tally| [&tally.answered, &tally.degraded])
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

impl Flood {
    /// Runs on the calling thread until it is over.
    pub(super) fn run(&self, done: &Arc<Flooded>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut callers = Vec::new();
            for manners in &self.callers {
                let caller = Caller::connect(&self.url).await.context("connect a caller")?;
                callers.push((caller, *manners));
            }
            done.begun.store(true, Ordering::Relaxed);
            let rate = self.per_second / callers.len() as f64;
            join_all(callers.iter().map(|(caller, manners)| {
                let tally = match manners {
                    Manners::Ignore => &done.ignoring,
                    Manners::Obey => &done.obeying,
                };
                one(caller, *manners, rate, self.lasts, tally)
            }))
            .await;
            Ok(())
        })
    }
}

/// One caller. What it could not send in its time, it does not send later.
async fn one(caller: &Caller, manners: Manners, rate: f64, lasts: Duration, tally: &Tally) {
    let at_once = if manners == Manners::Obey { 1 } else { IN_FLIGHT };
    let start = Instant::now();
    let (mut last, mut owed, mut sent) = (start, rand::rng().random::<f64>(), 0);
    let mut quiet_until = start;
    let mut on_their_way = FuturesUnordered::new();
    let mut steps = tokio::time::interval(STEP);
    while start.elapsed() < lasts && sent < MOST {
        tokio::select! {
            Some(outcome) = on_their_way.next() => {
                tally.count(outcome);
                if let (Manners::Obey, Outcome::Refused(wait) | Outcome::Degraded(wait)) = (manners, outcome) {
                    quiet_until = Instant::now() + wait.mul_f64(rand::rng().random_range(1.0..1.2));
                }
            }
            _ = steps.tick() => {}
        }
        let now = Instant::now();
        owed = (owed + rate * (now - last).as_secs_f64()).min(at_once as f64);
        last = now;
        while owed >= 1.0 && now >= quiet_until && on_their_way.len() < at_once {
            owed -= 1.0;
            sent += 1;
            tally.sent.fetch_add(1, Ordering::Relaxed);
            let scope = if sent % DEAR == 0 { Scope::Recursive } else { Scope::Local };
            on_their_way.push(caller.ask(scope));
        }
    }
}

/// What an honest caller saw.
#[derive(Debug, Default)]
pub(super) struct Honest {
    pub(super) asked: u32,
    pub(super) answered: u32,
    pub(super) latencies: Vec<Duration>,
}

/// Asks so often, cheaply, from its own thread, until `over`.
pub(super) fn honest(url: &str, every: Duration, over: &AtomicBool) -> Result<Honest> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let caller = Caller::connect(url).await.context("connect the honest caller")?;
        let mut seen = Honest::default();
        let mut ticks = tokio::time::interval(every);
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let asked = Instant::now();
            let outcome = caller.ask(Scope::Local).await;
            seen.asked += 1;
            seen.answered += u32::from(outcome.is_answer());
            seen.latencies.push(asked.elapsed());
        }
        Ok(seen)
    })
}
