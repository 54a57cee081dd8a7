//! What a server goes by, replaced while it answers.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::access::Access;
use crate::ca::CaBundle;

/// Who is let in, and what `/cacerts` serves. Clones share it: what is [replaced](Self::replace) holds from the next request
/// on, also of connections that are open.
#[derive(Clone, Debug)]
pub struct Offer(Arc<RwLock<Arc<Offered>>>);

#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) access: Access,
    pub(crate) ca: Option<Bytes>,
}

impl Offered {
    fn new(access: Access, ca: Option<&CaBundle>) -> Arc<Self> {
        Arc::new(Self { access, ca: ca.map(|ca| Bytes::copy_from_slice(ca.pem())) })
    }
}

impl Offer {
    /// Lets in whom `access` lets in, and with `ca` serves it.
    #[must_use]
    pub fn new(access: Access, ca: Option<&CaBundle>) -> Self {
        Self(Arc::new(RwLock::new(Offered::new(access, ca))))
    }

    /// Replaces both at once.
    pub fn replace(&self, access: Access, ca: Option<&CaBundle>) {
        let new = Offered::new(access, ca);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    pub(crate) fn now(&self) -> Arc<Offered> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
