//! Calls polled by hand, only when they were woken: a wake-up that is lost leaves a call unfinished.

mod schedules;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::{FlightLimits, FlightRefused, SingleFlight};

pub(super) type Flights = SingleFlight<u8, usize>;
type Outcome = Result<usize, FlightRefused>;

pub(super) fn flights(keys: usize, callers_per_key: usize) -> Flights {
    SingleFlight::new(FlightLimits {
        keys: NonZeroUsize::new(keys).unwrap(),
        callers_per_key: NonZeroUsize::new(callers_per_key).unwrap(),
    })
}

#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work that ends when it is told to, and says whether it was begun and is still there.
#[derive(Debug, Default)]
struct Work {
    begun: Cell<bool>,
    dropped: Cell<bool>,
    finished: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

struct Dropped(Rc<Work>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

/// One call of `run`, whose result is its number if it leads.
pub(super) struct Call<'a> {
    future: Option<Pin<Box<dyn Future<Output = Outcome> + 'a>>>,
    woken: Arc<Flag>,
    work: Rc<Work>,
    pub(super) outcome: Option<Outcome>,
}

impl<'a> Call<'a> {
    pub(super) fn new(flights: &'a Flights, key: u8, number: usize) -> Self {
        let work = Rc::new(Work::default());
        let inside = Rc::clone(&work);
        let future = flights.run(key, move || async move {
            inside.begun.set(true);
            let _dropped = Dropped(Rc::clone(&inside));
            poll_fn(|context| match inside.finished.get() {
                true => Poll::Ready(()),
                false => {
                    *inside.waker.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            })
            .await;
            number
        });
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self { future: Some(Box::pin(future)), woken, work, outcome: None }
    }

    /// Polls if it was woken; says whether it was.
    pub(super) fn poll_if_woken(&mut self) -> bool {
        let Some(future) = &mut self.future else { return false };
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.outcome = Some(outcome);
            self.future = None;
        }
        true
    }

    pub(super) fn works(&self) -> bool {
        self.work.begun.get() && !self.work.dropped.get()
    }

    pub(super) fn is_open(&self) -> bool {
        self.future.is_some()
    }

    /// Lets the work end, now or once it is begun.
    pub(super) fn finish(&self) {
        self.work.finished.set(true);
        if let Some(waker) = self.work.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(super) fn cancel(&mut self) {
        self.future = None;
    }
}

/// Polls whoever was woken until nobody is.
pub(super) fn settle(calls: &mut [Call<'_>]) {
    while calls.iter_mut().map(Call::poll_if_woken).fold(false, |any, polled| any | polled) {}
}

fn started<'a>(flights: &'a Flights, keys: &[u8]) -> Vec<Call<'a>> {
    let mut calls: Vec<_> =
        keys.iter().enumerate().map(|(number, key)| Call::new(flights, *key, number)).collect();
    settle(&mut calls);
    calls
}

#[test]
fn one_call_works_and_all_get_its_result() {
    let flights = flights(4, 4);
    let mut calls = started(&flights, &[7, 7, 7, 8]);
    assert_eq!(calls.iter().map(Call::works).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(flights.keys(), 2);
    calls[0].finish();
    settle(&mut calls);
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Some(Ok(0)), Some(Ok(0)), Some(Ok(0)), None]);
    assert_eq!(flights.keys(), 1);
}

#[test]
fn nothing_is_cached() {
    let flights = flights(4, 4);
    let mut calls = started(&flights, &[7, 7]);
    calls[0].finish();
    // Once the leader has returned, a new call works itself, though a follower has yet to pick its result up.
    calls[0].poll_if_woken();
    calls.push(Call::new(&flights, 7, 2));
    calls[2].poll_if_woken();
    settle(&mut calls);
    assert_eq!((calls[0].outcome, calls[1].outcome), (Some(Ok(0)), Some(Ok(0))));
    assert!(calls[2].works());
}

#[test]
fn a_dropped_leader_is_followed_by_one_who_waits() {
    let flights = flights(1, 4);
    let mut calls = started(&flights, &[7, 7, 7]);
    calls[0].cancel();
    // The first to be woken goes too, before it is polled.
    calls[1].cancel();
    settle(&mut calls);
    assert!(calls[2].works());
    calls[2].finish();
    settle(&mut calls);
    assert_eq!(calls[2].outcome, Some(Ok(2)));
    assert_eq!(flights.keys(), 0);
}

#[test]
fn a_leader_that_panics_is_followed_too() {
    let flights = flights(1, 4);
    let mut led = Box::pin(flights.run(7, || async { panic!("a bug in the work") }));
    let mut calls: Vec<Call<'_>> = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = led.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }));
    assert!(panicked.is_err());
    calls.extend(started(&flights, &[7]));
    calls[0].finish();
    settle(&mut calls);
    assert_eq!(calls[0].outcome, Some(Ok(0)));
}

#[test]
fn who_leaves_leaves_nothing() {
    let flights = flights(1, 2);
    for _ in 0..3 {
        let mut calls = started(&flights, &[7, 7]);
        calls[1].cancel();
        assert_eq!(Arc::strong_count(&calls[1].woken), 1, "a waker is kept");
        // The follower's place is free again.
        let mut again = started(&flights, &[7]);
        assert!(again[0].is_open());
        again[0].cancel();
        assert_eq!(flights.keys(), 1);
        calls[0].cancel();
        assert_eq!(flights.keys(), 0);
    }
    drop(flights.run(7, || async { 1 }));
    assert_eq!(flights.keys(), 0, "never polled");
}

#[test]
fn a_call_that_moves_to_another_task_is_woken_there() {
    let flights = flights(1, 2);
    let mut calls = started(&flights, &[7, 7]);
    let moved = Arc::new(Flag(AtomicBool::new(true)));
    let before = std::mem::replace(&mut calls[1].woken, Arc::clone(&moved));
    calls[1].poll_if_woken();
    calls[0].cancel();
    assert!(moved.0.load(Ordering::Relaxed) && !before.0.load(Ordering::Relaxed));
    assert_eq!(Arc::strong_count(&before), 1, "the old waker is kept");
}

#[test]
fn keys_and_callers_are_bounded() {
    let flights = flights(2, 3);
    let mut calls = started(&flights, &[1, 1, 1, 1, 2, 3]);
    assert_eq!(calls[3].outcome, Some(Err(FlightRefused::Callers { limit: 3 })));
    assert_eq!(calls[5].outcome, Some(Err(FlightRefused::Keys { limit: 2 })));
    assert_eq!(flights.keys(), 2);
    calls[4].cancel();
    let more = started(&flights, &[3, 4]);
    assert!(more[0].works());
    assert_eq!(more[1].outcome, Some(Err(FlightRefused::Keys { limit: 2 })));
    assert_eq!(
        FlightRefused::Keys { limit: 2 }.to_string(),
        "2 keys are in flight, as many as may be"
    );
}

/// The trap of the type's documentation. Each node fetches from the next for itself; the one asked answers the fetch either
/// by joining its own, as `joins` says, or from what it knows.
fn answered(nodes: usize, joins: bool) -> usize {
    let rings: Vec<_> = (0..nodes).map(|_| flights(1, 4)).collect();
    let fetches: Vec<_> = (0..nodes).map(|node| Call::new(&rings[node], 0, node)).collect();
    let mut fetches = fetches;
    settle(&mut fetches);
    let mut handlers: Vec<_> =
        (0..nodes).filter(|_| joins).map(|node| Call::new(&rings[node], 0, node)).collect();
    settle(&mut handlers);
    for round in 0..=nodes {
        for node in 0..nodes {
            let answers = !joins || handlers[(node + 1) % nodes].outcome.is_some();
            if answers {
                fetches[node].finish();
            }
        }
        settle(&mut fetches);
        settle(&mut handlers);
        assert!(round < nodes || fetches.iter().all(|f| f.is_open() == fetches[0].is_open()));
    }
    fetches.iter().filter(|fetch| fetch.outcome.is_some()).count()
}

#[test]
fn a_ring_whose_nodes_join_their_own_fetch_waits_for_ever() {
    assert_eq!(answered(3, true), 0);
    assert_eq!(answered(3, false), 3);
}
