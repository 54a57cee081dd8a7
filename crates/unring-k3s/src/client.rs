//! The client: a server's addresses, once its CA is known.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::access::authorization;
use crate::answer::{InvalidAnswer, PeerList, parse_answer};
use crate::ca::{CaBundle, InvalidCa, WrongCa};
use crate::fetch::{Call, CallError};
use crate::limits;
use crate::path::{CA_PATH, Distribution};
use crate::tls::{self, KeyPair};
use crate::token::{CaHash, JoinToken};
use crate::url::ServerUrl;

/// How a server's CA is known.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By the hash in the join token. The CA is fetched from the server, which is not believed until the hash is right.
    Token,
    /// It is given, such as K3s's `server-ca.crt`. If the token has a hash, that must be right too.
    Bundle(CaBundle),
    /// By nothing: whatever CA the server first shows is believed, as K3s does with a token without a hash. Somebody in
    /// between then gets the credentials. A hash in the token is checked all the same.
    FirstUse,
}

/// Who to ask, and as whom.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where it is.
    pub server: ServerUrl,
    /// Which product it is.
    pub distribution: Distribution,
    /// Who one is. K3s sends a password only with a user, so a bare password needs a certificate beside it.
    pub token: JoinToken,
    /// A client certificate, such as K3s's `client-kubelet.crt`.
    pub key_pair: Option<KeyPair>,
    /// How its CA is known.
    pub trust: Trust,
}

/// Asks one server. Each call has a connection of its own, as in K3s, and takes at most [`crate::CALL_TIMEOUT`].
#[derive(Clone)]
pub struct K3sClient {
    server: ServerUrl,
    distribution: Distribution,
    token: JoinToken,
    tls: Arc<rustls::ClientConfig>,
    ca: CaHash,
}

/// Why a server's CA is not believed.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A hash is asked for and the token has none.
    #[error(
        "the token of {server} does not include a CA hash: use the full token from the server's node-token file"
    )]
    NoHash {
        /// Of which server.
        server: ServerUrl,
    },
    /// The CA cannot be fetched.
    #[error("failed to get CA certs of {server}")]
    Fetch {
        /// From which server.
        server: ServerUrl,
        /// Why.
        #[source]
        source: CallError,
    },
    /// What was fetched is no CA.
    #[error("{server} serves no CA")]
    Invalid {
        /// Which server.
        server: ServerUrl,
        /// Why.
        #[source]
        source: InvalidCa,
    },
    /// It is not the CA of the token: the token is of another cluster, or somebody is in between.
    #[error("{server} is not the server of this token")]
    Wrong {
        /// Which server.
        server: ServerUrl,
        /// Both hashes.
        #[source]
        source: WrongCa,
    },
    /// The server's own certificate is not by its CA, not for its name, or expired.
    #[error("CA cert validation failed for {server}")]
    NotSigned {
        /// Which server.
        server: ServerUrl,
        /// Why.
        #[source]
        source: CallError,
    },
    /// Our own certificate or key is refused by the TLS library.
    #[error("the client certificate for {server} cannot be used")]
    KeyPair {
        /// For which server.
        server: ServerUrl,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Why a server did not tell its peers' addresses.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No answer with success.
    #[error("{server} did not answer with peer addresses")]
    Call {
        /// Which server.
        server: ServerUrl,
        /// Why.
        #[source]
        source: CallError,
    },
    /// An answer that is none.
    #[error("{server} answered with something else than peer addresses")]
    Answer {
        /// Which server.
        server: ServerUrl,
        /// What it is.
        #[source]
        source: InvalidAnswer,
    },
}

/// What a server told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The addresses.
    pub peers: PeerList,
    /// The address that the server's name led to this time, as the system gives it.
    pub remote: IpAddr,
}

impl K3sClient {
    /// Learns the server's CA, and checks it before any credentials are sent: at most two calls to `/cacerts`.
    ///
    /// # Errors
    /// When the CA cannot be had or is not the expected one, or the server's certificate is not by it.
    pub async fn connect(configuration: ClientConfig) -> Result<Self, ConnectError> {
        let ClientConfig { server, distribution, token, key_pair, trust } = configuration;
        let ca = match trust {
            Trust::Token if token.ca.is_none() => return Err(ConnectError::NoHash { server }),
            Trust::Token | Trust::FirstUse => fetch_ca(&server).await?,
            Trust::Bundle(ca) => ca,
        };
        if let Some(Err(source)) = token.ca.map(|hash| ca.verify(hash)) {
            return Err(ConnectError::Wrong { server, source });
        }
        let refused = |source| ConnectError::KeyPair { server: server.clone(), source };
        let tls = tls::trusting(&ca, key_pair.as_ref()).map_err(refused)?;
        // Without a certificate of ours: this is about theirs.
        let bare = tls::trusting(&ca, None).map_err(refused)?;
        match ca_call(&server, bare).get().await {
            Ok(_) => {}
            Err(source @ CallError::Tls(_)) => {
                return Err(ConnectError::NotSigned { server, source });
            }
            Err(source) => return Err(ConnectError::Fetch { server, source }),
        }
        Ok(Self { server, distribution, token, tls, ca: ca.hash() })
    }

    /// Asks for peer addresses, as JSON; a text is understood too.
    ///
    /// # Errors
    /// When there is no answer in time, or it is none.
    pub async fn peers(&self) -> Result<Fetched, FetchError> {
        let authorization = authorization(&self.token.credentials);
        let call = Call {
            server: &self.server,
            tls: Arc::clone(&self.tls),
            path: self.distribution.peers_path(),
            authorization: authorization.as_ref().map(|text| text.as_str()),
            at_most: limits::MAX_ANSWER_BYTES,
        };
        let fetched = call.get().await;
        let fetched =
            fetched.map_err(|source| FetchError::Call { server: self.server.clone(), source })?;
        let peers = parse_answer(&fetched.body)
            .map_err(|source| FetchError::Answer { server: self.server.clone(), source })?;
        Ok(Fetched { peers, remote: fetched.remote })
    }

    /// Which server it asks.
    #[must_use]
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The hash of its CA: the one to put into a token that has none.
    #[must_use]
    pub fn ca_hash(&self) -> CaHash {
        self.ca
    }
}

impl std::fmt::Debug for K3sClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("K3sClient")
            .field("server", &self.server)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

fn ca_call(server: &ServerUrl, tls: Arc<rustls::ClientConfig>) -> Call<'_> {
    Call { server, tls, path: CA_PATH, authorization: None, at_most: limits::MAX_CA_BYTES }
}

async fn fetch_ca(server: &ServerUrl) -> Result<CaBundle, ConnectError> {
    let failed = |source| ConnectError::Fetch { server: server.clone(), source };
    let tls = tls::trusting_anybody().map_err(|source| failed(CallError::TlsConfig(source)))?;
    let fetched = ca_call(server, tls).get().await.map_err(failed)?;
    CaBundle::from_pem(&fetched.body)
        .map_err(|source| ConnectError::Invalid { server: server.clone(), source })
}
