//! Tests that take minutes of every core.

use std::env;
use std::io::Write as _;

/// Whether tests run that nobody wants beside others: `UNRING_E2E_FULL=1`. If not, says that `what` is left out.
pub fn runs_in_full(what: &str) -> bool {
    if env::var_os("UNRING_E2E_FULL").is_some_and(|value| value == "1") {
        return true;
    }
    // Not println: what a passing test prints is not shown. Where nothing can be written, nothing is said.
    drop(writeln!(std::io::stderr(), "SKIPPED: {what}; UNRING_E2E_FULL=1 runs it"));
    false
}
