//! Nodes in network namespaces of their own, joined by two bridges with one line between them that can be cut.
//!
//! Everything is in namespaces that are made here, addresses included: nothing of the machine's own network is touched. The tool
//! itself enters the namespace of the bridges, or it could not ask the nodes anything.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::ports::NodePorts;

/// Where `ip netns` keeps names.
const NAMES: &str = "/run/netns";

/// What each name begins with; the process id follows.
const PREFIX: &str = "unring-";

/// The network of the nodes: 10.77.0.0/16. It exists in these namespaces alone.
const NETWORK_BITS: u32 = 16;

/// The tool's address in it, as a number: 10.77.0.1. The nodes follow.
const TOOL: u32 = 0x0a4d_0001;

/// The ports of each node. There is nobody else in its namespace.
const PORTS: [u16; 4] = [5871, 5872, 5873, 5874];

/// The two bridges, and the tool's hardware address at each. The tool is on both with one address.
const LEFT: (&str, &str) = ("left", "02:00:00:00:00:01");
const RIGHT: (&str, &str) = ("right", "02:00:00:00:00:02");

/// Namespaces of a cluster. Dropping it removes them, with bridges, lines and addresses.
#[derive(Debug)]
pub struct Netns {
    hub: String,
    nodes: Vec<String>,
}

/// Why there are no namespaces.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The kernel lets nobody else make them.
    #[error("network namespaces need root: run it with sudo, or leave out --netns")]
    NotRoot,
    /// No `ip`.
    #[error(
        "there is no `ip`, which Debian's package iproute2 has: install it, or leave out --netns"
    )]
    NoIp(#[source] io::Error),
    /// `ip` refused something.
    #[error("`ip {command}` failed: {said}")]
    Ip {
        /// What it was told.
        command: String,
        /// What it said.
        said: String,
    },
    /// The tool cannot go where the bridges are.
    #[error("cannot enter {}", path.display())]
    Enter {
        /// The namespace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Netns {
    /// Makes namespaces for so many nodes, the first half of them on one bridge, the others on the other. What tools that are
    /// gone left behind is removed.
    ///
    /// # Errors
    /// See [`NetnsError`]; nothing is left then.
    pub fn create(nodes: usize) -> Result<Self, NetnsError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NetnsError::NotRoot);
        }
        Command::new("ip").arg("-V").output().map_err(NetnsError::NoIp)?;
        remove_leftovers();
        let own = format!("{PREFIX}{}-", std::process::id());
        let name = |index| format!("{own}{}", index + 1);
        let made = Self { hub: format!("{own}hub"), nodes: (0..nodes).map(name).collect() };
        ip(&["netns", "add", &made.hub], "")?;
        for name in &made.nodes {
            ip(&["netns", "add", name], "")?;
        }
        ip(&["-n", &made.hub, "-batch", "-"], &made.bridges())?;
        for (index, name) in made.nodes.iter().enumerate() {
            ip(&["-n", name, "-batch", "-"], &made.line_of(index))?;
        }
        Ok(made)
    }

    /// What a node's namespace has, and who is where: told and not asked for, since a question that nobody answers would tell the
    /// node of a partition within 3 s ("No route to host"), which no partition between machines further apart does.
    fn line_of(&self, index: usize) -> String {
        let mut lines = format!(
            "link set lo up\naddress add {}/{NETWORK_BITS} dev eth0\nlink set eth0 up\n",
            address(index)
        );
        let others = (0..self.nodes.len()).filter(|other| *other != index);
        for host in others.map(host) {
            lines += &neighbour(host, hardware_address(host), "eth0");
        }
        lines + &neighbour(TOOL, self.bridge(index).1, "eth0")
    }

    /// Two bridges, the line between them, an address of our own, and a line to each node.
    fn bridges(&self) -> String {
        let mut lines = "link set lo up\n\
            link add name left type bridge\n\
            link add name right type bridge\n\
            link add name between type veth peer name across\n\
            link set between master left\n\
            link set across master right\n"
            .to_owned();
        for up in ["left", "right", "between", "across"] {
            lines += &format!("link set {up} up\n");
        }
        for (bridge, at) in [LEFT, RIGHT] {
            lines += &format!("link set {bridge} address {at}\n");
        }
        let tool = Ipv4Addr::from(TOOL);
        lines += &format!("address add {tool}/{NETWORK_BITS} dev left\n");
        for (index, name) in self.nodes.iter().enumerate() {
            let (line, (bridge, _)) = (format!("node{index}"), self.bridge(index));
            lines += &format!(
                "link add name {line} type veth peer name eth0 address {} netns {name}\n\
                 link set {line} master {bridge}\nlink set {line} up\n",
                hardware_address(host(index))
            );
            // Straight to the node's own bridge, so that the tool reaches both halves of a cut network.
            lines += &format!("route add {}/32 dev {bridge} src {tool}\n", address(index));
            lines += &neighbour(host(index), hardware_address(host(index)), bridge);
        }
        lines
    }

    /// How many nodes, from the first, are the first half.
    pub fn left(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// The bridge of a node, and the tool's hardware address there.
    fn bridge(&self, index: usize) -> (&'static str, String) {
        let (name, at) = if index < self.left() { LEFT } else { RIGHT };
        (name, at.to_owned())
    }

    /// The name of the namespace of the node at `index`.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.nodes.get(index).map(String::as_str)
    }

    /// What stands before a command that is to reach the nodes.
    pub fn prefix(&self) -> String {
        format!("ip netns exec {} ", self.hub)
    }

    /// Where the nodes listen.
    pub fn ports(&self) -> Vec<NodePorts> {
        let [grpc, libp2p, admin, k3s] = PORTS;
        let ports = (0..self.nodes.len()).map(|index| {
            let at = |port| SocketAddr::new(address(index), port);
            NodePorts { grpc: at(grpc), libp2p: at(libp2p), admin: at(admin), k3s: at(k3s) }
        });
        ports.collect()
    }

    /// Takes the calling thread, and with it all threads and processes that it starts later, to where the nodes can be reached.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enter(&self) -> Result<(), NetnsError> {
        let path = Path::new(NAMES).join(&self.hub);
        let entered = File::open(&path).and_then(|file| {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).map_err(io::Error::from)
        });
        entered.map_err(|source| NetnsError::Enter { path, source })
    }

    /// Cuts the line between the bridges. Whatever is sent across is dropped without a word: neither half hears anything of the
    /// other, not even that it is gone, and all interfaces of the nodes stay up.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn cut(&self) -> Result<(), NetnsError> {
        ip(&["-n", &self.hub, "link", "set", "between", "down"], "")
    }

    /// Mends the line.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn heal(&self) -> Result<(), NetnsError> {
        ip(&["-n", &self.hub, "link", "set", "between", "up"], "")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            // One that was never made is no loss.
            drop(ip(&["netns", "del", name], ""));
        }
    }
}

/// A node's address.
fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(host(index)))
}

/// The same as a number. [`crate::topology::MAX_NODES`] is far below what the network has.
fn host(index: usize) -> u32 {
    let host = u32::try_from(index).unwrap_or(u32::MAX >> NETWORK_BITS);
    TOOL.saturating_add(1).saturating_add(host)
}

/// Of whoever has this address: the address itself, marked as locally administered (IEEE 802, section 8.2).
fn hardware_address(host: u32) -> String {
    let [a, b, c, d] = host.to_be_bytes();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Where this host is, once and for all.
fn neighbour(host: u32, at: String, device: &str) -> String {
    let ip = Ipv4Addr::from(host);
    format!("neighbour add {ip} lladdr {at} nud permanent dev {device}\n")
}

/// Removes the namespaces of processes that are gone, such as one that was killed.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(NAMES) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            drop(ip(&["netns", "del", &name], ""));
        }
    }
}

/// The process that made the namespace of this name, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let is_ours = rest == "hub" || rest.parse::<usize>().is_ok();
    is_ours.then(|| pid.parse().ok())?
}

fn ip(args: &[&str], input: &str) -> Result<(), NetnsError> {
    let command = || args.join(" ");
    let output = run(args, input)
        .map_err(|error| NetnsError::Ip { command: command(), said: error.to_string() })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(NetnsError::Ip { command: command(), said })
        }
    }
}

fn run(args: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new("ip");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may end before it has read all; then it says why.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::{LEFT, Netns, RIGHT, owner};

    #[test]
    fn names_of_others_are_left_alone() {
        assert_eq!(owner("unring-17-hub"), Some(17));
        assert_eq!(owner("unring-17-200"), Some(17));
        for other in ["unring-x-hub", "unring-17", "unring-17-test", "cni-17-1", "unring--1"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn each_node_has_an_address_and_a_line_to_its_bridge() {
        let nodes = ["n1", "n2", "n3"].map(str::to_owned).into();
        // Nothing was made, so there is nothing to remove.
        let netns = std::mem::ManuallyDrop::new(Netns { hub: "hub".to_owned(), nodes });
        let grpc: Vec<_> = netns.ports().iter().map(|ports| ports.grpc.to_string()).collect();
        assert_eq!(grpc, ["10.77.0.2:5871", "10.77.0.3:5871", "10.77.0.4:5871"]);
        assert_eq!(netns.left(), 2);
        let lines = netns.bridges();
        let line =
            "peer name eth0 address 02:00:0a:4d:00:03 netns n2\nlink set node1 master left\n";
        assert!(lines.contains(line), "{lines}");
        assert!(lines.contains("netns n3\nlink set node2 master right\n"), "{lines}");
        let own = netns.line_of(1);
        assert_eq!(own.matches("nud permanent dev eth0\n").count(), 3, "{own}");
        let other = "neighbour add 10.77.0.4 lladdr 02:00:0a:4d:00:04 nud permanent dev eth0\n";
        assert!(own.contains(other), "{own}");
        let tool = |index, bridge: (&str, &str)| {
            let line = format!("neighbour add 10.77.0.1 lladdr {} nud", bridge.1);
            assert!(netns.line_of(index).contains(&line), "{line}");
        };
        tool(1, LEFT);
        tool(2, RIGHT);
        assert!(lines.contains("route add 10.77.0.4/32 dev right src 10.77.0.1\n"), "{lines}");
    }
}
