//! The messages of `grpc.health.v1`, the client and the server's trait, generated from `proto/grpc/health/v1/health.proto`.
#![allow(missing_docs, unreachable_pub, clippy::all)]

include!("generated/grpc.health.v1.rs");

/// The protocol as an encoded `FileDescriptorSet`, for server reflection (`tonic_reflection::server::Builder`).
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/grpc.health.v1.bin");
