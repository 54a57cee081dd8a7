//! Serves `/id`, so that Spegel and other nodes find this one.
//!
//! On a listener of its own: the gRPC service wants a certificate that Spegel does not have, the admin port is for this
//! host alone, and K3s's path wants K3s's credentials.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;
use unring_bootstrap::write_id;
use unring_rate_governor::{Decision, Limited, Priority};

use crate::admin::Bounded;
use crate::errors::chain;
use crate::exchange::CallerKey;
use crate::log::NODE;
use crate::node::Parts;

/// Connections at once. Further ones wait in the system's queue: each asks once and is closed.
const MAX_ID_CONNECTIONS: usize = 32;

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Remote(SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(parts: Arc<Parts>, listener: std::net::TcpListener) {
    let router = Router::new().route("/id", get(id)).with_state(parts);
    let served = async {
        let listener = Bounded::new(TcpListener::from_std(listener)?, MAX_ID_CONNECTIONS);
        axum::serve(listener, router.into_make_service_with_connect_info::<Remote>()).await
    };
    if let Err(error) = served.await {
        tracing::error!(target: NODE, error = chain(&error), "/id is not served");
    }
}

async fn id(State(parts): State<Arc<Parts>>, ConnectInfo(remote): ConnectInfo<Remote>) -> Response {
    // Anybody may ask, so it comes after those who take part.
    let caller = CallerKey::Anonymous(remote.0.ip().to_canonical());
    let close = (header::CONNECTION, "close");
    match parts.governor.check(&caller, Priority::Probe, NonZeroU32::MIN) {
        Decision::Admitted => {
            let text = write_id(parts.me, &parts.advertised.libp2p);
            ([(header::CONTENT_TYPE, "application/json"), close], text).into_response()
        }
        Decision::Degraded(Limited { retry_after, .. })
        | Decision::Refused(Limited { retry_after, .. }) => {
            let seconds = retry_after.as_secs().saturating_add(1).to_string();
            let later = [(header::RETRY_AFTER, seconds)];
            (StatusCode::TOO_MANY_REQUESTS, [close], later, "busy\n").into_response()
        }
    }
}
