//! What this build is.

/// Version of the software, by semantic versioning.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from; "unknown" outside a checkout.
pub const COMMIT: &str = env!("UNRING_BUILD_COMMIT");

/// Version of the protocol between nodes: the protobuf package.
pub const PROTOCOL: &str = "unring.peeraddr.v1";
