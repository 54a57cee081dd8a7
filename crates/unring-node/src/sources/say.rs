//! The lines about sources, and about being alone.

use unring_bootstrap::{Company, Outcome, SourceView};

use crate::log::NODE;

/// One line about how a source's last attempt ended; the table bounds how many.
pub(super) fn source(view: &SourceView) {
    let Some(last) = &view.last else { return };
    let (kind, source, outcome) = (view.kind.name(), view.name.as_str(), last.outcome.name());
    let (addresses, reached) = (last.addresses, last.reached);
    match last.outcome {
        Outcome::Ok => tracing::info!(
            target: NODE, event = "source_ok", kind, source, addresses, reached,
            "a source of first peers told of one that is there"
        ),
        Outcome::OnlySelf | Outcome::Empty => tracing::info!(
            target: NODE, event = "source_empty", kind, source, outcome,
            "a source of first peers knows of nobody but this node"
        ),
        Outcome::Unreachable | Outcome::Failed | Outcome::TimedOut => tracing::warn!(
            target: NODE, event = "source_failed", kind, source, outcome, addresses,
            error = last.error,
            "a source of first peers brings nobody; it is tried again, and /statusz shows how that goes"
        ),
    }
}

pub(super) fn company(company: Company, sources: usize, upstreams: usize) {
    match company {
        Company::Alone => tracing::info!(
            target: NODE, event = "alone", sources, upstreams,
            "nobody else is there: this node is ready and alone until another one joins it or is found"
        ),
        Company::NoLonger => tracing::info!(
            target: NODE, event = "not_alone",
            "this node is not alone any more"
        ),
    }
}
