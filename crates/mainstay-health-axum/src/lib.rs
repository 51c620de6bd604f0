//! The probes of [`mainstay_health`] as an axum router.
//!
//! ```
//! use axum::{Router, routing::get};
//! use mainstay_health::HealthManager;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthManager::builder("orchestrator").build()?;
//! health.start()?;
//! let app: Router = Router::new()
//!     .route("/tasks", get(async || "none"))
//!     .merge(mainstay_health_axum::router(&health));
//! # Ok(())
//! # }
//! ```
//!
//! What each path answers is at [`mainstay_health::http`]. Balancers and orchestrators ask `/readyz`, `/livez` and
//! `/startupz`. Never let them ask `/health`: it tells how the whole is, and takes every replica out at once while a dependency
//! that all of them share is down.
//!
//! Messages, error texts and details of checks are for nobody, unless [`Probes::details`] says otherwise. Serve them on a port
//! of its own for administration, and what the traffic's port needs there:
//!
//! ```
//! use axum::Router;
//! use mainstay_health::HealthManager;
//! use mainstay_health::http::{DetailsPolicy, Endpoint};
//! use mainstay_health_axum::Probes;
//!
//! # fn example(health: HealthManager) {
//! let traffic: Router = Probes::new(&health).only([Endpoint::Readyz, Endpoint::Livez, Endpoint::Startupz]).router();
//! let admin: Router = Probes::new(&health).details(DetailsPolicy::Always).router();
//! # }
//! ```
//!
//! A server that ends without losing a request, in ten lines:
//!
//! ```no_run
//! use axum::Router;
//! use mainstay_health::{HealthManager, Shutdown};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthManager::builder("orchestrator").build()?;
//! health.start()?;
//! let shutdown = Shutdown::on_signals(&health)?;
//! let app: Router = mainstay_health_axum::router(&health);
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
//! let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.stop_accepting());
//! shutdown.run(server).await.output.ok_or("it did not end in time")??;
//! # Ok(())
//! # }
//! ```
//!
//! Layers that time out, limit, authenticate or shed do not belong around probes: merge them after those.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod probes;

pub use probes::{Probes, router};

pub use axum;
pub use mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};

/// The README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
