//! The server: requests of any HTTP library in, answers out.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Response, request};
use http_body_util::Full;
use tracing::{debug, warn};

use crate::access::{Access, CertifiedUser};
use crate::ca::CaBundle;
use crate::limits;
use crate::log_limit::{Kind, LogLimit};
use crate::offer::Offer;
use crate::path::Route;
use crate::reply::Reply;
use crate::respond::{Caller, Peers, Request, respond};

/// Answers `/v1-k3s/p2p`, `/v1-rke2/p2p` and `/cacerts`; anything else is not found.
///
/// [`respond`](Self::respond) is all an HTTP library needs; it never waits. [`crate::serve`] is such a library's part.
#[derive(Debug)]
pub struct K3sServer<P> {
    peers: P,
    offer: Offer,
    log: Mutex<LogLimit>,
}

impl<P: Peers> K3sServer<P> {
    /// Answers from `peers` to those whom `access` or a certificate lets in. With `ca`, `/cacerts` serves it: a client
    /// pins its hash.
    #[must_use]
    pub fn new(peers: P, access: Access, ca: Option<&CaBundle>) -> Self {
        Self::going_by(peers, Offer::new(access, ca))
    }

    /// The same by what `offer` says at the time of each request.
    #[must_use]
    pub fn going_by(peers: P, offer: Offer) -> Self {
        Self { peers, offer, log: Mutex::default() }
    }

    /// Answers one request of a client at `address`, whose certificate TLS has verified if there is one. `now` is the time
    /// since any fixed point.
    pub fn respond(
        &self,
        request: &request::Parts,
        address: IpAddr,
        certificate: Option<&CertifiedUser>,
        now: Duration,
    ) -> Response<Full<Bytes>> {
        let header = |name| request.headers.get(name).map(http::HeaderValue::as_bytes);
        let question = Request {
            method: request.method.as_str(),
            path: request.uri.path(),
            accept: header(ACCEPT),
            authorization: header(AUTHORIZATION),
        };
        let offered = self.offer.now();
        let standing = offered.access.standing(question.authorization, certificate);
        let caller = Caller { address: address.to_canonical(), standing: &standing };
        let reply = respond(&question, &caller, &self.peers, offered.ca.as_ref());
        if Route::of(question.path) == Route::Peers {
            self.log(&reply, caller.address, now);
        }
        reply.into_response()
    }

    /// In the words of K3s, where it has some. K3s writes a line for each request; this is one a minute and client, and
    /// another one if it is refused.
    fn log(&self, reply: &Reply, client: IpAddr, now: Duration) {
        let kind = match reply {
            Reply::Starting | Reply::NotFound | Reply::Ca(_) => return,
            Reply::List(_) | Reply::First(_) | Reply::NoAddresses => Kind::Ordinary,
            Reply::Unauthorized
            | Reply::Forbidden { .. }
            | Reply::TooMany { .. }
            | Reply::Failed(_) => Kind::Refusal,
        };
        let mut limit = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(withheld) = limit.line(client, kind, now) else { return };
        drop(limit);
        match reply {
            Reply::List(addresses) => {
                let shown: Vec<_> = addresses.iter().take(limits::MAX_LOGGED_ADDRESSES).collect();
                let shown = shown.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let more = match addresses.len().saturating_sub(limits::MAX_LOGGED_ADDRESSES) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                debug!(withheld, "Serving p2p peer addrs [{shown}{more}] to client at {client}");
            }
            Reply::First(address) => {
                debug!(withheld, "Serving p2p peer addr {address} to client at {client}");
            }
            Reply::Unauthorized => {
                warn!(withheld, "Unauthorized: refused p2p peer addrs to client at {client}");
            }
            Reply::Forbidden { .. } => {
                warn!(withheld, "Forbidden: refused p2p peer addrs to client at {client}");
            }
            Reply::TooMany { .. } => {
                debug!(withheld, "Too many requests for p2p peer addrs from client at {client}");
            }
            Reply::NoAddresses => {
                debug!(withheld, "no peer addresses available for client at {client}");
            }
            Reply::Failed(why) => {
                warn!(withheld, "no p2p peer addrs for client at {client}: {why}")
            }
            Reply::Starting | Reply::NotFound | Reply::Ca(_) => {}
        }
    }
}
