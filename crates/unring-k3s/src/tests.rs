mod access;
mod answer;
mod ca;
mod call;
mod kit;
mod listen;
mod log_limit;
mod logged;
mod suspect;
mod table;
mod token;
mod url;

/// Addresses of two peers, with a new and an old kind of id.
const A: &str = "/ip4/10.0.0.2/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
const B: &str = "/ip6/fd00::3/tcp/5001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
