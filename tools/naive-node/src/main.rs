//! The command: a node, the files of its TLS, and a client that asks nodes.

#![expect(clippy::print_stdout, reason = "a command speaks to whoever runs it")]

mod args;

use std::error::Error;
use std::io::{Write as _, stderr, stdin};
use std::process::{ExitCode, exit};

use args::{Args, Command, Get, Serve};
use clap::Parser as _;
use naive_node::{Caller, Limits, Node, TlsFiles, end_with_parent, raise_open_files};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Open files beside those of calls: listeners, logs, the runtime's own.
const OTHER_FILES: u64 = 256;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve(serve) => run(&serve),
        Command::Certs { out } => TlsFiles::make(&out).map(drop).map_err(Box::from),
        Command::Get(get) => ask(&get),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    let mut text = format!("naive-node: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let _ = writeln!(stderr(), "{text}");
    ExitCode::FAILURE
}

fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    end_with_parent(stdin(), serve.lifetime, || exit(0))?;
    let config = serve.config();
    // Each call in flight is a connection here and may have come with one; handlers outlive their callers.
    raise_open_files(4 * u64::try_from(config.limits.max_in_flight)? + OTHER_FILES)?;
    Runtime::new()?.block_on(async { match Node::bind(config).await?.run().await? {} })
}

/// Asks all servers at once, in this order, and prints what each says in the order in which they do.
fn ask(get: &Get) -> Result<(), Box<dyn Error>> {
    let servers = &get.servers;
    let limits =
        Limits { max_in_flight: servers.len(), max_messages: u64::try_from(servers.len())? };
    let caller = Caller::new(TlsFiles::new(&get.tls), limits, naive_node::GIVE_UP_AFTER)?;
    Runtime::new()?.block_on(async {
        let mut asked = JoinSet::new();
        for &server in servers {
            let call = caller.call(server);
            asked.spawn(async move { (call.url(), call.addresses().await) });
        }
        while let Some(Ok((url, answer))) = asked.join_next().await {
            match answer {
                Ok(addresses) => println!("{url}: {} addresses", addresses.len()),
                Err(error) => println!("{url}: {error}"),
            }
        }
    });
    Ok(())
}
