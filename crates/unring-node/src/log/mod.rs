//! Log lines: for people on a terminal, JSON otherwise, and never a flood.

mod limit;
mod panics;

use std::io::IsTerminal as _;
use std::sync::Arc;

use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

pub use self::limit::LogCounters;

pub(crate) use self::panics::catch;

use self::limit::Limited;

/// Lines about rings that this node is on. Their number is bounded by law: they pass the limit.
pub const RING: &str = "unring::ring";

/// Lines about the node's own life: start, stop, what is wrong with its surroundings.
pub const NODE: &str = "unring::node";

/// Starts logging to standard error for the rest of the process.
///
/// # Errors
/// When something else has started it already.
pub fn init(log: &Log) -> Result<Arc<LogCounters>, tracing::subscriber::SetGlobalDefaultError> {
    let counters = Arc::new(LogCounters::default());
    // The level was checked when the configuration was read.
    let level = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if human {
        lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed()
    } else {
        lines.json().with_current_span(false).with_span_list(false).boxed()
    };
    let limited = Limited::new(Arc::clone(&counters));
    let subscriber = tracing_subscriber::registry().with(level).with(lines.with_filter(limited));
    tracing::subscriber::set_global_default(subscriber)?;
    panics::log();
    Ok(counters)
}
