//! A server on loopback with a CA made for it, and a client that knows it by the hash in its join token.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use unring_k3s::{
    Access, Admission, CaBundle, Caller, ClientConfig, Distribution, JoinToken, K3sAddress,
    K3sClient, K3sServer, KeyPair, Open, Peers, ServerTls, Trust, Unavailable, serve,
};

/// A book with one peer in it. A node answers from the records that it has.
struct Book;

impl Peers for Book {
    fn admit(&self, caller: &Caller<'_>) -> Admission {
        println!("asked by {} ({:?})", caller.address, caller.standing);
        Admission::Granted
    }

    fn addresses(&self, _: &Caller<'_>, _at_most: usize) -> Result<Vec<K3sAddress>, Unavailable> {
        let text =
            "/ip4/10.0.0.2/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        Ok(text.parse().into_iter().collect())
    }
}

/// K3s has these in its data folder: `server/tls/server-ca.crt`, `serving-kube-apiserver.crt` and its key.
fn certificates() -> Result<(CaBundle, KeyPair), Box<dyn Error>> {
    let (mut ca, key) = (CertificateParams::new(Vec::new())?, rcgen::KeyPair::generate()?);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&key)?.pem();
    let own_key = rcgen::KeyPair::generate()?;
    let own = CertificateParams::new(["127.0.0.1".to_owned()])?;
    let own = own.signed_by(&own_key, &Issuer::new(ca, key))?.pem();
    let key_pair = KeyPair::from_pem(own.as_bytes(), own_key.serialize_pem().as_bytes())?;
    Ok((CaBundle::from_pem(pem.as_bytes())?, key_pair))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (ca, own) = certificates()?;
    let token: JoinToken = format!("K10{}::node:secret", ca.hash()).parse()?;

    let server = K3sServer::new(Book, Access::new([&token])?, Some(&ca));
    let tls = ServerTls::new(&own, Some(&ca))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}", listener.local_addr()?).parse()?;
    let served = tokio::spawn(serve(listener, move || tls.clone(), Arc::new(server), Open));

    let client = K3sClient::connect(ClientConfig {
        server: url,
        distribution: Distribution::K3s,
        token,
        key_pair: None,
        trust: Trust::Token,
    })
    .await?;
    for address in client.peers().await?.peers.addresses {
        println!("{} is at {}", address.peer, address.address);
    }
    served.abort();
    Ok(())
}
