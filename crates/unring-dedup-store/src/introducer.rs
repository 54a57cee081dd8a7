//! A caller whose account is looked up once.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use crate::account::{SharedAccount, lock};
use crate::outcome::{Outcome, Standing};
use crate::store::DedupStore;
use crate::sync::Arc;
use crate::timestamp::Timestamp;

/// An introducer whose account is open, from [`DedupStore::introducer`]: one for each connection, say.
///
/// It is charged as in [`DedupStore::check_and_insert`], with the same caps, which all handles of one introducer and the calls
/// by name share. What it saves is to hash the name and look it up for each new key.
///
/// While it is open the store keeps the account, even when nothing is charged to it: who opens handles for strangers bounds how
/// many. It keeps the store itself too. When the last handle of an introducer that has nothing alive is dropped, the account
/// is gone at once. Dropping takes one short lock and never waits for anything else.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::sync::Arc;
/// use std::time::Duration;
/// use unring_dedup_store::{Config, DedupStore, Outcome, Standing};
///
/// let seen: Arc<DedupStore<u128, String>> = Arc::new(DedupStore::new(Config {
///     retention: Duration::from_secs(60),
///     capacity: NonZeroUsize::new(10_000).ok_or("zero")?,
///     per_introducer: NonZeroUsize::new(1).ok_or("zero")?,
///     reserved_for_known: 2_000,
/// }));
/// let server2 = seen.introducer("server2".to_owned());
/// let now = Duration::from_secs(5);
/// assert_eq!(server2.check_and_insert(42, Standing::Known, now), Outcome::New);
/// let full = Outcome::IntroducerFull { held: 1, limit: 1 };
/// assert_eq!(server2.check_and_insert(43, Standing::Known, now), full);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Introducer<K, I, C = Duration, S = RandomState>
where
    K: Hash + Eq,
    I: Hash + Eq,
    C: Timestamp,
    S: BuildHasher + Clone,
{
    store: Arc<DedupStore<K, I, C, S>>,
    id: I,
    account: SharedAccount,
}

impl<K, I, C, S> Introducer<K, I, C, S>
where
    K: Hash + Eq,
    I: Hash + Eq,
    C: Timestamp,
    S: BuildHasher + Clone,
{
    pub(crate) fn new(store: Arc<DedupStore<K, I, C, S>>, id: I, account: SharedAccount) -> Self {
        Self { store, id, account }
    }

    /// Says whether `key` was seen, and enters it for this introducer if it was not and there is room, as
    /// [`DedupStore::check_and_insert`].
    pub fn check_and_insert(&self, key: K, standing: Standing, now: C) -> Outcome<C> {
        self.store.check_and_insert_for(key, &self.account, standing, now)
    }

    /// Who is charged.
    pub fn id(&self) -> &I {
        &self.id
    }

    /// The store that it belongs to.
    pub fn store(&self) -> &Arc<DedupStore<K, I, C, S>> {
        &self.store
    }
}

impl<K, I, C, S> Clone for Introducer<K, I, C, S>
where
    K: Hash + Eq,
    I: Hash + Eq + Clone,
    C: Timestamp,
    S: BuildHasher + Clone,
{
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.store), self.id.clone(), Arc::clone(&self.account))
    }
}

impl<K, I, C, S> Drop for Introducer<K, I, C, S>
where
    K: Hash + Eq,
    I: Hash + Eq,
    C: Timestamp,
    S: BuildHasher + Clone,
{
    fn drop(&mut self) {
        self.store.close(&self.id, std::mem::take(&mut self.account));
    }
}

/// Names neither keys nor callers.
impl<K, I, C, S> fmt::Debug for Introducer<K, I, C, S>
where
    K: Hash + Eq,
    I: Hash + Eq,
    C: Timestamp,
    S: BuildHasher + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = lock(&self.account).held();
        f.debug_struct("Introducer").field("held", &held).finish_non_exhaustive()
    }
}
