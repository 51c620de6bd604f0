//! A circuit breaker for HTTP: around clients, one for all requests or one for each host, and around servers.
//!
//! It is a tower layer over `http::Request` and `http::Response` with any body, so it fits hyper-util's client, reqwest
//! and axum. It judges more than the status: a `Retry-After` lengthens the open time, and a body that breaks off is a
//! failure though its status was 200.
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Empty};
//! use mainstay_breaker::{Breaker, State};
//! use mainstay_http::{HttpLayer, default_settings};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let breaker = Breaker::builder("inventory").settings(default_settings()).build()?;
//!
//! // In earnest: `hyper_util::client::legacy::Client`, say.
//! let client = service_fn(async |_: Request<Empty<&'static [u8]>>| {
//!     let mut response = Response::new(Empty::<&'static [u8]>::new());
//!     *response.status_mut() = StatusCode::BAD_GATEWAY;
//!     Ok::<_, Infallible>(response)
//! });
//! let mut client = ServiceBuilder::new().layer(HttpLayer::client(breaker.clone())).service(client);
//!
//! for _ in 0..3 {
//!     // The response reaches the caller, whatever it is.
//!     let response = client.ready().await?.call(Request::new(Empty::new())).await?;
//!     assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//!     response.into_body().collect().await?;
//! }
//! assert_eq!(breaker.state(), State::Open);
//!
//! let error = client.ready().await?.call(Request::new(Empty::new())).await.unwrap_err();
//! assert!(error.rejected().unwrap().retry_after().is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - The layer: [`HttpLayer`], around clients and around servers.
//! - What a response says: [`Exchanges`], with your own word on heads ([`JudgeHead`]) and errors ([`JudgeError`]).
//! - What the caller gets: the response with a [`GuardedBody`].
//! - One breaker for each host: [`HttpLayer::keyed_by_host`], [`Host`].
//! - What a guarded server answers while it is open: [`Problem`].
//! - With feature `reqwest`: `GuardedClient`, which returns `reqwest::Response`s.
//! - With feature `health`: the module `health`, with a check for a `mainstay_health::HealthManager`, and a probe for containers.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod exchange;
#[cfg(feature = "reqwest")]
mod guarded_client;
mod head;
#[cfg(feature = "health")]
pub mod health;
mod host;
mod judge;
mod layer;
mod problem;
pub mod retry_after;
mod settings;
mod tail;
mod transport;

pub use body::GuardedBody;
pub use exchange::Exchanges;
#[cfg(feature = "reqwest")]
pub use guarded_client::GuardedClient;
pub use head::Head;
pub use host::{Addressed, Host};
pub use judge::{JudgeError, JudgeHead, Usual};
pub use layer::HttpLayer;
pub use problem::Problem;
pub use settings::default_settings;

pub use http;
pub use http_body;
#[cfg(feature = "hyper")]
pub use hyper_util;
#[cfg(feature = "health")]
pub use mainstay_health;
#[cfg(feature = "reqwest")]
pub use reqwest;

/// The README's example.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
