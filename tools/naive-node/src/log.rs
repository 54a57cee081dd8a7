//! Lines as logrus writes them.

use std::error::Error;
use std::io::{self, Write as _};
use std::sync::Arc;

use crate::limits::{Ledger, count};

/// The longest message that is written. K3s cuts none; in a large cluster each line names every node, and there may be
/// a hundred thousand of them.
const MAX_MESSAGE_CHARS: usize = 4096;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log {
    ledger: Arc<Ledger>,
    quiet: bool,
}

impl Log {
    /// A log on standard error; a quiet one only counts.
    pub(crate) fn new(ledger: Arc<Ledger>, quiet: bool) -> Self {
        Self { ledger, quiet }
    }

    pub(crate) fn debug(&self, message: &str) {
        self.line("debug", message);
    }

    pub(crate) fn info(&self, message: &str) {
        self.line("info", message);
    }

    fn line(&self, level: &str, message: &str) {
        count(&self.ledger.log_lines);
        if !self.quiet {
            let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
            let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
            let line = format!("time=\"{now}\" level={level} msg={message:?}\n");
            // Nobody is left to tell.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
