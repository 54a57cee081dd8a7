//! What is answered, and its bytes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::address::K3sAddress;

/// An answer of the server. `status` and the bodies are those of K3s, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200, a JSON list.
    List(Vec<K3sAddress>),
    /// 200, one address as text, without a line break.
    First(K3sAddress),
    /// 200, the CA in PEM.
    Ca(Bytes),
    /// 401: neither certificate nor token.
    Unauthorized,
    /// 403: known, and not let in.
    Forbidden {
        /// Who, as the certificate or the client says.
        user: String,
        /// The method in small letters.
        verb: String,
        /// What was asked for.
        path: String,
    },
    /// 404.
    NotFound,
    /// 429, with `Retry-After` in whole seconds, at least 1.
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
    /// 500, with this text.
    Failed(String),
    /// 503: there is no address.
    NoAddresses,
    /// 503: it is too early to know.
    Starting,
}

const JSON: &str = "application/json";
/// What Go's `http.Error` writes.
const ERROR_TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::List(_) | Self::First(_) | Self::Ca(_) => StatusCode::OK,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoAddresses | Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn content_type(&self) -> &'static str {
        match self {
            Self::List(_) | Self::Unauthorized | Self::Forbidden { .. } | Self::Starting => JSON,
            Self::First(_) | Self::Ca(_) => "text/plain",
            Self::NotFound | Self::TooMany { .. } | Self::Failed(_) | Self::NoAddresses => {
                ERROR_TEXT
            }
        }
    }

    fn body(&self) -> Bytes {
        match self {
            Self::List(addresses) => {
                let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                serde_json::to_vec(&texts).unwrap_or_default().into()
            }
            Self::First(address) => address.to_string().into(),
            Self::Ca(pem) => pem.clone(),
            Self::Unauthorized => status("Unauthorized", "Unauthorized", None, 401),
            Self::Forbidden { user, verb, path } => {
                let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
                status(&escaped(&message), "Forbidden", Some(Nothing {}), 403)
            }
            Self::NotFound => "404 page not found\n".into(),
            Self::TooMany { .. } => "Too many requests, please try again later.\n".into(),
            Self::Failed(why) => format!("{why}\n").into(),
            Self::NoAddresses => "no peer addresses available\n".into(),
            Self::Starting => status("starting", "ServiceUnavailable", None, 503),
        }
    }

    /// The whole answer.
    #[must_use]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        // As the filter of Kubernetes does: what is behind authentication is in no cache.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if self.content_type() == ERROR_TEXT || matches!(self, Self::Forbidden { .. }) {
            let name = HeaderName::from_static("x-content-type-options");
            headers.insert(name, HeaderValue::from_static("nosniff"));
        }
        if let Self::TooMany { retry_after } = self {
            headers.insert(RETRY_AFTER, whole_seconds(retry_after).into());
        }
        response
    }
}

/// Rounded up, so that nobody comes too early.
fn whole_seconds(delay: Duration) -> u64 {
    let more = u64::from(delay.subsec_nanos() > 0);
    delay.as_secs().saturating_add(more).max(1)
}

/// `Status` of the Kubernetes API, its fields in the order in which Kubernetes writes them.
#[derive(Serialize)]
struct Status<'a> {
    kind: &'a str,
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    metadata: Nothing,
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Nothing>,
    code: u16,
}

/// `{}`.
#[derive(Serialize)]
struct Nothing {}

fn status(message: &str, reason: &str, details: Option<Nothing>, code: u16) -> Bytes {
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Nothing {},
        status: "Failure",
        message,
        reason,
        details,
        code,
    };
    let mut body = serde_json::to_vec(&status).unwrap_or_default();
    body.push(b'\n');
    body.into()
}

/// As Kubernetes does with names that come from a client: an answer may be shown in a browser.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
