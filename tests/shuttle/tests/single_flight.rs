//! Calls of one key by several threads, some of which give up.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod schedules;

use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::num::NonZeroUsize;
use std::task::{Context, Waker};

use schedules::in_many_schedules;
use shuttle::future::{block_on, yield_now};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use unring_shuttle::{FlightLimits, FlightRefused, SingleFlight};

type Hasher = BuildHasherDefault<DefaultHasher>;

struct Flights {
    flights: SingleFlight<u8, usize, Hasher>,
    working: AtomicUsize,
    results: AtomicUsize,
}

/// One who works, which it stops doing also when it is dropped.
struct Worker<'a>(&'a AtomicUsize);

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Flights {
    fn new(callers_per_key: usize) -> Arc<Self> {
        let limits = FlightLimits {
            keys: NonZeroUsize::MIN,
            callers_per_key: NonZeroUsize::new(callers_per_key).unwrap(),
        };
        Arc::new(Self {
            flights: SingleFlight::with_hasher(limits, Hasher::default()),
            working: AtomicUsize::new(0),
            results: AtomicUsize::new(0),
        })
    }

    /// A call whose results are numbered.
    async fn run(&self) -> Result<usize, FlightRefused> {
        let work = || async {
            assert_eq!(self.working.fetch_add(1, Ordering::SeqCst), 0, "two work at a time");
            let worker = Worker(&self.working);
            yield_now().await;
            drop(worker);
            self.results.fetch_add(1, Ordering::SeqCst)
        };
        self.flights.run(7, work).await
    }

    /// A call that is polled so often and then dropped.
    fn give_up(&self, polls: usize) {
        let mut call = std::pin::pin!(self.run());
        for _ in 0..polls {
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
        }
    }
}

#[test]
fn nobody_is_left_asleep_when_others_give_up() {
    in_many_schedules(|| {
        let flights = Flights::new(4);
        let mut threads = Vec::new();
        for polls in [1, 2] {
            let flights = Arc::clone(&flights);
            threads.push(thread::spawn(move || flights.give_up(polls)));
        }
        for _ in 0..2 {
            let flights = Arc::clone(&flights);
            threads.push(thread::spawn(move || {
                let result = block_on(flights.run()).unwrap();
                assert!(result < flights.results.load(Ordering::SeqCst));
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(flights.flights.keys(), 0, "a key leaked");
    });
}

#[test]
fn who_calls_again_gets_a_new_result() {
    in_many_schedules(|| {
        let flights = Flights::new(2);
        let other = Arc::clone(&flights);
        let thread = thread::spawn(move || {
            let first = block_on(other.run()).unwrap();
            assert!(block_on(other.run()).unwrap() > first);
        });
        let first = block_on(flights.run()).unwrap();
        assert!(block_on(flights.run()).unwrap() > first);
        thread.join().unwrap();
        assert_eq!(flights.flights.keys(), 0, "a key leaked");
    });
}

#[test]
fn callers_are_bounded_and_their_places_come_back() {
    in_many_schedules(|| {
        let flights = Flights::new(1);
        let other = Arc::clone(&flights);
        let thread = thread::spawn(move || block_on(other.run()));
        let mine = block_on(flights.run());
        let outcomes = [mine, thread.join().unwrap()];
        let refused = Err(FlightRefused::Callers { limit: 1 });
        assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
        assert!(outcomes.iter().all(|o| o.is_ok() || *o == refused), "{outcomes:?}");
        assert!(block_on(flights.run()).is_ok());
        assert_eq!(flights.flights.keys(), 0, "a key leaked");
    });
}
