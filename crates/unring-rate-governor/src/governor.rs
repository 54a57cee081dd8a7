//! Admission.

use std::hash::Hash;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use parking_lot::Mutex;

use crate::active::ActiveCallers;
use crate::bucket::{Account, Bucket};
use crate::budget::CpuBudget;
use crate::callers::Callers;
use crate::controller::{Controller, Measurement};
use crate::cost::Charge;
use crate::decision::{Decision, Limited, Priority, WhichLimit};
use crate::rate::Rate;

/// A bound on tracked callers that suits a cluster: 4096 nodes, as many as an address book holds.
pub const DEFAULT_MAX_CALLERS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Retry delays are whole milliseconds, which is what clocks and timers of callers keep.
const RETRY_UNIT: Duration = Duration::from_millis(1);

/// What a governor is built with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The normal rate of all callers together. [`FLOOR`](crate::FLOOR) of it always passes.
    pub total: Rate,
    /// The most that one caller may use. Where callers ask for more than `total` together, each gets an equal part of it.
    pub per_caller: Rate,
    /// Callers with an account of their own. Further ones share a single account, with the rate of one caller, until
    /// [`sweep`](Governor::sweep) has made room.
    pub max_callers: NonZeroUsize,
    /// CPU that the metered threads may use.
    pub budget: CpuBudget,
}

/// What the controller did with a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Control {
    /// What costs are multiplied by from now on, from 1 to [`MAX_SCALE`](crate::MAX_SCALE).
    pub scale: f64,
    /// CPU is above the budget although only the floor is admitted: the floor wins. Shed before admission (stop reading).
    pub floor_wins: bool,
    /// CPU could not be measured for longer than [`SENSOR_GRACE`](crate::SENSOR_GRACE).
    pub blind: bool,
}

/// Decides on each request by GCRA, per caller and in total, at costs that a [`Controller`] scales with measured CPU.
///
/// `K` names a caller; only authenticated ids should get there, since each new one is an account. `C` is the clock:
/// `governor`'s `FakeRelativeClock` in tests. Every method takes `&self` and may be called from any thread.
///
/// The total is shared as follows. Each of `n` callers that ask at present may use `total / n`, at most `per_caller`. The
/// last half of the total's burst is for callers that have used less than half of their own, so a flood (which has used up
/// its own) leaves room for those who ask little. Within that, dear requests meet the limit before cheap ones and are
/// degraded to the cost of one unit, and probes meet it before exchanges.
#[derive(Debug)]
pub struct Governor<K: Hash + Eq, C: Clock = MonotonicClock> {
    callers: Callers<K>,
    all: Account,
    per_caller: Bucket,
    per_caller_critical: Bucket,
    total: Bucket,
    total_critical: Bucket,
    /// The part of the total that one active caller takes up at most.
    part: f64,
    clock: C,
    start: C::Instant,
    active: ActiveCallers,
    controller: Mutex<Controller>,
    /// The controller's scale, as the bits of an `f64`.
    scale: AtomicU64,
    /// Whether any request was limited since the last update.
    limiting: AtomicBool,
    /// Units admitted since the last update.
    admitted: AtomicU64,
}

/// What a decision is made under, the same for all its parts.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// What every cost is multiplied by.
    scale: f64,
    /// What a cost to the caller's own bucket is multiplied by besides.
    share: f64,
    /// Nanoseconds since the governor was made. Read once: a clock costs as much as all the rest of a decision.
    elapsed: u64,
}

/// Whose account a request is charged to.
#[derive(Debug, Clone, Copy)]
struct Payer<'a> {
    account: &'a Account,
    everyone_else: bool,
}

/// The part of the total's burst that may be in use for a request to be admitted, in quarters, before it is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Headroom(u32);

impl Headroom {
    /// `modest`: the caller has used less than half of its own burst. `dear`: it costs more than one unit.
    fn of(modest: bool, priority: Priority, dear: bool) -> Self {
        Self(match (modest, priority, dear) {
            (true, Priority::Probe, _) => 2,
            (true, _, true) => 3,
            (true, _, false) => 4,
            (false, Priority::Probe, _) | (false, _, true) => 1,
            (false, _, false) => 2,
        })
    }
}

impl<K: Hash + Eq + Clone> Governor<K> {
    /// A governor on the system's monotonic clock.
    pub fn new(config: Config) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Governor<K, C> {
    /// A governor on a clock of the caller's choice.
    pub fn with_clock(config: Config, clock: C) -> Self {
        Self {
            callers: Callers::new(config.max_callers),
            all: Account::default(),
            per_caller: Bucket::new(config.per_caller),
            per_caller_critical: Bucket::new(config.per_caller.tenth()),
            total: Bucket::new(config.total),
            total_critical: Bucket::new(config.total.tenth()),
            part: f64::from(config.per_caller.per_second()) / f64::from(config.total.per_second()),
            start: clock.now(),
            clock,
            active: ActiveCallers::default(),
            controller: Mutex::new(Controller::new(config.budget)),
            scale: AtomicU64::new(1.0_f64.to_bits()),
            limiting: AtomicBool::new(false),
            admitted: AtomicU64::new(0),
        }
    }

    /// Decides on a request of `caller` that costs `cost` units, one unit being the cheapest useful answer, and charges it.
    ///
    /// A request of one unit is never degraded. Takes well under a microsecond, and waits for nothing but a
    /// lock on a sixteenth of the table of callers, which others hold for as short a time.
    pub fn check(&self, caller: &K, priority: Priority, cost: NonZeroU32) -> Decision {
        let elapsed = self.elapsed();
        self.callers.with(caller, |account, everyone_else| {
            self.decide(Payer { account, everyone_else }, priority, cost, elapsed)
        })
    }

    fn decide(
        &self,
        payer: Payer<'_>,
        priority: Priority,
        cost: NonZeroU32,
        elapsed: u64,
    ) -> Decision {
        let active = self.active.touch(payer.account, elapsed);
        let load = Load { scale: self.scale(), share: self.share(active), elapsed };
        if priority == Priority::Critical && self.take_critical(payer.account, cost, elapsed) {
            self.count(cost);
            return Decision::Admitted;
        }
        let Err(limited) = self.take(payer, priority, cost, load) else {
            self.count(cost);
            return Decision::Admitted;
        };
        self.limiting.store(true, Ordering::Relaxed);
        if cost > NonZeroU32::MIN && self.take(payer, priority, NonZeroU32::MIN, load).is_ok() {
            self.count(NonZeroU32::MIN);
            return Decision::Degraded(limited);
        }
        Decision::Refused(limited)
    }

    fn elapsed(&self) -> u64 {
        self.clock.now().duration_since(self.start).into()
    }

    fn count(&self, units: NonZeroU32) {
        self.admitted.fetch_add(u64::from(units.get()), Ordering::Relaxed);
    }

    /// The lane of their own that critical requests have, at plain cost.
    fn take_critical(&self, account: &Account, cost: NonZeroU32, elapsed: u64) -> bool {
        let charge = Charge::new(cost, 1.0);
        if self.per_caller_critical.take(&account.critical, charge, elapsed).is_err() {
            return false;
        }
        let admitted = self.total_critical.take(&self.all.critical, charge, elapsed).is_ok();
        if !admitted {
            self.per_caller_critical.refund(&account.critical, charge);
        }
        admitted
    }

    /// Charges the caller and the total, or neither.
    fn take(
        &self,
        payer: Payer<'_>,
        priority: Priority,
        cost: NonZeroU32,
        load: Load,
    ) -> Result<(), Limited> {
        let Load { scale, share, elapsed } = load;
        let tat = &payer.account.main;
        let modest = Bucket::debt(tat, elapsed) <= self.per_caller.burst_time() / 2;
        let Headroom(quarters) = Headroom::of(modest, priority, cost > NonZeroU32::MIN);
        let no_headroom = Bucket::debt(&self.all.main, elapsed)
            .saturating_sub(self.total.burst_time() * quarters / 4);

        let own = Charge::new(cost, scale * share);
        if let Err(wait) = self.per_caller.take(tat, own, elapsed) {
            return Err(Limited {
                limit: if payer.everyone_else {
                    WhichLimit::EveryoneElse
                } else {
                    WhichLimit::Caller
                },
                retry_after: whole(wait.max(no_headroom)),
                rate_per_second: f64::from(self.per_caller.rate().per_second()) / (scale * share),
            });
        }
        let refused = match no_headroom {
            Duration::ZERO => {
                self.total.take(&self.all.main, Charge::new(cost, scale), elapsed).err()
            }
            wait => Some(wait),
        };
        let Some(wait) = refused else { return Ok(()) };
        self.per_caller.refund(tat, own);
        Err(Limited {
            limit: WhichLimit::Total,
            retry_after: whole(wait),
            rate_per_second: f64::from(self.total.rate().per_second()) / scale,
        })
    }

    /// How much dearer a caller's own bucket gets so that `active` callers cannot use more than the total together.
    fn share(&self, active: u32) -> f64 {
        (f64::from(active) * self.part).max(1.0)
    }

    /// Gives the controller the CPU share measured over the last `dt` (`None`: not known) and takes on its new scale. Call it
    /// every [`CONTROL_PERIOD`](crate::CONTROL_PERIOD). A `dt` of zero counts nothing as admitted.
    pub fn update(&self, measured_cpu: Option<f64>, dt: Duration) -> Control {
        let mut controller = self.controller.lock();
        let units = self.admitted.swap(0, Ordering::Relaxed);
        let normal = f64::from(self.total.rate().per_second()) * dt.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "units of one period, far below 2^53")]
        let admitted = if normal > 0.0 { units as f64 / normal } else { 0.0 };
        let limiting = self.limiting.swap(false, Ordering::Relaxed);
        let scale = controller.update(Measurement { cpu: measured_cpu, admitted, limiting }, dt);
        self.scale.store(scale.to_bits(), Ordering::Relaxed);
        Control { scale, floor_wins: controller.floor_wins(), blind: controller.is_blind() }
    }

    /// Changes the CPU budget while running.
    pub fn set_budget(&self, budget: CpuBudget) {
        self.controller.lock().set_budget(budget);
    }

    /// The CPU budget.
    pub fn budget(&self) -> CpuBudget {
        self.controller.lock().budget()
    }

    /// What costs are multiplied by at present, from 1 to [`MAX_SCALE`](crate::MAX_SCALE).
    pub fn scale(&self) -> f64 {
        f64::from_bits(self.scale.load(Ordering::Relaxed))
    }

    /// Forgets the callers whose buckets are full again, which changes no decision, and shrinks the map. Returns how many.
    ///
    /// Call it every few seconds: nothing else makes the map smaller. Linear in the callers tracked.
    pub fn sweep(&self) -> usize {
        let elapsed = self.elapsed();
        self.callers.sweep(|account| {
            Bucket::debt(&account.main, elapsed).is_zero()
                && Bucket::debt(&account.critical, elapsed).is_zero()
        })
    }

    /// Callers with an account of their own, at most `max_callers`.
    pub fn tracked_callers(&self) -> usize {
        self.callers.tracked()
    }

    /// Callers that asked in the last second or the one before, at least 1; those without an account count as one.
    pub fn active_callers(&self) -> u32 {
        self.active.count()
    }
}

/// Rounds up to whole milliseconds, at least one.
fn whole(wait: Duration) -> Duration {
    let millis = wait.as_nanos().div_ceil(RETRY_UNIT.as_nanos()).max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
