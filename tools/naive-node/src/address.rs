//! Addresses as K3s hands them out: a multiaddr that ends with a peer id.

use std::fmt;

use multiaddr::{Multiaddr, Protocol};

/// Where a peer is and who it is, such as `/ip4/127.0.0.1/tcp/5001/p2p/12D3...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress(Multiaddr);

/// Why text is no address of a peer.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPeerAddress {
    /// Not a multiaddr.
    #[error("not a multiaddr")]
    Multiaddr(#[from] multiaddr::Error),
    /// It does not say who is there.
    #[error("it has no /p2p/ at its end")]
    NoPeerId,
}

impl std::str::FromStr for PeerAddress {
    type Err = InvalidPeerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: Multiaddr = text.parse()?;
        match address.iter().last() {
            Some(Protocol::P2p(_)) => Ok(Self(address)),
            _ => Err(InvalidPeerAddress::NoPeerId),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The addresses of an answer: a JSON list, else the whole body as one. What is no address is left out without a word,
/// as `agentBootstrapper.Get` does.
pub(crate) fn of_answer(body: &[u8]) -> Vec<PeerAddress> {
    let texts: Vec<String> = serde_json::from_slice(body)
        .unwrap_or_else(|_| vec![String::from_utf8_lossy(body).into_owned()]);
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::of_answer;

    const A: &str =
        "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    const B: &str = "/ip6/::1/tcp/5001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    fn texts(body: &str) -> Vec<String> {
        of_answer(body.as_bytes()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_answer_is_a_list_or_one_address() {
        assert_eq!(texts(&format!(r#"["{A}","{B}","{A}"]"#)), [A, B, A], "nothing is merged");
        assert_eq!(texts(A), [A]);
        assert!(texts("[]").is_empty());
    }

    #[test]
    fn what_is_no_address_is_dropped() {
        let body = format!(r#"["nonsense","/ip4/127.0.0.1/tcp/5001","{A}"]"#);
        assert_eq!(texts(&body), [A]);
        assert!(texts("500 internal server error").is_empty());
        assert!(of_answer(&[0xff, 0xfe]).is_empty());
    }
}
