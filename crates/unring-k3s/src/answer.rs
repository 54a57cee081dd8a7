//! What a server answers: a JSON list of addresses, or one address as text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use thiserror::Error;

use crate::address::K3sAddress;
use crate::limits;

/// The addresses of an answer, and what was left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    /// In the order of the answer, each once; at most [`limits::MAX_ANSWER_ADDRESSES`].
    pub addresses: Vec<K3sAddress>,
    /// How it was written.
    pub form: AnswerForm,
    /// What is not among the addresses.
    pub skipped: Skipped,
}

/// How an answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// A JSON list of texts: servers since January 2025.
    List,
    /// One address as text: older servers, and any server that was not asked for exactly `application/json`.
    Text,
}

/// Addresses left out, by reason. K3s drops them without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Not an address of the form that is dialled.
    pub invalid: usize,
    /// The same once more: K3s names each node twice.
    pub repeated: usize,
    /// Beyond [`limits::MAX_ANSWER_ADDRESSES`].
    pub beyond_limit: usize,
}

/// Why a body is no answer.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum InvalidAnswer {
    /// Longer than [`limits::MAX_ANSWER_BYTES`].
    #[error("answer of {got} bytes, at most {} are allowed", limits::MAX_ANSWER_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Such as the page of a proxy.
    #[error("the answer is neither a JSON list of addresses nor one address")]
    Neither,
}

/// Reads the body of an answer: a JSON list of texts, or else all of it as one address, as K3s's own client does.
///
/// Addresses that are not dialled are left out one by one and counted. `null` is an empty list, as Go writes it.
///
/// # Errors
/// When the body is too long, or neither a list nor one address. K3s takes the latter for an empty list.
pub fn parse_answer(body: &[u8]) -> Result<PeerList, InvalidAnswer> {
    if body.len() > limits::MAX_ANSWER_BYTES {
        return Err(InvalidAnswer::TooLong { got: body.len() });
    }
    if let Some(list) = parse_list(body) {
        return Ok(list);
    }
    let text = str::from_utf8(body).map_err(|_| InvalidAnswer::Neither)?;
    let address = text.trim_ascii().parse().map_err(|_| InvalidAnswer::Neither)?;
    Ok(PeerList { addresses: vec![address], form: AnswerForm::Text, skipped: Skipped::default() })
}

fn parse_list(body: &[u8]) -> Option<PeerList> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let list = json.deserialize_any(Texts).ok()?;
    json.end().ok()?;
    Some(list)
}

/// Takes addresses as they are read, so that no list of texts is built first.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = PeerList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of addresses")
    }

    fn visit_unit<E>(self) -> Result<PeerList, E> {
        Ok(PeerList { addresses: Vec::new(), form: AnswerForm::List, skipped: Skipped::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PeerList, A::Error> {
        let (mut seen, mut addresses, mut skipped) =
            (HashSet::new(), Vec::new(), Skipped::default());
        while let Some(text) = items.next_element::<Text<'_>>()? {
            match text.0.parse::<K3sAddress>() {
                Err(_) => skipped.invalid += 1,
                Ok(address) if seen.contains(&address) => skipped.repeated += 1,
                Ok(_) if addresses.len() == limits::MAX_ANSWER_ADDRESSES => {
                    skipped.beyond_limit += 1;
                }
                Ok(address) => {
                    seen.insert(address.clone());
                    addresses.push(address);
                }
            }
        }
        Ok(PeerList { addresses, form: AnswerForm::List, skipped })
    }
}

/// A text, borrowed from the body where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
