//! `docs/security.md` names tests that are there.

use crate::architecture::source;
use crate::markdown::{code_spans, document, rows, section};

#[test]
fn every_threat_has_a_test_that_is_there() {
    let (text, source) = (document("docs/security.md"), source());
    let rows = rows(section(&text, "## Threats, by STRIDE"));
    assert!(rows.len() > 20, "{} threats", rows.len());
    for row in &rows {
        let tests = code_spans(&row[3]);
        assert!(!tests.is_empty(), "{row:?}");
        let missing: Vec<_> =
            tests.iter().filter(|name| !source.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "no such tests: {missing:?}");
    }
    for boundary in ["gRPC", "libp2p", "K3s path", "admin", "disk", "config"] {
        assert!(rows.iter().any(|row| row[0].starts_with(boundary)), "{boundary}");
    }
    let of_grpc = rows.iter().filter(|row| row[0] == "gRPC").map(|row| row[1].as_str());
    let of_grpc: Vec<_> = of_grpc.collect();
    for letter in ["spoofing", "tampering", "repudiation", "information", "denial", "elevation"] {
        assert!(of_grpc.iter().any(|threat| threat.starts_with(letter)), "{letter}");
    }
}
