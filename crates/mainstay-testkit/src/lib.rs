//! Real servers on free ports, a TCP proxy that breaks connections, and a probe for tower services. For tests only.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mainstay_testkit::{Fault, FaultProxy, RedisServer};
//!
//! let mut redis = RedisServer::start()?;
//! let proxy = FaultProxy::start(redis.addr())?;
//! let url = redis.url_at(proxy.addr());      // to the server, by way of the proxy
//!
//! proxy.set(Fault::Delay(Duration::from_millis(200)));
//! proxy.set(Fault::BlackHole);
//! proxy.set(Fault::None);
//! redis.stop()?;                             // SIGSTOP: connects are accepted, nothing answers
//! redis.resume()?;
//! redis.kill()?;                             // SIGKILL: connects are refused
//! redis.restart()?;                          // the same port, the same data
//! # Ok::<(), mainstay_testkit::TestkitError>(())
//! ```
//!
//! - [`RedisServer`] and [`PostgresServer`] run what is installed here. A missing binary is an error that says how to
//!   install it.
//! - [`HttpServer`] and [`GrpcServer`] do what the request says; they are in this crate's own binary,
//!   `mainstay-testkit-server`, which is built when it is missing.
//! - [`FaultProxy`] refuses, swallows, delays, limits, cuts or resets connections to any of them.
//! - [`ServiceProbe`] records what a tower layer does to the service below it.
//! - `models` (with the feature of that name) says how long tests against a model run, and from which seed.
//!
//! Each server is a process of its own, with a temporary directory of its own (where `TMPDIR` says, or else in
//! `/dev/shm` while 2 GiB are free there, or else in `/tmp`), on a port of 127.0.0.1 that is kept for it until it is
//! dropped. All methods block and are quick (a start or restart takes some 10 ms for most, some 100 ms for
//! PostgreSQL), in tests with and without a runtime; a paused clock of tokio's does not matter to them.
//!
//! # Tear-down
//!
//! Dropping a server kills it and all its child processes and removes its directory, also when the test panics. If
//! the test's process is killed, aborts, or ends with a server in a `static`, a shell that watches over the server
//! (one for each) does the same.
//!
//! # What it needs
//!
//! Linux or macOS, with `/bin/sh`. In a container whose first process waits for nobody (`docker run` without
//! `--init`) killed children of PostgreSQL remain as zombies, which does no harm to tests.
//!
//! # Features
//!
//! One for each server, all of them on by default: `redis`, `postgres`, `grpc`, `http`. `server`, also on by default,
//! builds the binary along with this crate. `models` is off by default. The proxy and the probe are always there.

#![forbid(unsafe_code)]
// What runs servers is the same for all; with some of them left out some of it is not used.
#![cfg_attr(
    not(all(feature = "redis", feature = "postgres", feature = "grpc", feature = "http")),
    allow(dead_code, unused_imports, unused_macros)
)]

mod companion;
mod daemon;
mod error;
mod family;
mod fault;
#[cfg(feature = "grpc")]
pub mod grpc;
mod guardian;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "models")]
pub mod models;
mod package;
mod place;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
mod probe;
mod proxy;
#[cfg(feature = "redis")]
mod redis;
mod server;
mod workshop;

pub use crate::error::TestkitError;
pub use crate::fault::Fault;
#[cfg(feature = "grpc")]
pub use crate::grpc::GrpcServer;
#[cfg(feature = "http")]
pub use crate::http::HttpServer;
#[cfg(feature = "postgres")]
pub use crate::postgres::{PostgresBuilder, PostgresServer};
pub use crate::probe::{ProbeFuture, ProbeHandle, Reply, ServiceProbe};
pub use crate::proxy::FaultProxy;
#[cfg(feature = "redis")]
pub use crate::redis::{RedisBuilder, RedisServer};

/// The code in the README is compiled with the tests.
#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../README.md")]
struct Readme;
