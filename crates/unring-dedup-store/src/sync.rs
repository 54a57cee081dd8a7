//! The map, the lock and the atomics that this crate is built on, named in one place so that `tests/shuttle` can compile
//! the same sources on ones whose every step a scheduler controls.

pub(crate) use dashmap::{DashMap, Entry};
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
