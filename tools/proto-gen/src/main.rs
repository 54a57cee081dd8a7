//! Writes the Rust code of `proto/` into the crates that use it.
//!
//! `cargo xtask codegen` runs it; `proto-gen DIR` writes below another root, which is how `--check` compares.
//! Messages that are signed go to `unring-peer`, the service to `unring-peer-addr`, which names the former by path.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};
use prost::Message as _;

const PACKAGE: &str = "unring.peeraddr.v1";
const RECORD: &str = "unring/peeraddr/v1/record.proto";
const SERVICE: &str = "unring/peeraddr/v1/peer_addr_service.proto";
const RECORD_OUT: &str = "crates/unring-peer/src/generated";
const SERVICE_OUT: &str = "crates/unring-peer-addr/src/generated";

/// Writes a message into a buffer of its size; tonic's own lets the buffer grow.
const CODEC: &str = "crate::codec::SizedCodec";

fn main() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the workspace is two folders above this crate")?
        .to_path_buf();
    let out = env::args_os().nth(1).map_or_else(|| workspace.clone(), PathBuf::from);
    let include = workspace.join("proto");

    let record = protox::compile([RECORD], [&include]).context("compile record.proto")?;
    let record_dir = create(&out.join(RECORD_OUT))?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        // A record is sent many times for each time that it is read: shared, not copied.
        .bytes(format!(".{PACKAGE}.SignedRecord"))
        .out_dir(&record_dir)
        .compile_fds(record.clone())
        .context("generate the record messages")?;

    let service =
        protox::compile([SERVICE], [&include]).context("compile peer_addr_service.proto")?;
    let service_dir = create(&out.join(SERVICE_OUT))?;
    // The descriptors of both files feed gRPC reflection; the code is made of the service's file alone.
    fs::write(service_dir.join(format!("{PACKAGE}.fds")), service.encode_to_vec())?;
    let mut config = tonic_prost_build::configure()
        .out_dir(&service_dir)
        .build_transport(false)
        .codec_path(CODEC);
    for message in messages(&record) {
        config = config
            .extern_path(format!(".{PACKAGE}.{message}"), format!("::unring_peer::pb::{message}"));
    }
    config.compile_fds(service).context("generate the service")?;
    Ok(())
}

fn create(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir.to_path_buf())
}

fn messages(fds: &prost_types::FileDescriptorSet) -> impl Iterator<Item = &str> {
    fds.file.iter().flat_map(|file| &file.message_type).map(|message| message.name())
}
