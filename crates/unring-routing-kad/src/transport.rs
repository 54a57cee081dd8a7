//! TCP, a private network if there is one, Noise or TLS, yamux.

use std::io;

use futures::future::{BoxFuture, Either, FutureExt as _};
use futures::{AsyncRead, AsyncWrite, TryFutureExt as _};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, SelectUpgrade, UpgradeInfo, Version,
};
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::{Transport as _, noise, tcp, tls};
use libp2p_identity::{Keypair, PeerId};
use thiserror::Error;

use crate::config;
use crate::first_bytes::Greeted;
use crate::mux::Multiplex;
use crate::network_key::NetworkKey;

/// Why there are no keys for the handshakes.
#[derive(Debug, Error)]
pub(crate) enum SetupError {
    #[error("failed to set up Noise")]
    Noise(#[source] noise::Error),
    #[error("failed to set up TLS")]
    Tls(#[source] tls::certificate::GenError),
}

/// Everything below the protocols.
pub(crate) fn build(
    keypair: &Keypair,
    key: Option<NetworkKey>,
    multiplex: Multiplex,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SetupError> {
    // Noise first: it is the cheaper handshake, and every implementation has it.
    let noise = noise::Config::new(keypair).map_err(SetupError::Noise)?;
    let tls = tls::Config::new(keypair).map_err(SetupError::Tls)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let tcp = TransportTimeout::with_outgoing_timeout(tcp, config::CONNECT_TIMEOUT);
    let private = tcp.and_then(move |stream, _| async move {
        let stream = match key {
            None => Either::Right(stream),
            Some(key) => {
                let handshake = PnetConfig::new(PreSharedKey::new(key.bytes())).handshake(stream);
                Either::Left(handshake.await.map_err(io::Error::other)?)
            }
        };
        Ok::<_, io::Error>(Greeted::new(stream))
    });
    Ok(private
        .upgrade(Version::V1Lazy)
        .authenticate(Security(SelectUpgrade::new(noise, tls)))
        .multiplex(multiplex)
        .timeout(config::HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed())
}

/// Either of two, with one form of what comes of it.
#[derive(Clone)]
struct Security(SelectUpgrade<noise::Config, tls::Config>);

type Select = SelectUpgrade<noise::Config, tls::Config>;
type Secured<C> = Either<noise::Output<C>, tls::TlsStream<C>>;

/// Why two peers did not come to trust each other's id.
#[derive(Debug, Error)]
enum SecurityError {
    #[error("the Noise handshake failed")]
    Noise(#[source] noise::Error),
    #[error("the TLS handshake failed")]
    Tls(#[source] tls::UpgradeError),
}

fn either<C>(
    result: Either<(PeerId, noise::Output<C>), (PeerId, tls::TlsStream<C>)>,
) -> (PeerId, Secured<C>) {
    match result {
        Either::Left((peer, stream)) => (peer, Either::Left(stream)),
        Either::Right((peer, stream)) => (peer, Either::Right(stream)),
    }
}

fn failed(error: ::either::Either<noise::Error, tls::UpgradeError>) -> SecurityError {
    error.either(SecurityError::Noise, SecurityError::Tls)
}

impl UpgradeInfo for Security {
    type Info = <Select as UpgradeInfo>::Info;
    type InfoIter = <Select as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for Security {
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(socket, info).map_ok(either).map_err(failed).boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for Security {
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(socket, info).map_ok(either).map_err(failed).boxed()
    }
}
