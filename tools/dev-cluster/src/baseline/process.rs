//! One naive node as a process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::Cost;
use crate::child::{ChildGuard, Exit};
use crate::http;
use crate::logs;
use crate::ports::NodePorts;
use crate::usage::{self, Usage};

/// How long it may take to tell of itself while it storms.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A naive node. Dropping it kills the process; the process also ends when this one does, by its closed standard input.
#[derive(Debug)]
pub(crate) struct NaiveProcess {
    name: String,
    ports: NodePorts,
    log: PathBuf,
    child: ChildGuard,
    /// What it said and used last; it may be too busy to answer, or gone.
    status: Status,
    usage: Option<Usage>,
}

/// What it says at `/statusz`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    sent: u64,
    limits_met: Vec<String>,
}

impl NaiveProcess {
    /// Starts it with these arguments.
    ///
    /// # Errors
    /// Its log cannot be written, or the program not run.
    pub(crate) fn start(
        dir: &Path,
        name: &str,
        ports: NodePorts,
        mut command: Command,
    ) -> io::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        let child = ChildGuard::spawn(&mut command)?;
        let name = name.to_owned();
        Ok(Self { name, ports, log, child, status: Status::default(), usage: None })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn ports(&self) -> &NodePorts {
        &self.ports
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn exited(&mut self) -> Option<Exit> {
        self.child.exited()
    }

    pub(crate) fn is_ready(&self) -> bool {
        let answer = http::get(self.ports.admin, "/readyz", ANSWER_TIMEOUT);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Asks it what it has done; the calls that it has sent so far.
    pub(crate) fn refresh(&mut self) -> u64 {
        let page = http::get(self.ports.admin, "/statusz", ANSWER_TIMEOUT).ok();
        if let Some(status) = page.and_then(|page| serde_json::from_slice(&page.body).ok()) {
            self.status = status;
        }
        self.usage = usage::read(self.child.pid()).or(self.usage);
        self.status.sent
    }

    /// What it had cost when it was asked last, and the lines of its log now.
    pub(crate) fn cost(&self) -> Cost {
        let used = |used: fn(&Usage) -> f64| self.usage.as_ref().map_or(0.0, used);
        Cost {
            messages: self.status.sent,
            cpu_seconds: used(|usage| usage.cpu_seconds),
            log_lines: logs::summarise(&self.log).map_or(0, |log| log.lines),
            peak_rss_mib: used(|usage| usage.peak_rss_mib),
            capped: !self.status.limits_met.is_empty(),
        }
    }
}
