//! Peer ids, validated addresses and signed node records.
