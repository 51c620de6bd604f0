//! The `grpc.health.v1.Health` service over [`mainstay_health`]: `Check`, `Watch` and `List`, for [`tonic`]; and a probe of such
//! services.
//!
//! ```no_run
//! use mainstay_health::{Check, HealthManager, Shutdown};
//! use mainstay_health_grpc::{HealthGrpc, Serves};
//! use mainstay_health_grpc::tonic::transport::Server;
//!
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthManager::builder("orders")
//!     .check(Check::shared("postgres", || async { ping().await }).critical())
//!     .build()?;
//! health.start()?;
//! let shutdown = Shutdown::new(&health);
//!
//! let service = HealthGrpc::new(&health).service("orders.v1.Orders", Serves::check("postgres"));
//! let server = Server::builder()
//!     .add_service(service)
//!     .serve_with_shutdown("0.0.0.0:50052".parse()?, shutdown.stop_accepting());
//! shutdown.run(server).await;
//! # Ok(())
//! # }
//! ```
//!
//! - The service: [`HealthGrpc`], and what its names stand for: [`Serves`].
#![cfg_attr(
    feature = "probe",
    doc = "- From outside: [`probe`], with the exit codes of `grpc_health_probe`."
)]
//! - Messages, client and server of the protocol: [`pb`].
//!
//! # Which name to ask for
//!
//! Load balancers ask for `""` or `readiness`, or for a service of yours that stands for a part of it. `liveness` is for
//! what restarts the process, and for nothing else: a dependency's outage never fails it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod names;
pub mod pb;
#[cfg(feature = "probe")]
mod probe;
mod serves;
mod service;
mod watcher;

#[cfg(feature = "probe")]
pub use probe::{ProbeTimeouts, probe};
pub use serves::Serves;
pub use service::HealthGrpc;
pub use tonic;

/// The code in the README is compiled with the tests.
#[cfg(all(doctest, feature = "probe"))]
#[doc = include_str!("../README.md")]
mod readme {}
