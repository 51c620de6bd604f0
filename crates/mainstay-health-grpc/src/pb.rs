//! The messages of `grpc.health.v1`, the client and the server's trait, generated from `proto/grpc/health/v1/health.proto`.
#![allow(missing_docs, unreachable_pub, clippy::all)]

include!("generated/grpc.health.v1.rs");
