//! What the services of the reference stack say to each other, compiled from `proto/`.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "generated")]

/// The services and messages of `mainstay.reference.v1`.
#[allow(
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub
)]
pub mod v1 {
    tonic::include_proto!("mainstay.reference.v1");
}

/// All of it as a `FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
