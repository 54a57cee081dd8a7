//! The peer address protocol over gRPC: client, server, wire conversions.
#![forbid(unsafe_code)]

pub mod pb;
