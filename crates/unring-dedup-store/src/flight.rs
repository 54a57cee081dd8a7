//! One piece of work in flight: who leads it, who waits for it, and what came of it. No lock is held while another is
//! taken, nor while a waker is called or dropped.

use std::task::{Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};

/// What is shared by all who wait for one piece of work.
#[derive(Debug)]
pub(crate) struct Flight<V>(Mutex<Crew<V>>);

#[derive(Debug)]
struct Crew<V> {
    led: bool,
    landed: Option<Arc<V>>,
    waiting: Vec<(u64, Waker)>,
    next_place: u64,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Turn<V> {
    /// The caller's: nobody leads.
    Lead,
    /// Nobody's any more: the work is done.
    Landed(Arc<V>),
}

impl<V> Flight<V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Crew { led: false, landed: None, waiting: Vec::new(), next_place: 0 }))
    }

    /// Takes the lead, or the result, or waits. `place` is where the caller waits already, and is to be given back with [`leave`](Self::leave).
    pub(crate) fn poll_turn(&self, place: &mut Option<u64>, waker: &Waker) -> Poll<Turn<V>> {
        let mut waker = waker.clone();
        let mut crew = self.crew();
        if let Some(value) = &crew.landed {
            return Poll::Ready(Turn::Landed(Arc::clone(value)));
        }
        if !crew.led {
            crew.led = true;
            return Poll::Ready(Turn::Lead);
        }
        match crew.waiting.iter_mut().find(|(number, _)| Some(*number) == *place) {
            Some((_, old)) => std::mem::swap(old, &mut waker),
            None => {
                let number = crew.next_place;
                crew.next_place += 1;
                *place = Some(number);
                crew.waiting.push((number, waker));
                return Poll::Pending;
            }
        }
        // What is dropped with `waker` is somebody else's code.
        drop(crew);
        Poll::Pending
    }

    /// Gives a place among the waiting back.
    pub(crate) fn leave(&self, place: u64) {
        let mut crew = self.crew();
        let position = crew.waiting.iter().position(|(number, _)| *number == place);
        let left = position.map(|position| crew.waiting.swap_remove(position));
        drop(crew);
        drop(left);
    }

    /// Ends the flight with a result.
    pub(crate) fn land(&self, value: Arc<V>) {
        let mut crew = self.crew();
        crew.landed = Some(value);
        let waiting = std::mem::take(&mut crew.waiting);
        drop(crew);
        wake(waiting);
    }

    /// Gives up the lead. All who wait are woken, not one: the one might be dropped before it runs.
    pub(crate) fn abandon(&self) {
        let mut crew = self.crew();
        crew.led = false;
        let waiting = std::mem::take(&mut crew.waiting);
        drop(crew);
        wake(waiting);
    }

    /// Nothing that can panic runs under this lock, so a poisoned one is as good.
    fn crew(&self) -> MutexGuard<'_, Crew<V>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn wake(waiting: Vec<(u64, Waker)>) {
    for (_, waker) in waiting {
        waker.wake();
    }
}
