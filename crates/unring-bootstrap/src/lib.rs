#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alone;
mod backoff;
mod candidate;
mod dnsaddr;
mod entry;
mod id;
pub mod limits;
mod source;
mod table;

pub use self::alone::{Alone, Company};
pub use self::candidate::{Candidate, InvalidCandidate};
pub use self::dnsaddr::{DnsaddrWalk, Lookup};
pub use self::entry::{Activity, Counts, LastView, SourceView};
pub use self::id::{IdAnswer, IdForm, InvalidId, parse_id, write_id};
pub use self::source::{Kind, Outcome};
pub use self::table::{Action, Answer, Attempt, Myself, Table, TooManySources};

#[cfg(test)]
mod tests;
