//! The probes over HTTP.
//!
//! [`HealthService`] is a tower service: it answers in hyper, axum, or whatever else speaks `http`, for any request body. It
//! never waits, and runs no check: it reads the manager's latest report.
//!
//! ```
//! use http::Request;
//! use mainstay_health::HealthManager;
//! use mainstay_health::http::HealthService;
//! use tower_service::Service;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthManager::builder("orchestrator").build()?;
//! let mut probes = HealthService::new(&health);
//!
//! let response = probes.call(Request::get("/readyz").body(())?).await?;
//! assert_eq!((response.status().as_u16(), response.body().as_bytes()), (503, &b"not ready: created"[..]));
//!
//! health.start()?;
//! let response = probes.call(Request::get("/readyz").body(())?).await?;
//! assert_eq!((response.status().as_u16(), response.body().as_bytes()), (200, &b"ok"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! Balancers and orchestrators ask `/readyz`, `/livez` and `/startupz`, never `/health`: that one tells how the whole is, which
//! is for people and dashboards. It fails while a shared dependency is down, and would take every replica out at once.
//!
//! # Endpoints
//!
//! For GET and HEAD; other methods are answered with 405, other paths with 404.
//!
//! | path | 200 when | content |
//! | --- | --- | --- |
//! | `/livez` | live | text: `ok`, or in one line why not |
//! | `/readyz` | ready | the same |
//! | `/startupz` | started | the same |
//! | `/healthz` | the whole is healthy or degraded | `ok`, or in one line what is degraded or unhealthy |
//! | `/health` | the whole is healthy or degraded | JSON: `status`, `message`, `timestamp`, `duration`, `degraded`, `ready`, `live` |
//! | `/health/ready`, `/ready`, `/readiness` | ready | JSON: `status` (`ready`, `not ready`), `ready`, `timestamp` |
//! | `/health/live` | live | JSON: `status` (`alive`, `not alive`), `live`, `timestamp` |
//! | `/health/detailed` | the whole is healthy or degraded | JSON: `overall` (what `/health` says), `components` by name, `summary`, `timestamp` |
//!
//! Else the status is 503. Results that are too old are none: then the service is not ready, and the whole is unhealthy, because
//! it is `stale`. What draining or maintenance does to readiness is not held against the whole.
//!
//! - `?verbose`, on those with text: a line for each check, `[+]` if it passes this probe and `[-]` if it fails it.
//! - `?exclude=name`, on those with text, any number of times: as if that check did not exist. Names of no check are listed by
//!   `?verbose`.
//! - `Accept: application/health+json`, on all: the format of that name (draft-inadarei-api-health-check), for the same probe,
//!   with the same status.
//!
//! Durations are numbers, in milliseconds: that of a component is the latest run's, that of the whole the longest of these.
//! Timestamps are RFC 3339: of a component when its latest run ended, of the whole when the report was made. Every answer says
//! `Cache-Control: no-store`.
//!
//! # What is shown to whom
//!
//! Names, statuses, reasons, scopes, classes of errors, latencies and times are for everybody who gets through to the port.
//! Messages, error texts and details may hold hosts, users or worse, and are shown only where [`DetailsPolicy`] allows it, in
//! `/health/detailed` and `application/health+json`. Allow it on a port of its own for administration.

mod accept;
mod body;
mod endpoint;
mod json;
mod pages;
mod policy;
mod query;
mod respond;
mod service;
mod standard;
mod text;
mod view;

pub use body::ProbeBody;
pub use endpoint::Endpoint;
pub use policy::{Allows, DetailsPolicy};
pub use service::HealthService;

pub(crate) use pages::Pages;
