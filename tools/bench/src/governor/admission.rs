//! One admission, beside a bare keyed `governor` on the same clock and with the same caller ids.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Instant;

use anyhow::{Context as _, Result};
use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use unring_rate_governor::{Config, CpuBudget, Governor, Priority, Rate};

use crate::{Contender, Report, Run};

/// Rounds of all contenders.
const ROUNDS: usize = 9;

/// Callers that take turns; a node of a big cluster has as many.
const CALLERS: usize = 1000;

/// As long as a peer id.
type Caller = [u8; 40];

type Bare = RateLimiter<Caller, DashMapStateStore<Caller>, MonotonicClock, NoOpMiddleware<Instant>>;

pub(super) fn run(run: &Run, report: &mut Report) -> Result<()> {
    // A million a second and at once admits nearly all; one a second nearly none.
    for (what, rate, burst) in [("admitted", 1_000_000, 1_000_000), ("refused", 1, 10)] {
        let ours = ours(rate, burst)?;
        let bare = bare(rate, burst)?;
        let (mut one, mut other) = (callers(), callers());
        let contenders = vec![
            Contender::new("unring", || ours.check(one(), Priority::Exchange, NonZeroU32::MIN)),
            Contender::new("governor", || bare.check_key(other()).is_ok()),
        ];
        let measured = run.rounds(&format!("governor-{what}"), contenders, ROUNDS)?;
        let spread = measured.ratio("unring", "governor")?;
        report.value(&format!("check_{what}"), measured.median("unring")?, "ns");
        report.value(&format!("bare_{what}"), measured.median("governor")?, "ns");
        report.value(&format!("check_{what}_ratio"), spread.ratio, "");
        report.target(
            format!("check against a bare keyed governor, {what}"),
            "<= 2x",
            format!("{:.2}x ({:.2} to {:.2})", spread.ratio, spread.least, spread.greatest),
            spread.ratio <= 2.0,
        );
    }
    Ok(())
}

fn ours(rate: u32, burst: u32) -> Result<Governor<Caller>> {
    let rate = Rate::new(rate, burst)?;
    let max_callers = NonZeroUsize::new(4096).context("not zero")?;
    Ok(Governor::new(Config {
        total: rate,
        per_caller: rate,
        max_callers,
        budget: CpuBudget::DEFAULT,
    }))
}

fn bare(rate: u32, burst: u32) -> Result<Bare> {
    let number = |value| NonZeroU32::new(value).context("not zero");
    let quota = Quota::per_second(number(rate)?).allow_burst(number(burst)?);
    Ok(RateLimiter::new(quota, DashMapStateStore::default(), MonotonicClock))
}

/// The next caller at each call, in an order that no cache foresees.
fn callers() -> impl FnMut() -> &'static Caller {
    let callers: Vec<Caller> = (0..CALLERS as u64)
        .map(|caller| {
            let mut id = [0x12; 40];
            id[..8].copy_from_slice(&caller.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            id
        })
        .collect();
    let callers: &'static [Caller] = callers.leak();
    let mut turn = 0;
    move || {
        turn = (turn + 379) % CALLERS;
        &callers[turn]
    }
}
