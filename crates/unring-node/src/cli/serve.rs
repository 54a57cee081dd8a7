//! `unring serve`: configuration before ports, ports before work, and a drain at the end.

use std::env::VarError;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use tokio::signal::unix::{SignalKind, signal};
use unring_peer::InvalidToken;
use zeroize::Zeroizing;

use super::{EXIT_FAILURE, EXIT_USAGE, print_error};
use crate::config::{Config, ConfigError, KEYS, Settings, TOKEN_VARIABLE};
use crate::errors::chain;
use crate::log::{self, NODE};
use crate::node::{Node, Reload};

pub(super) fn run(args: &ArgMatches) -> ExitCode {
    let source = Sources::of(args);
    let config = match source.read() {
        Ok(config) => config,
        Err(error) => {
            print_error(&chain(&error));
            return EXIT_USAGE.into();
        }
    };
    let counters = match log::init(&config.log) {
        Ok(counters) => counters,
        Err(error) => {
            print_error(&chain(&error));
            return EXIT_FAILURE.into();
        }
    };
    let started = Node::build(config, Arc::clone(&counters))
        .map_err(|error| chain(&error))
        .and_then(|node| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("cannot start the main runtime: {error}"))?;
            runtime.block_on(until_stopped(node, source))
        });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(target: NODE, event = "failed", "{error}");
            EXIT_FAILURE.into()
        }
    }
}

/// Runs the node until SIGTERM or SIGINT; SIGHUP reads the configuration again.
async fn until_stopped(node: Node, source: Sources) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let reload = node.reload();
    let stop = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => reread(&source, &reload),
            }
        }
    };
    node.run(stop).await.map_err(|error| chain(&error))
}

fn reread(source: &Sources, reload: &Reload) {
    match source.read() {
        Ok(config) => reload.apply(config),
        Err(error) => tracing::error!(
            target: NODE,
            error = chain(&error),
            "the configuration is not accepted; the node goes on with the one it has"
        ),
    }
}

/// Where the configuration comes from, so that it can be read again.
struct Sources {
    file: Option<PathBuf>,
    flags: Vec<(&'static crate::config::Key, Vec<String>)>,
}

impl Sources {
    fn of(args: &ArgMatches) -> Self {
        let flags = KEYS.iter().filter_map(|key| {
            let values = args.get_many::<String>(key.name)?.cloned().collect();
            Some((key, values))
        });
        Self { file: args.get_one::<PathBuf>("config").cloned(), flags: flags.collect() }
    }

    fn read(&self) -> Result<Config, ConfigError> {
        let mut settings = Settings::default();
        if let Some(file) = &self.file {
            settings.add_file(file)?;
        }
        // One that is no text is a bad value, which is told; it is not as if it were not there.
        let lossy = |value: OsString| value.to_string_lossy().into_owned();
        settings.add_variables(|name| std::env::var_os(name).map(lossy));
        for (key, values) in &self.flags {
            settings.add_flag(key, values.clone());
        }
        let config = Config::read(&settings, hostname())?;
        match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => config.with_tokens(&Zeroizing::new(token)),
            Err(VarError::NotPresent) => Ok(config),
            // Without its token the node would let everybody in.
            Err(VarError::NotUnicode(_)) => Err(ConfigError::Token(InvalidToken::Character)),
        }
    }
}

fn hostname() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?.to_owned();
    Some(name).filter(|name| !name.is_empty())
}
