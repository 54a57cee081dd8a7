//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use naive_node::{Config, GIVE_UP_AFTER, Limits, PeerAddress, TlsFiles};

/// The most calls in flight of a run, over all its processes.
const MAX_IN_FLIGHT: usize = 2_000;

/// The most calls of a run, over all its processes.
const MAX_MESSAGES: u64 = 100_000;

/// The longest life of a process.
const MAX_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Peer discovery as K3s did it before it was fixed, to compare with. It storms in a ring of joins.
#[derive(Debug, Parser)]
#[command(name = "naive-node")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until standard input ends
    Serve(Box<Serve>),
    /// Write a CA and a key pair for nodes on loopback
    Certs {
        /// The folder
        #[arg(long)]
        out: PathBuf,
    },
    /// Ask servers for addresses, all at once
    Get(Get),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Its name in the node list
    #[arg(long)]
    name: String,
    /// Where to serve /v1-k3s/p2p, on loopback
    #[arg(long)]
    listen: SocketAddr,
    /// Where to tell of itself (/readyz, /statusz) in plaintext, on loopback
    #[arg(long)]
    admin: SocketAddr,
    /// Its own address, with its peer id
    #[arg(long)]
    address: PeerAddress,
    /// A server that it joins, on loopback; may be repeated
    #[arg(long = "server", value_name = "IP:PORT")]
    servers: Vec<SocketAddr>,
    /// The node list: a name and an address per line; without it the list is empty
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// The folder that `certs` wrote
    #[arg(long, value_name = "DIR")]
    tls: PathBuf,
    /// What a caller without a client certificate must know
    #[arg(long)]
    token: Option<String>,
    /// As fixed: so many requests at once, the first source with an address, a cached node list
    #[arg(long)]
    cap: Option<NonZeroUsize>,
    /// Calls in flight
    #[arg(long, default_value_t = MAX_IN_FLIGHT, value_parser = at_most_in_flight)]
    max_in_flight: usize,
    /// Calls in all
    #[arg(long, default_value_t = MAX_MESSAGES, value_parser = clap::value_parser!(u64).range(..=MAX_MESSAGES))]
    max_messages: u64,
    /// Do not bootstrap at the start
    #[arg(long)]
    no_bootstrap: bool,
    /// The end, whatever happens; at most 15min
    #[arg(long, default_value = "15min", value_parser = lifetime)]
    pub(crate) lifetime: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The folder that `certs` wrote
    #[arg(long, value_name = "DIR")]
    pub(crate) tls: PathBuf,
    /// Whom to ask
    #[arg(required = true, value_name = "IP:PORT")]
    pub(crate) servers: Vec<SocketAddr>,
}

impl Serve {
    pub(crate) fn config(&self) -> Config {
        Config {
            name: self.name.clone(),
            listen: self.listen,
            admin: self.admin,
            address: self.address.clone(),
            servers: self.servers.clone(),
            nodes: self.nodes.clone(),
            tls: TlsFiles::new(&self.tls),
            token: self.token.clone(),
            cap: self.cap,
            limits: Limits { max_in_flight: self.max_in_flight, max_messages: self.max_messages },
            give_up_after: GIVE_UP_AFTER,
            bootstrap: !self.no_bootstrap,
            quiet: false,
        }
    }
}

fn at_most_in_flight(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|err: std::num::ParseIntError| err.to_string())?;
    match number {
        1..=MAX_IN_FLIGHT => Ok(number),
        _ => Err(format!("expected 1 to {MAX_IN_FLIGHT}")),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|err| err.to_string())?;
    if lifetime <= MAX_LIFETIME { Ok(lifetime) } else { Err("expected at most 15min".into()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Args, Command, MAX_LIFETIME};

    fn serve(more: &[&str]) -> Result<super::Serve, String> {
        let words = [
            "naive-node",
            "serve",
            "--name",
            "a",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--tls",
            "t",
            "--address",
            "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
        ];
        let args = Args::try_parse_from(words.iter().chain(more)).map_err(|err| err.to_string())?;
        let Command::Serve(serve) = args.command else { panic!("another command") };
        Ok(*serve)
    }

    #[test]
    fn without_limits_it_has_those_of_a_run() {
        let serve = serve(&[]).unwrap();
        assert_eq!(serve.lifetime, MAX_LIFETIME);
        let config = serve.config();
        assert_eq!((config.limits.max_in_flight, config.limits.max_messages), (2_000, 100_000));
        assert!(config.bootstrap && config.cap.is_none());
    }

    #[test]
    fn nobody_gets_more_than_a_run_may_have() {
        for more in [
            ["--max-in-flight", "2001"],
            ["--max-in-flight", "0"],
            ["--max-messages", "100001"],
            ["--lifetime", "16min"],
            ["--cap", "0"],
        ] {
            assert!(serve(&more).unwrap_err().contains("invalid value"), "{more:?}");
        }
    }
}
