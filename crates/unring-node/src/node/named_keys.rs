//! Keys that the configuration names: advertised for as long as it does.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use unring_routing::{AdvertiseError, Key, Router, WithdrawError};

/// Of what a node advertises, what its configuration named last.
#[derive(Debug, Default)]
pub(crate) struct NamedKeys(Mutex<BTreeSet<Key>>);

impl NamedKeys {
    /// Advertises `names`, and no longer what was named before and is not among them.
    ///
    /// # Errors
    /// The router holds as many keys as it may; nothing has changed then.
    pub(crate) fn take_over(
        &self,
        router: &impl Router,
        names: &[String],
    ) -> Result<(), AdvertiseError> {
        let now: BTreeSet<Key> = names.iter().map(|name| Key::new(name)).collect();
        let mut named = self.0.lock();
        let new: Vec<Key> = now.difference(&named).copied().collect();
        router.advertise(&new)?;
        let gone: Vec<Key> = named.difference(&now).copied().collect();
        *named = now;
        router.withdraw(&gone).map_err(|WithdrawError::Ended| AdvertiseError::Ended)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::{Duration, Instant};

    use futures::executor::block_on;
    use unring_peer::Identity;
    use unring_routing::{LookupConfig, MemoryConfig, MemoryNetwork};

    use super::*;

    #[test]
    fn what_is_no_longer_named_is_withdrawn_and_nothing_else() {
        let many = NonZeroUsize::new(16).unwrap();
        let lookup = LookupConfig {
            found_for: Duration::ZERO,
            missing_for: Duration::ZERO,
            cached: many,
            keys: many,
            callers_per_key: many,
        };
        let config = MemoryConfig { validity: Duration::ZERO, advertised: 3, lookup };
        let network = MemoryNetwork::new(config, Instant::now());
        let join = |seed| {
            let address = "/ip4/10.0.0.1/tcp/5872".parse().unwrap();
            network.join(Identity::generate().peer_id(), vec![address], seed)
        };
        let (router, other) = (join(1), join(2));
        let found = || {
            network.advance(Duration::from_secs(1));
            let names = ["content", "a", "b", "c", "d"].into_iter();
            let is_found =
                |name: &&str| !block_on(other.lookup(Key::new(name))).unwrap().is_empty();
            names.filter(is_found).collect::<Vec<_>>()
        };
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        router.advertise(&[Key::new("content")]).unwrap();
        let named = NamedKeys::default();
        named.take_over(&router, &names(&["a", "b"])).unwrap();
        assert_eq!(found(), ["content", "a", "b"]);
        let refused = named.take_over(&router, &names(&["c", "d"])).unwrap_err();
        assert!(matches!(refused, AdvertiseError::TooMany { .. }), "{refused}");
        assert_eq!(found(), ["content", "a", "b"]);
        named.take_over(&router, &names(&["a"])).unwrap();
        named.take_over(&router, &names(&["a", "c"])).unwrap();
        assert_eq!(found(), ["content", "a", "c"]);
        named.take_over(&router, &[]).unwrap();
        assert_eq!(found(), ["content"]);
    }
}
