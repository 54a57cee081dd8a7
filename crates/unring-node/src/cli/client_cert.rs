//! `unring client-cert`: a certificate that nodes accept, for tools that speak gRPC over TLS.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use unring_peer::Identity;
use unring_peer_addr::TlsIdentity;

use super::{EXIT_FAILURE, print_error, print_line};
use crate::errors::chain;

pub(super) fn run(args: &ArgMatches) -> ExitCode {
    let Some(dir) = args.get_one::<PathBuf>("out") else { return EXIT_FAILURE.into() };
    let tls = match TlsIdentity::new(&Identity::generate()) {
        Ok(tls) => tls,
        Err(error) => {
            print_error(&chain(&error));
            return EXIT_FAILURE.into();
        }
    };
    match write(dir, &tls) {
        Ok(()) => {
            print_line(&format!("{}", tls.peer_id()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&format!(
                "cannot write client.pem and client.key to {}: {error}",
                dir.display()
            ));
            EXIT_FAILURE.into()
        }
    }
}

/// Writes both files with mode 0600; existing ones are replaced.
fn write(dir: &Path, tls: &TlsIdentity) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (name, text) in [("client.pem", tls.client_pem()), ("client.key", &tls.key_pem())] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
