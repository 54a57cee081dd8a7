//! Real namespaces, where they can be made.

use std::process::Command;

use dev_cluster::netns::{Netns, NetnsError};

/// Tries to connect from the first node to the second, where nobody listens: the exit code, which is that of `timeout` (124) when
/// nothing came back, and what was said.
fn connect(netns: &Netns) -> (Option<i32>, String) {
    let to = netns.ports()[1].grpc;
    let connect = format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns.name(0).unwrap(), "timeout", "6", "bash", "-c", &connect]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_is_sent_across_a_cut_is_dropped_without_a_word() {
    let netns = match Netns::create(2) {
        Err(error @ (NetnsError::NotRoot | NetnsError::NoIp(_))) => {
            println!("SKIPPED: {error}");
            return;
        }
        // A container may be root and still not be let.
        Err(NetnsError::Ip { command, said }) if command.starts_with("netns add") => {
            println!("SKIPPED: {said}");
            return;
        }
        netns => netns.unwrap(),
    };
    // At once, before the first has had time to learn where the other is.
    netns.cut().unwrap();
    // Longer than the 3 s after which a host that nobody answers for is called unreachable.
    let (code, said) = connect(&netns);
    assert_eq!(code, Some(124), "{said}");
    netns.heal().unwrap();
    let (code, said) = connect(&netns);
    assert!(code != Some(124) && said.contains("Connection refused"), "{code:?}: {said}");
}
