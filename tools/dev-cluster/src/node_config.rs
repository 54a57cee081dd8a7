//! The configuration file of a node.

use std::path::Path;

use toml::{Table, Value};

use crate::ports::NodePorts;
use crate::topology::{NodeSpec, Topology, Upstream};

/// The URL of a node's gRPC endpoint.
pub fn grpc_url(spec: &NodeSpec, ports: &NodePorts) -> String {
    let scheme = if has_tls(spec) { "https" } else { "http" };
    format!("{scheme}://{}", ports.grpc)
}

/// Whether a node's gRPC endpoint speaks TLS.
pub fn has_tls(spec: &NodeSpec) -> bool {
    let listen = spec.config.get("listen");
    let plaintext = listen.and_then(|listen| listen.get("grpc_plaintext"));
    !plaintext.and_then(Value::as_bool).unwrap_or(false)
}

/// The URLs that the node at `index` joins.
pub fn upstream_urls(topology: &Topology, index: usize, ports: &[NodePorts]) -> Vec<String> {
    let upstreams =
        topology.nodes.get(index).map(|node| node.upstreams.as_slice()).unwrap_or_default();
    let url = |upstream: &Upstream| match upstream {
        Upstream::Url(url) => Some(url.clone()),
        Upstream::Node(to) => Some(grpc_url(topology.nodes.get(*to)?, ports.get(*to)?)),
    };
    upstreams.iter().filter_map(url).collect()
}

/// The configuration of a node: everything on loopback, logs as JSON, and its own extra table merged in.
pub fn build(spec: &NodeSpec, ports: &NodePorts, upstreams: Vec<String>, data_dir: &Path) -> Table {
    let libp2p = format!("/ip4/{}/tcp/{}", ports.libp2p.ip(), ports.libp2p.port());
    let mut config = toml::toml! {
        [log]
        format = "json"
    };
    config.insert("name".into(), spec.name.clone().into());
    config.insert("data_dir".into(), data_dir.to_string_lossy().into_owned().into());
    config.insert("upstreams".into(), upstreams.into());
    let listen = [
        ("grpc", Value::from(ports.grpc.to_string())),
        ("libp2p", libp2p.clone().into()),
        ("admin", ports.admin.to_string().into()),
    ];
    config.insert("listen".into(), table(listen));
    let advertise = [("grpc", Value::from(grpc_url(spec, ports))), ("libp2p", vec![libp2p].into())];
    config.insert("advertise".into(), table(advertise));
    merge(&mut config, &spec.config);
    config
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn merge(into: &mut Table, extra: &Table) {
    for (key, value) in extra {
        match (into.get_mut(key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => merge(known, more),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{build, upstream_urls};
    use crate::ports::NodePorts;
    use crate::topology::Topology;

    fn ports(first: u16) -> NodePorts {
        let at = |port: u16| ([127, 0, 0, 1], port).into();
        NodePorts {
            grpc: at(first),
            libp2p: at(first + 1),
            admin: at(first + 2),
            k3s: at(first + 3),
        }
    }

    #[test]
    fn a_node_is_configured_for_loopback_and_its_extra_table_is_merged() {
        let text = r#"
            [[node]]
            name = "a"
            upstreams = ["b", "a", "https://vip:1"]
            [node.config]
            zone = "z"
            [node.config.listen]
            grpc_plaintext = true

            [[node]]
            name = "b"
        "#;
        let topology = Topology::from_toml("f", text).unwrap();
        let all = [ports(4001), ports(5001)];
        let upstreams = upstream_urls(&topology, 0, &all);
        assert_eq!(upstreams, ["https://127.0.0.1:5001", "http://127.0.0.1:4001", "https://vip:1"]);
        let config = build(&topology.nodes[0], &all[0], upstreams, Path::new("/data"));
        let expected: toml::Table = toml::from_str(
            r#"
            name = "a"
            data_dir = "/data"
            zone = "z"
            upstreams = ["https://127.0.0.1:5001", "http://127.0.0.1:4001", "https://vip:1"]
            [listen]
            grpc = "127.0.0.1:4001"
            libp2p = "/ip4/127.0.0.1/tcp/4002"
            admin = "127.0.0.1:4003"
            grpc_plaintext = true
            [advertise]
            grpc = "http://127.0.0.1:4001"
            libp2p = ["/ip4/127.0.0.1/tcp/4002"]
            [log]
            format = "json"
            "#,
        )
        .unwrap();
        assert_eq!(config, expected);
    }
}
