#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alone;
mod backoff;
mod candidate;
mod dns;
mod dnsaddr;
mod entry;
mod http;
mod id;
pub mod limits;
mod source;
mod table;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
mod tls;

pub use self::alone::{Alone, Company};
pub use self::candidate::{Candidate, InvalidCandidate};
pub use self::dns::{Dns, DnsError};
pub use self::dnsaddr::{DnsaddrWalk, Lookup};
pub use self::entry::{Activity, Counts, LastView, SourceView};
pub use self::http::{HttpError, HttpSource, HttpUrl, InvalidHttpUrl};
pub use self::id::{IdAnswer, IdForm, InvalidId, parse_id, write_id};
pub use self::source::{Kind, Outcome};
pub use self::table::{Action, Answer, Attempt, Myself, Table, TooManySources};
pub use self::tls::{Tls, TlsError};

#[cfg(test)]
mod tests;
