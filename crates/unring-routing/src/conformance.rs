//! The rules that every [`Router`] keeps, as a suite that its tests run.
//!
//! Nothing of it panics: a broken rule is a [`Violation`], which the test unwraps.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use thiserror::Error;

use crate::key::Key;
use crate::providers::Providers;
use crate::router::{AdvertiseError, LookupError, Router};

/// A network in which an implementation is tried.
pub trait Harness {
    /// What is tried.
    type Router: Router;

    /// A node more, returned when it is ready and can find what the others advertise.
    fn join(&mut self) -> impl Future<Output = Member<Self::Router>>;

    /// A node more that announces these addresses and advertises `key`; not itself under test.
    fn plant(&mut self, key: Key, addresses: Vec<Multiaddr>) -> impl Future<Output = PeerId>;

    /// Lets time pass for all nodes.
    fn pass(&mut self, time: Duration) -> impl Future<Output = ()>;

    /// The times and bounds under which the suite runs.
    fn expected(&self) -> Expected;

    /// How often this router has asked the network, however many messages that took.
    fn fetches(&self, router: &Self::Router) -> u64;
}

/// A node of a [`Harness`].
#[derive(Debug)]
pub struct Member<R> {
    /// Who it is.
    pub peer: PeerId,
    /// Its router.
    pub router: Arc<R>,
}

/// What a [`Harness`] is configured with.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// What is advertised is found within this time.
    pub found_within: Duration,
    /// What was withdrawn is no longer found after this time, and not sooner forgotten than it must be.
    pub gone_within: Duration,
    /// How long a result serves.
    pub cached_for: Duration,
    /// Keys that one router advertises at most; at least one.
    pub advertised: usize,
}

/// A rule that is broken.
#[derive(Debug, Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// What was seen instead.
    pub detail: String,
}

fn holds(rule: &'static str, holds: bool, detail: impl std::fmt::Debug) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, detail: format!("{detail:?}") }) }
}

async fn look<R: Router>(
    rule: &'static str,
    member: &Member<R>,
    key: Key,
) -> Result<Arc<Providers>, Violation> {
    let found = member.router.lookup(key).await;
    found.map_err(|error: LookupError| Violation { rule, detail: error.to_string() })
}

fn peers(found: &Providers) -> BTreeSet<PeerId> {
    found.all().iter().map(|provider| provider.peer).collect()
}

/// Looks until what is found is `wanted`, for at most `within`.
async fn until<H: Harness>(
    harness: &mut H,
    rule: &'static str,
    (member, key): (&Member<H::Router>, Key),
    wanted: &BTreeSet<PeerId>,
    within: Duration,
) -> Result<Arc<Providers>, Violation> {
    let step = (within / 20).max(Duration::from_millis(1));
    for _ in 0..=20 {
        let found = look(rule, member, key).await?;
        if peers(&found) == *wanted {
            return Ok(found);
        }
        harness.pass(step).await;
    }
    let found = look(rule, member, key).await?;
    holds(rule, peers(&found) == *wanted, (peers(&found), wanted))?;
    Ok(found)
}

/// Runs all rules.
///
/// # Errors
/// The first that is broken.
pub async fn run<H: Harness>(harness: &mut H) -> Result<(), Violation> {
    advertised_is_found_and_self_is_skipped(harness).await?;
    addresses_that_are_not_ip_are_skipped_one_by_one(harness).await?;
    the_least_used_is_chosen_first(harness).await?;
    concurrent_lookups_are_one_and_serve_for_a_time(harness).await?;
    advertising_is_bounded(harness).await?;
    withdrawn_is_forgotten(harness).await
}

/// What one advertises the other finds, with an address; nobody finds itself; nobody finds what nobody has.
///
/// # Errors
/// If that does not hold.
pub async fn advertised_is_found_and_self_is_skipped<H: Harness>(
    harness: &mut H,
) -> Result<(), Violation> {
    let rule = "advertised is found, by others than the provider";
    let (a, b) = (harness.join().await, harness.join().await);
    holds("a member is ready", a.router.ready().is_ready() && b.router.ready().is_ready(), "")?;
    let key = Key::new("conformance: found");
    advertise(&a, &[key])?;
    let within = harness.expected().found_within;
    let found = until(harness, rule, (&b, key), &BTreeSet::from([a.peer]), within).await?;
    let addressed = found.all().iter().all(|provider| !provider.addresses.is_empty());
    holds("a provider has an address", addressed, found)?;
    let own = look(rule, &a, key).await?;
    holds("self is skipped", own.is_empty(), own.all())?;
    advertise(&b, &[key])?;
    until(harness, "self is skipped, the other is not", (&a, key), &[b.peer].into(), within)
        .await?;
    let nothing = look(rule, &a, Key::new("conformance: nobody has it")).await?;
    holds("what nobody has is found nowhere", nothing.is_empty(), nothing.all())
}

/// A provider with a name, a relay and an IP address among its addresses is found with the IP address.
///
/// # Errors
/// If that does not hold.
pub async fn addresses_that_are_not_ip_are_skipped_one_by_one<H: Harness>(
    harness: &mut H,
) -> Result<(), Violation> {
    let rule = "addresses that are not IP are skipped one by one";
    let key = Key::new("conformance: addresses");
    let given = ["/dns4/server1/tcp/5001", "/ip4/192.0.2.7/tcp/5001", "/dnsaddr/example.org"];
    let given = given.iter().filter_map(|text| text.parse().ok()).collect();
    let asker = harness.join().await;
    let peer = harness.plant(key, given).await;
    let within = harness.expected().found_within;
    let found = until(harness, rule, (&asker, key), &BTreeSet::from([peer]), within).await?;
    let ips: Vec<IpAddr> = found.all().iter().flat_map(|p| p.addresses.clone()).collect();
    holds(rule, ips == [IpAddr::from([192, 0, 2, 7])], ips)
}

/// Of three providers the one with the fewest leases comes next; one that failed does not come again.
///
/// # Errors
/// If that does not hold.
pub async fn the_least_used_is_chosen_first<H: Harness>(harness: &mut H) -> Result<(), Violation> {
    let rule = "the least used is chosen first";
    let key = Key::new("conformance: choice");
    let asker = harness.join().await;
    let mut providers = BTreeSet::new();
    let mut members = Vec::new();
    for _ in 0..3 {
        let member = harness.join().await;
        advertise(&member, &[key])?;
        providers.insert(member.peer);
        members.push(member);
    }
    let within = harness.expected().found_within;
    let found = until(harness, rule, (&asker, key), &providers, within).await?;
    let mut leases: Vec<_> = (0..3).filter_map(|_| found.pick()).collect();
    let chosen: BTreeSet<PeerId> = leases.iter().map(|lease| lease.provider().peer).collect();
    holds(rule, chosen == providers, chosen)?;
    let Some(freed) = leases.pop() else { return holds(rule, false, "no lease") };
    let free = freed.provider().peer;
    drop(freed);
    let next = found.pick();
    let next = next.as_ref().map(|lease| lease.provider().peer);
    holds("who became free is next", next == Some(free), (next, free))?;
    let failed = leases.pop().map(|lease| (lease.provider().peer, lease.failed()).0);
    let left = peers(&found);
    let gone = failed.is_some_and(|failed| left.len() == 2 && !left.contains(&failed));
    holds("who failed is not chosen again", gone, (left, failed))
}

/// Look-ups of one key that the suite starts at once.
const LOOKUPS_AT_ONCE: usize = 8;

/// Eight look-ups of one key at once ask the network once, and so do further ones for a time.
///
/// # Errors
/// If that does not hold.
pub async fn concurrent_lookups_are_one_and_serve_for_a_time<H: Harness>(
    harness: &mut H,
) -> Result<(), Violation> {
    let rule = "concurrent look-ups of one key are one";
    let key = Key::new("conformance: one flight");
    let (provider, asker) = (harness.join().await, harness.join().await);
    advertise(&provider, &[key])?;
    let expected = harness.expected();
    // Another one finds out when it can be found: this asker's cache must be empty.
    let other = harness.join().await;
    until(harness, rule, (&other, key), &[provider.peer].into(), expected.found_within).await?;

    let before = harness.fetches(&asker.router);
    let mut waiting: Vec<_> =
        (0..LOOKUPS_AT_ONCE).map(|_| Box::pin(look(rule, &asker, key))).collect();
    let mut results = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|lookup| match lookup.as_mut().poll(context) {
            Poll::Ready(result) => (results.push(result), false).1,
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(waiting);
    let found = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let asked = harness.fetches(&asker.router) - before;
    holds(rule, asked == 1, asked)?;
    for one in &found {
        let same = Arc::ptr_eq(one, &found[0]) && peers(one) == [provider.peer].into();
        holds("all callers of one look-up get the same providers", same, one.all())?;
    }
    let found = look(rule, &asker, key).await?;
    let asked = harness.fetches(&asker.router) - before;
    holds("a result serves for a time", asked == 1 && found.len() == 1, (asked, found.all()))?;
    harness.pass(expected.cached_for).await;
    look(rule, &asker, key).await?;
    let asked = harness.fetches(&asker.router) - before;
    holds("a result serves no longer than its time", asked == 2, asked)
}

/// Keys above the bound are refused whole; withdrawing makes room.
///
/// # Errors
/// If that does not hold.
pub async fn advertising_is_bounded<H: Harness>(harness: &mut H) -> Result<(), Violation> {
    let rule = "advertising is bounded";
    let limit = harness.expected().advertised;
    holds("the suite is run with room for one key at least", limit > 0, limit)?;
    let member = harness.join().await;
    let keys: Vec<Key> = (0..=limit).map(|n| Key::new(&format!("conformance: {n}"))).collect();
    let Some((last, all_but_one)) = keys.split_last() else { return Ok(()) };
    advertise(&member, all_but_one)?;
    let refused = member.router.advertise(&[*last]);
    let want = Err(AdvertiseError::TooMany { new: 1, held: limit, limit });
    holds(rule, refused == want, refused)?;
    let again = member.router.advertise(all_but_one);
    holds("what is advertised already needs no room", again == Ok(()), again)?;
    withdraw(&member, &keys[..1])?;
    let refused = member.router.advertise(&[keys[0], *last]);
    let want = Err(AdvertiseError::TooMany { new: 2, held: limit - 1, limit });
    holds("all are taken or none", refused == want, refused)?;
    advertise(&member, &[*last])?;
    withdraw(&member, &keys)
}

/// What was withdrawn is no longer found once its validity is over; what was not still is, and long after.
///
/// # Errors
/// If that does not hold.
pub async fn withdrawn_is_forgotten<H: Harness>(harness: &mut H) -> Result<(), Violation> {
    let rule = "withdrawn is forgotten";
    let keys = [Key::new("conformance: kept"), Key::new("conformance: withdrawn")];
    let (provider, asker) = (harness.join().await, harness.join().await);
    advertise(&provider, &keys)?;
    let expected = harness.expected();
    let one = BTreeSet::from([provider.peer]);
    for key in keys {
        until(harness, rule, (&asker, key), &one, expected.found_within).await?;
    }
    withdraw(&provider, &keys[1..])?;
    harness.pass(expected.gone_within + expected.cached_for).await;
    let gone = look(rule, &asker, keys[1]).await?;
    holds(rule, gone.is_empty(), gone.all())?;
    let kept = look(rule, &asker, keys[0]).await?;
    holds("what is advertised stays so beyond the validity", peers(&kept) == one, kept.all())
}

fn advertise<R: Router>(member: &Member<R>, keys: &[Key]) -> Result<(), Violation> {
    let taken = member.router.advertise(keys);
    taken.map_err(|error| Violation { rule: "keys are taken", detail: error.to_string() })
}

fn withdraw<R: Router>(member: &Member<R>, keys: &[Key]) -> Result<(), Violation> {
    let done = member.router.withdraw(keys);
    done.map_err(|error| Violation { rule: "keys are withdrawn", detail: error.to_string() })
}
