//! What keeps a correct configuration from starting: 1, with the key or the file, and everything left as it was.

use std::fs;
use std::net::TcpListener;

use super::support::{Setup, run, taken};

#[test]
fn a_port_in_use_is_named_with_its_key() {
    for (index, key) in ["listen.grpc", "listen.libp2p", "listen.admin"].into_iter().enumerate() {
        let mut listeners = taken().map(Some);
        let ports = listeners
            .each_ref()
            .map(|listener| listener.as_ref().unwrap().local_addr().unwrap().port());
        let in_use = listeners[index].take();
        drop(listeners);
        let setup = Setup { ports, ..Setup::new() };
        let ended = run(&mut setup.serve("", ""));
        ended.refused(1, &["cannot", key, &ports[index].to_string(), "use"]);
        // What was bound before it failed is free again.
        for (other, port) in ports.into_iter().enumerate().filter(|(other, _)| *other != index) {
            let free = TcpListener::bind(("127.0.0.1", port));
            assert!(free.is_ok(), "{key}: port {other} is still bound");
        }
        drop(in_use);
        setup.start("", "").is_well();
    }
}

#[test]
fn an_address_of_another_host_is_named() {
    let setup = Setup::new();
    let mut command = setup.serve("", "");
    // TEST-NET-1, RFC 5737.
    command.arg("--listen-grpc=192.0.2.1:5871");
    run(&mut command)
        .refused(1, &["192.0.2.1:5871", "this host has no such address", "listen.grpc"]);
}

#[test]
fn an_identity_that_cannot_be_read_is_named_and_kept() {
    let setup = Setup::new();
    // What root can read whatever its mode says, nobody can read as a folder.
    let identity = setup.data_dir().join("identity.key");
    fs::create_dir_all(&identity).unwrap();
    run(&mut setup.serve("", ""))
        .refused(1, &["cannot read the identity", "identity.key", "permissions"]);
    assert!(identity.is_dir());
    assert_eq!(fs::read_dir(setup.data_dir()).unwrap().count(), 1, "nothing is added");
}

#[test]
fn a_damaged_identity_is_named_and_kept() {
    let setup = Setup::new().start("", "").stop();
    let identity = setup.data_dir().join("identity.key");
    let whole = fs::read(&identity).unwrap();
    let mut flipped = whole.clone();
    flipped[10] ^= 1;
    fs::write(&identity, "").unwrap();
    run(&mut setup.serve("", ""))
        .refused(1, &["the identity", "identity.key", "is empty (0 bytes)", "backup", "delete it"]);
    assert_eq!(fs::read(&identity).unwrap(), b"", "it is left as it was");
    for damaged in [&whole[..whole.len() / 2], &flipped, b"not a key"] {
        fs::write(&identity, damaged).unwrap();
        let size = format!("{} bytes", damaged.len());
        run(&mut setup.serve("", ""))
            .refused(1, &["the identity", "identity.key", "is damaged", &size, "backup"]);
        assert_eq!(fs::read(&identity).unwrap(), damaged, "it is left as it was");
    }
    // With the backup in place the node is who it was.
    fs::write(&identity, &whole).unwrap();
    setup.start("", "").is_well();
}

#[test]
fn a_data_folder_that_is_a_file_is_named_and_kept() {
    let setup = Setup::new();
    fs::write(setup.data_dir(), "mine").unwrap();
    run(&mut setup.serve("", "")).refused(1, &["data folder", "data", "set data_dir"]);
    assert_eq!(fs::read_to_string(setup.data_dir()).unwrap(), "mine");
    let mut below = setup.serve("", "");
    below.env("UNRING_DATA_DIR", setup.data_dir().join("below"));
    run(&mut below).refused(1, &["data folder", "below", "set data_dir"]);
    assert_eq!(fs::read_to_string(setup.data_dir()).unwrap(), "mine");
}

#[test]
fn two_nodes_cannot_share_a_data_folder() {
    let first = Setup::new().start("", "");
    let second = Setup::new();
    let mut command = second.serve("", "");
    command.env("UNRING_DATA_DIR", first.setup.data_dir());
    run(&mut command).refused(1, &["unring.redb", "no other node uses it"]);
    first.is_well();
}
