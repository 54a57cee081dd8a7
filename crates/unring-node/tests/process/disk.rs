//! Data folders that are full or cannot be written to: a small file system mounted for one process alone, in a mount
//! namespace that ends with it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use unring_node::database::Database;

use super::support::{Ended, Node, Setup, clean, run, wait_for};

/// Leaves no byte free.
const FILL: &str = "cat /dev/zero >\"$DATA/filler\" 2>/dev/null || :";

/// Whether this machine lets us mount; says so where it does not, past the test runner's capture.
fn can_mount(test: &str) -> bool {
    let ended = run(in_namespace().arg("mount -t tmpfs -o size=64k tmpfs /mnt"));
    let can = ended.code == Some(0);
    if !can {
        let why = ended.stderr.trim();
        let _ =
            writeln!(std::io::stderr(), "SKIPPED {test}: this machine allows no mounts ({why})");
    }
    can
}

/// A shell with mounts of its own, whether we are root or not; give it a script.
fn in_namespace() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-euc"]);
    clean(&mut command);
    command
}

/// A shell in which `$DATA` is an empty file system of `size`, and `"$@"` is the command that serves on it.
fn on_disk_of(setup: &Setup, size: &str, script: &str) -> Command {
    fs::create_dir_all(setup.data_dir()).unwrap();
    fs::create_dir_all(setup.path("out")).unwrap();
    let mut command = in_namespace();
    command.arg(format!("mount -t tmpfs -o size={size} tmpfs \"$DATA\"\n{script}")).arg("sh");
    let config = setup.configure("", "[timing]\nrecord_ttl = \"5s\"");
    command.arg(env!("CARGO_BIN_EXE_unring")).arg("serve").arg("--config").arg(config);
    command.env("DATA", setup.data_dir()).env("OUT", setup.path("out"));
    command
}

/// Runs the node at the end of `script` and copies what it left in its folder to `$OUT`.
fn run_and_look(setup: &Setup, size: &str, script: &str) -> Ended {
    let script =
        format!("{script}\ncode=0\n\"$@\" || code=$?\ncp -a \"$DATA/.\" \"$OUT\"\nexit $code");
    run(&mut on_disk_of(setup, size, &script))
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_data_folder_that_cannot_be_written_to_is_named() {
    if !can_mount("a data folder that cannot be written to") {
        return;
    }
    let setup = Setup::new();
    let ended = run_and_look(&setup, "1m", "mount -o remount,ro \"$DATA\"");
    ended.refused(1, &["identity.key", "permissions", "Read-only file system"]);
    assert!(names(&setup.path("out")).is_empty());
}

#[test]
fn an_identity_without_room_for_a_database_is_kept() {
    if !can_mount("an identity on a folder that cannot be written to") {
        return;
    }
    let seed = Setup::new().start("", "").stop();
    let key = fs::read(seed.data_dir().join("identity.key")).unwrap();
    let setup = Setup::new();
    let copy = |remount: &str| {
        format!("cp -a {:?} \"$DATA\"\n{remount}", seed.data_dir().join("identity.key"))
    };
    let ended = run_and_look(&setup, "8m", &copy("mount -o remount,ro \"$DATA\""));
    let says = "Read-only file system";
    ended.refused(1, &["cannot open the database", "unring.redb", "free space", says]);
    assert_eq!(fs::read(setup.path("out/identity.key")).unwrap(), key);

    // A full disk does not keep it from starting: it says so, and writes when there is room.
    let setup = Setup::new();
    let command = on_disk_of(&setup, "8m", &copy(&format!("{FILL}\nexec \"$@\"")));
    let node = Node::start(setup, command);
    node.wait_until_ready();
    assert_eq!(node.status()["database"]["state"], "unavailable");
    let refused = node.events("database_refused");
    let says = refused[0]["fields"]["error"].as_str().unwrap();
    assert!(says.contains("free space") && says.contains("No space left on device"), "{says}");
    assert_eq!(fs::read(inside(&node).join("identity.key")).unwrap(), key);
    let seq = node.status()["record"]["seq"].as_u64().unwrap();
    assert!(seq > 1_700_000_000_000, "of the clock");
    fs::remove_file(inside(&node).join("filler")).unwrap();
    wait_for("the database", || (node.status()["database"]["state"] == "open").then_some(()));
    wait_for("the line", || node.events("database_recovered").pop());
    node.is_well();
    assert_eq!(names(&inside(&node)), ["identity.key", "unring.redb"]);
    node.stop();
}

#[test]
fn a_full_disk_does_not_keep_a_node_from_what_it_remembers() {
    if !can_mount("a database on a full disk") {
        return;
    }
    let seed = Setup::new().start("", "").stop();
    // An hour ahead of the clock: it can only be known from the file.
    let remembered = 3_600_000 + {
        let (database, loaded) = Database::open(&seed.data_dir()).unwrap();
        database.set_seq(loaded.seq + 3_600_000).unwrap();
        loaded.seq
    };
    let setup = Setup::new();
    let copy = format!("cp -a {:?}/. \"$DATA\"\n{FILL}\nexec \"$@\"", seed.data_dir());
    let command = on_disk_of(&setup, "8m", &copy);
    let node = Node::start(setup, command);
    node.wait_until_ready();
    let status = node.status();
    assert!(status["record"]["seq"].as_u64().unwrap() > remembered, "{}", status["database"]);
    assert_eq!(node.events("database_set_aside").len(), 0, "a full disk is no damage");
    node.is_well();
    node.stop();
}

#[test]
fn a_full_data_folder_gets_no_half_identity() {
    if !can_mount("a full data folder") {
        return;
    }
    let setup = Setup::new();
    let ended = run_and_look(&setup, "64k", FILL);
    ended.refused(1, &["identity.key", "free space", "No space left on device"]);
    assert_eq!(names(&setup.path("out")), ["filler"], "nothing half written stays");
}

/// The data folder as the node sees it.
fn inside(node: &Node) -> PathBuf {
    let dir = node.setup.data_dir();
    Path::new("/proc")
        .join(node.pid().to_string())
        .join("root")
        .join(dir.strip_prefix("/").unwrap())
}

#[test]
fn a_disk_that_fills_up_does_not_stop_a_node() {
    if !can_mount("a disk that fills up") {
        return;
    }
    let setup = Setup::new();
    let command = on_disk_of(&setup, "8m", "exec \"$@\"");
    let node = Node::start(setup, command);
    node.wait_until_ready();
    let key = fs::read(inside(&node).join("identity.key")).unwrap();
    let mut filler = fs::File::create(inside(&node).join("filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok() {}

    // The record is signed anew at a third of its ttl, here 1.7 s: three times with nowhere to note it.
    let seq = || node.status()["record"]["seq"].as_u64().unwrap();
    let mut last = seq();
    for _ in 0..3 {
        last = wait_for("a newer record", || Some(seq()).filter(|seq| *seq > last));
    }
    node.is_well();
    assert_eq!(fs::read(inside(&node).join("identity.key")).unwrap(), key);
    node.stop();
}
