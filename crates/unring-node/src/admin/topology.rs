//! Who joins whom and in which rings, in the format that the reader asks for.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use unring_cycle_detector::{ExportLimits, Format};

use crate::node::Parts;

/// Bytes of one topology: 2000 nodes with 3 joins each, as JSON. As many connections as there may be at once then hold
/// 128 MiB. Above it, whatever is on no ring is left out first, and the answer says how much.
const MAX_TOPOLOGY_BYTES: usize = 2 * 1024 * 1024;

/// `?format=`, `text` without it.
pub(super) async fn topology(State(parts): State<Arc<Parts>>, query: RawQuery) -> Response {
    let Some(format) = format(query.0.as_deref()) else {
        let what = "only ?format=text, dot, mermaid or json is understood\n";
        return (StatusCode::BAD_REQUEST, what).into_response();
    };
    let mut limits = ExportLimits::of(format);
    limits.bytes = limits.bytes.min(MAX_TOPOLOGY_BYTES);
    // Copied under the engine's lock, written down outside of it.
    let topology = parts.exchange.read(|engine, _| engine.topology());
    let text = topology.export_within(format, limits);
    let headers =
        [(header::CONTENT_TYPE, format.media_type()), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, text).into_response()
}

fn format(query: Option<&str>) -> Option<Format> {
    match query {
        None | Some("") => Some(Format::Text),
        Some(query) => query.strip_prefix("format=")?.to_ascii_lowercase().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_format_is_asked_for_or_none() {
        assert_eq!(format(None), Some(Format::Text));
        assert_eq!(format(Some("")), Some(Format::Text));
        for query in ["format=json", "format=JSON", "format=Json"] {
            assert_eq!(format(Some(query)), Some(Format::Json), "{query}");
        }
        for query in ["format=", "format=svg", "json", "format=dot&format=text", "x=1&format=dot"] {
            assert_eq!(format(Some(query)), None, "{query}");
        }
    }
}
