//! Addresses from the configuration.

use futures::future::{self, BoxFuture};
use unring_bootstrap::Candidate;

use super::Ask;

/// Always the same addresses.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) Vec<Candidate>);

impl Ask for Fixed {
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>> {
        Box::pin(future::ready(Ok(self.0.clone())))
    }
}
