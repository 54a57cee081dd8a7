//! The command line of `unring`.

mod client_cert;
mod lookup;
mod serve;

use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::config::KEYS;
use crate::version;

/// The configuration or the command line is wrong (EX_USAGE of sysexits.h). Nothing has been bound or written.
pub const EXIT_USAGE: u8 = 64;

/// The node could not start, or could not do what was asked.
pub const EXIT_FAILURE: u8 = 1;

/// Runs the command that `args` ask for.
#[must_use]
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake. A closed terminal is neither's business.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match matches.subcommand() {
        Some(("serve", args)) => serve::run(args),
        Some(("client-cert", args)) => client_cert::run(args),
        Some(("lookup", args)) => lookup::run(args),
        _ => {
            print_line(&format!(
                "unring {}\ncommit {}\nprotocol {}",
                version::VERSION,
                version::COMMIT,
                version::PROTOCOL
            ));
            ExitCode::SUCCESS
        }
    }
}

fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .env("UNRING_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Read this TOML file; environment and flags win over it");
    let serve =
        KEYS.iter().fold(Command::new("serve").about("Run a node").arg(config), |command, key| {
            let arg = Arg::new(key.name).long(key.flag()).help(key.help).value_name(key.accepts);
            command.arg(match (key.list, key.switch) {
                (true, _) => arg
                    .action(ArgAction::Append)
                    .value_delimiter(',')
                    .help(format!("{}; may be repeated", key.help)),
                (_, true) => arg.num_args(0..=1).default_missing_value("true").require_equals(true),
                _ => arg,
            })
        });
    let out = Arg::new("out")
        .long("out")
        .required(true)
        .value_name("DIR")
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Folder to write client.pem and client.key to");
    Command::new("unring")
        .about("P2P peer discovery for K3s-like clusters that cannot storm in a ring of joins")
        .version(version::VERSION)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
        .subcommand(
            Command::new("client-cert")
                .about("Make a certificate with a new identity, for gRPC tools such as grpcurl")
                .arg(out),
        )
        .subcommand(lookup_command())
        .subcommand(Command::new("version").about("Print version, commit and protocol version"))
}

fn lookup_command() -> Command {
    let key = Arg::new("key")
        .required(true)
        .value_name("KEY")
        .help("A digest such as sha256:26c6... or a name such as docker.io/library/nginx:1.27");
    let admin = Arg::new("admin")
        .long("admin")
        .value_name("ADDRESS:PORT")
        .default_value("127.0.0.1:5873")
        .value_parser(value_parser!(std::net::SocketAddr))
        .help("Where the node serves listen.admin");
    Command::new("lookup")
        .about("Ask the running node which nodes of the DHT provide a key")
        .arg(key)
        .arg(admin)
}

fn print_line(line: &str) {
    use std::io::Write as _;
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn print_error(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "unring: {line}");
}
