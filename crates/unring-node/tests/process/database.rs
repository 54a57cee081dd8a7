//! A database that cannot be used: the node keeps the file under another name, says so, and starts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use super::support::{Node, Setup, clean, run, wait_for};

fn file(setup: &Setup) -> std::path::PathBuf {
    setup.data_dir().join("unring.redb")
}

/// Names of what was set aside.
fn set_aside(setup: &Setup) -> Vec<String> {
    let entries = fs::read_dir(setup.data_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("unring.redb.")).collect();
    names.sort();
    names
}

fn wait_until_open(node: &Node) {
    let open = || (node.status()["database"]["state"] == "open").then_some(());
    wait_for("an open database", open);
}

#[test]
fn a_damaged_database_is_set_aside_with_a_warning_and_the_node_starts_as_itself() {
    let first = Setup::new().start("", "");
    let (peer_id, seq) = (first.peer_id.clone(), first.status()["record"]["seq"].clone());
    let setup = first.stop();
    let damaged = b"not a database, but long enough to look like one";
    fs::write(file(&setup), damaged).unwrap();
    let node = setup.start("", "");
    node.wait_until_ready();
    node.is_well();
    let status = node.status();
    assert_eq!(node.peer_id, peer_id);
    assert!(status["record"]["seq"].as_u64().unwrap() > seq.as_u64().unwrap(), "by the clock");
    assert_eq!(status["database"]["state"], "open");

    let kept = set_aside(&node.setup);
    assert_eq!(kept.len(), 1);
    let kept = node.setup.data_dir().join(&kept[0]);
    assert!(kept.to_str().unwrap().contains("unring.redb.corrupt-"), "{kept:?}");
    assert_eq!(fs::read(&kept).unwrap(), damaged);
    let lines = node.events("database_set_aside");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "WARN");
    let fields = &lines[0]["fields"];
    assert_eq!(fields["set_aside"], kept.to_str().unwrap());
    assert_eq!(status["database"]["set_aside"], kept.to_str().unwrap());
    let reason = fields["reason"].as_str().unwrap();
    assert!(reason.contains("is damaged") && reason.contains("unring.redb"), "{reason}");
    assert!(fields["message"].as_str().unwrap().contains("what damaged it"), "{fields}");
    // The next start finds the new one whole.
    let again = node.stop().start("", "");
    assert_eq!((again.events("database_set_aside").len(), set_aside(&again.setup).len()), (0, 1));
}

#[test]
fn as_many_as_may_be_are_set_aside_and_then_the_node_runs_without() {
    let setup = Setup::new().start("", "").stop();
    fs::write(file(&setup), "damaged").unwrap();
    for at in 0..unring_node::database::MAX_SET_ASIDE {
        fs::write(setup.data_dir().join(format!("unring.redb.corrupt-{at}")), "old").unwrap();
    }
    let node = setup.start("", "");
    node.wait_until_ready();
    assert_eq!(node.status()["database"]["state"], "unavailable");
    let refused = node.events("database_refused");
    let says = refused[0]["fields"]["error"].as_str().unwrap();
    assert!(
        says.contains("8 databases are set aside") && says.contains("move them away"),
        "{says}"
    );
    assert_eq!(fs::read(file(&node.setup)).unwrap(), b"damaged", "it is left as it was");
    assert!(node.status()["record"]["seq"].as_u64().unwrap() > 0, "others hear it all the same");
    // Somebody makes room: no restart is needed.
    fs::remove_file(node.setup.data_dir().join("unring.redb.corrupt-0")).unwrap();
    wait_until_open(&node);
    assert_eq!(node.events("database_set_aside").len(), 1);
    node.is_well();
    node.stop();
}

#[test]
fn a_database_that_is_deleted_while_the_node_runs_is_written_anew() {
    let node = Setup::new().start("", "");
    node.wait_until_ready();
    wait_until_open(&node);
    let first = fs::metadata(file(&node.setup)).unwrap().ino();
    fs::remove_file(file(&node.setup)).unwrap();
    wait_for("a new file", || fs::metadata(file(&node.setup)).ok().filter(|file| file.len() > 0));
    let lines = wait_for("the line", || node.events("database_gone").pop());
    assert_eq!(lines["level"], "WARN");
    wait_until_open(&node);
    node.is_well();
    let seq = node.status()["record"]["seq"].as_u64().unwrap();
    let setup = node.stop();
    assert!(set_aside(&setup).is_empty());
    // What it has reserved is in the new file.
    let (database, loaded) = unring_node::database::Database::open(&setup.data_dir()).unwrap();
    assert!(loaded.seq >= seq && fs::metadata(database.file()).unwrap().ino() > 0, "{first}");
}

/// Runs `command` as nobody, for whom modes count; none where this is not possible.
fn as_nobody(setup: &Setup, command: &Command) -> Option<Command> {
    if !rustix::process::getuid().is_root() {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return Some(same);
    }
    let owned = Command::new("chown").arg("-R").arg("65534").arg(setup.dir.path()).status();
    let mut lowered = Command::new("setpriv");
    lowered.args(["--reuid=65534", "--clear-groups", "--"]);
    lowered.arg(command.get_program()).args(command.get_args());
    clean(&mut lowered);
    let mut probe = Command::new("setpriv");
    probe.args(["--reuid=65534", "--clear-groups", "--"]).arg("test").arg("-x");
    let can = probe.arg(command.get_program()).status().is_ok_and(|status| status.success());
    (owned.is_ok_and(|status| status.success()) && can).then_some(lowered)
}

#[test]
fn a_database_that_must_not_be_read_is_named_and_kept() {
    use std::io::Write as _;

    let setup = Setup::new().start("", "").stop();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let before = fs::read(file(&setup)).unwrap();
    mode(&file(&setup), 0);
    let command = setup.serve("", "");
    let Some(mut command) = as_nobody(&setup, &command) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED modes of the database: cannot run as nobody");
        return;
    };
    run(&mut command).refused(1, &["cannot open the database", "unring.redb", "denied"]);
    mode(&file(&setup), 0o600);
    assert_eq!(fs::read(file(&setup)).unwrap(), before, "it is whole, so it is not set aside");
    assert!(set_aside(&setup).is_empty());
}
