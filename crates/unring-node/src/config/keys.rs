//! Every key of the configuration, once: its name, what it accepts, what it is for.
//!
//! A key is the same everywhere: `limits.cpu_budget_percent` in the file is `UNRING_LIMITS_CPU_BUDGET_PERCENT` in the
//! environment and `--limits-cpu-budget-percent` on the command line.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file, with dots between tables.
    pub name: &'static str,
    /// What it accepts, for errors and help.
    pub accepts: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it takes several values.
    pub list: bool,
    /// Whether it is written without a value on the command line.
    pub switch: bool,
}

impl Key {
    /// Its name on the command line, without dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("UNRING_{}", self.name.replace('.', "_").to_uppercase())
    }
}

const fn key(name: &'static str, accepts: &'static str, help: &'static str) -> Key {
    Key { name, accepts, help, list: false, switch: false }
}

const fn list(name: &'static str, accepts: &'static str, help: &'static str) -> Key {
    Key { name, accepts, help, list: true, switch: false }
}

const fn switch(name: &'static str, help: &'static str) -> Key {
    Key { name, accepts: "true or false", help, list: false, switch: true }
}

/// All keys, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "name",
        "1 to 63 bytes without control characters",
        "What people call this node [default: the host name]",
    ),
    key(
        "data_dir",
        "a folder that this user can write to",
        "Where identity and database are kept [default: /var/lib/unring]",
    ),
    list(
        "upstreams",
        "https://HOST:PORT or http://HOST:PORT, at most 32",
        "The nodes that this one joins",
    ),
    switch("insecure", "Allow plaintext gRPC beyond loopback"),
    key("zone", "at most 63 bytes without control characters", "Failure domain of this node"),
    key("listen.grpc", "ADDRESS:PORT", "Where the gRPC service listens [default: 0.0.0.0:5871]"),
    switch("listen.grpc_plaintext", "Serve gRPC without TLS"),
    list(
        "listen.libp2p",
        "/ip4|ip6/ADDRESS/tcp/PORT, at most 16",
        "Where libp2p listens [default: /ip4/0.0.0.0/tcp/5872]",
    ),
    key(
        "listen.admin",
        "ADDRESS:PORT",
        "Where /metrics, /healthz, /readyz, /statusz, /topology and /dht are served, in plain HTTP [default: 127.0.0.1:5873]",
    ),
    key(
        "advertise.grpc",
        "https://HOST:PORT or http://HOST:PORT",
        "Where others reach the gRPC service [default: the listen address, or the default route's]",
    ),
    list(
        "advertise.libp2p",
        "/ip4|ip6/ADDRESS/tcp/PORT, at most 16",
        "Where others reach libp2p [default: the listen address, or the default route's]",
    ),
    list(
        "bootstrap.peers",
        "/ip4|ip6/ADDRESS/tcp/PORT with or without /p2p/ID, at most 32",
        "libp2p addresses of peers to begin with",
    ),
    list(
        "bootstrap.dns",
        "NAME or NAME:PORT, at most 8",
        "Names whose addresses are peers, such as a headless service; without a port this node's own",
    ),
    list(
        "bootstrap.dnsaddr",
        "NAME, at most 8",
        "Names whose TXT records are multiaddrs of peers, as /dnsaddr has them",
    ),
    key(
        "bootstrap.dns_server",
        "ADDRESS or ADDRESS:PORT",
        "Who is asked for names of bootstrap [default: the system's servers]",
    ),
    list(
        "bootstrap.http",
        "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, at most 8",
        "URLs that answer as Spegel's /id does, in any of its forms",
    ),
    key("bootstrap.http_ca", "a file in PEM", "The CA of servers with https"),
    key("bootstrap.http_certificate", "a file in PEM", "This node's certificate for them"),
    key("bootstrap.http_key", "a file in PEM", "Its private key"),
    key(
        "bootstrap.listen",
        "ADDRESS:PORT",
        "Where /id is served to Spegel and other nodes, in plain HTTP [default: nowhere]",
    ),
    key(
        "limits.cpu_budget_percent",
        "0.5 to 100, in percent of one core",
        "CPU that P2P work may use [default: 5]",
    ),
    switch(
        "limits.ignore_machine_pressure",
        "Use all of the CPU budget even when the machine is short of CPU",
    ),
    key("limits.slots_per_upstream", "1 to 48", "Requests in flight to one upstream [default: 16]"),
    key("limits.book_capacity", "16 to 32000", "Nodes whose records are kept [default: 4096]"),
    key("limits.max_connections", "2 to 4096", "libp2p connections [default: 192]"),
    key("limits.max_grpc_connections", "4 to 65536", "Inbound gRPC connections [default: 1024]"),
    key(
        "limits.requests_per_second",
        "1 to 1000000",
        "Requests of all callers together, before the CPU budget lowers it [default: 2000]",
    ),
    key(
        "timing.record_ttl",
        "5s to 24h",
        "How long after its death a node is remembered [default: 30m]",
    ),
    key("timing.request_timeout", "100ms to 30s", "Time given to an upstream [default: 10s]"),
    key(
        "timing.drain_deadline",
        "0s to 5m",
        "Time that open requests get when the process is stopped [default: 5s]",
    ),
    key(
        "k3s.listen",
        "ADDRESS:PORT",
        "Where /v1-k3s/p2p, /v1-rke2/p2p and /cacerts are served, over TLS",
    ),
    key("k3s.certificate", "a PEM file", "Certificate of that listener"),
    key("k3s.key", "a PEM file", "Private key of that certificate"),
    key(
        "k3s.ca",
        "a PEM file",
        "CA of the cluster's servers: served at /cacerts, and believed of k3s.servers",
    ),
    key("k3s.client_ca", "a PEM file", "CA whose client certificates are let in"),
    key(
        "k3s.token_file",
        "a file with a join token on each line, at most 8",
        "Tokens with which one is let in; the first is what k3s.servers are told",
    ),
    list(
        "k3s.servers",
        "https://HOST:PORT, at most 32",
        "K3s or RKE2 servers that are asked for first peers",
    ),
    key("k3s.distribution", "k3s or rke2", "Which of both these servers are [default: k3s]"),
    key("k3s.client_certificate", "a PEM file", "Certificate of this node for these servers"),
    key("k3s.client_key", "a PEM file", "Private key of that certificate"),
    key(
        "dht.mode",
        "server or off",
        "Whether the node takes part in the DHT that tells who has which image content [default: server]",
    ),
    key(
        "dht.network_key_file",
        "a file with at least 64 hexadecimal digits",
        "Key of a private network, for libp2p; K3s's is cred/ipsec.psk of its server",
    ),
    key(
        "dht.reprovide_interval",
        "1s to 1h",
        "Others are told of each key once in this time [default: 12m]",
    ),
    key("dht.record_validity", "2s to 48h", "How long what others told is believed [default: 19m]"),
    key(
        "dht.max_records",
        "1024 to 4194304",
        "Records of other nodes that are kept [default: 229376]",
    ),
    list(
        "dht.advertise",
        "texts of 1 to 1024 bytes, at most 64",
        "Keys that this node provides for as long as it runs, to try look-ups with",
    ),
    key(
        "log.format",
        "auto, human or json",
        "How log lines look; auto is human on a terminal [default: auto]",
    ),
    key(
        "log.level",
        "error, warn, info, debug, trace or a tracing filter",
        "Which log lines are written [default: info,libp2p_swarm=warn]",
    ),
    key(
        "security.token_file",
        "a file with one or two join tokens of 16 to 1024 visible ASCII characters, one a line",
        "The secret that all nodes of the cluster share; without one everybody may join",
    ),
    key(
        "security.token_overlap",
        "0s to 24h",
        "How long a join token is accepted after another one took its place [default: 1h]",
    ),
    key(
        "security.ca_file",
        "a PEM file with 1 to 8 certificates",
        "The cluster's certificate authorities; if set, one of them has to speak for every node",
    ),
    key(
        "security.cert_file",
        "a PEM file with 1 to 4 certificates",
        "This node's certificate by one of them, such as K3s's serving-kubelet.crt",
    ),
    key("security.key_file", "a PEM file with a private key", "The key of that certificate"),
    list(
        "security.allow",
        "peer ids, at most 4096",
        "If not empty, only these nodes and callers are let in",
    ),
    list(
        "security.deny",
        "peer ids, at most 4096",
        "Nodes and callers that are kept out, also when they are allowed",
    ),
];
