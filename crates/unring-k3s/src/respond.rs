//! What a request gets: a function of the request, who asks, and what the node knows. Nobody else is asked.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::access::Standing;
use crate::address::K3sAddress;
use crate::limits;
use crate::path::Route;
use crate::reply::Reply;

/// What the server needs of the node it runs on.
///
/// Both are answered at once, from memory: neither can wait for anybody, so no ring of joins can come about here.
pub trait Peers {
    /// Whether this caller is answered now. Asked once for each request, whatever it asks for and whoever asks: those who
    /// are [`Standing::Unknown`] cost no less than the others.
    fn admit(&self, caller: &Caller<'_>) -> Admission;

    /// At most `at_most` addresses from the local book, for this caller, who is let in and asks for them. K3s gives its own
    /// only where it knows of no other.
    ///
    /// # Errors
    /// When the book cannot be asked yet, or cannot be read.
    fn addresses(
        &self,
        caller: &Caller<'_>,
        at_most: usize,
    ) -> Result<Vec<K3sAddress>, Unavailable>;
}

impl<P: Peers + ?Sized> Peers for std::sync::Arc<P> {
    fn admit(&self, caller: &Caller<'_>) -> Admission {
        (**self).admit(caller)
    }

    fn addresses(
        &self,
        caller: &Caller<'_>,
        at_most: usize,
    ) -> Result<Vec<K3sAddress>, Unavailable> {
        (**self).addresses(caller, at_most)
    }
}

/// Who asks, from where.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The other end of the connection.
    pub address: IpAddr,
    /// Who that is.
    pub standing: &'a Standing,
}

/// Whether a caller is answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Granted,
    /// Not now: 429.
    Later {
        /// When to come back; said in whole seconds, rounded up, at least 1 as in K3s.
        retry_after: Duration,
    },
    /// Never, though known: 403. To those who are not it is the same as [`Granted`](Self::Granted).
    Forbidden,
}

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is too early to know: 503.
    Starting,
    /// The book cannot be read: 500 with this text, which the client sees.
    Failed(String),
}

/// What matters of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Only shown: as in K3s, any method is answered.
    pub method: &'a str,
    /// Compared as a whole.
    pub path: &'a str,
    /// The `Accept` header. Exactly `application/json` asks for a list; as in K3s, nothing else does.
    pub accept: Option<&'a [u8]>,
    /// The `Authorization` header.
    pub authorization: Option<&'a [u8]>,
}

/// Decides what a request gets. `ca` is what `/cacerts` answers.
pub fn respond(
    request: &Request<'_>,
    caller: &Caller<'_>,
    peers: &impl Peers,
    ca: Option<&Bytes>,
) -> Reply {
    let admission = peers.admit(caller);
    if let Admission::Later { retry_after } = admission {
        return Reply::TooMany { retry_after };
    }
    match (Route::of(request.path), ca) {
        (Route::Ca, Some(pem)) => return Reply::Ca(pem.clone()),
        (Route::Nowhere, _) | (Route::Ca, None) => return Reply::NotFound,
        (Route::Peers, _) => {}
    }
    let user = match caller.standing {
        Standing::Unknown => return Reply::Unauthorized,
        Standing::Certified(user) => &user.name,
        Standing::Token { user } => user,
    };
    if admission == Admission::Forbidden {
        let (verb, path) = (request.method.to_ascii_lowercase(), request.path.to_owned());
        return Reply::Forbidden { user: user.clone(), verb, path };
    }
    let mut addresses = match peers.addresses(caller, limits::MAX_SERVED_ADDRESSES) {
        Ok(addresses) => addresses,
        Err(Unavailable::Starting) => return Reply::Starting,
        Err(Unavailable::Failed(why)) => return Reply::Failed(why),
    };
    addresses.truncate(limits::MAX_SERVED_ADDRESSES);
    match addresses.first() {
        None => Reply::NoAddresses,
        Some(_) if request.accept == Some(b"application/json") => Reply::List(addresses),
        Some(first) => Reply::First(first.clone()),
    }
}
