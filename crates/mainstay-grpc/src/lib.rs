//! A circuit breaker for [`tonic`]'s channels and servers, that reads `grpc-status` wherever it comes: in headers, in
//! trailers, at the end of a stream.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_breaker::{Breaker, State};
//! use mainstay_grpc::GrpcLayer;
//! use mainstay_grpc::tonic::client::Grpc;
//! use mainstay_grpc::tonic::transport::Endpoint;
//! use tower::ServiceBuilder;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let breaker = Breaker::builder("agent-core").settings(mainstay_grpc::default_settings()).build()?;
//! let guard = GrpcLayer::client(breaker.clone()).timeout(Duration::from_secs(5)).reject_with_status();
//! let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
//! let guarded = ServiceBuilder::new().layer(guard).service(channel);
//!
//! // A generated client does the same: `AgentClient::new(guarded)`.
//! let mut client = Grpc::new(guarded);
//! # use mainstay_grpc::tonic::{self, Code, Request, Status, codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder}};
//! # #[derive(Clone, Copy, Default)]
//! # struct Nothing;
//! # impl Encoder for Nothing {
//! #     type Item = ();
//! #     type Error = Status;
//! #     fn encode(&mut self, _: (), _: &mut EncodeBuf<'_>) -> Result<(), Status> { Ok(()) }
//! # }
//! # impl Decoder for Nothing {
//! #     type Item = ();
//! #     type Error = Status;
//! #     fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> { Ok(Some(())) }
//! # }
//! # impl Codec for Nothing {
//! #     type Encode = ();
//! #     type Decode = ();
//! #     type Encoder = Self;
//! #     type Decoder = Self;
//! #     fn encoder(&mut self) -> Self { Nothing }
//! #     fn decoder(&mut self) -> Self { Nothing }
//! # }
//! # let codec = Nothing;
//! # let path = || tonic::codegen::http::uri::PathAndQuery::from_static("/agent.Agent/Run");
//! for _ in 0..3 {
//!     client.ready().await?;
//!     let status = client.unary(Request::new(()), path(), codec).await.unwrap_err();
//!     assert_eq!(status.code(), Code::Unavailable, "nobody listens there");
//!     assert!(mainstay_grpc::rejected(&status).is_none());
//! }
//! assert_eq!(breaker.state(), State::Open);
//!
//! client.ready().await?;
//! let status = client.unary(Request::new(()), path(), codec).await.unwrap_err();
//! assert_eq!(mainstay_grpc::rejected(&status).unwrap().name(), "agent-core");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - The layer: [`GrpcLayer`], around channels and on servers, with one breaker or one for each [method](MethodName) or
//!   [service](ServiceName).
//! - What a call's end says: [`Calls`], by a table of [`Codes`]; at the end of a [`GuardedBody`].
//! - What the caller gets instead of a call: [`Unavailable`], [`AsStatus`]; found again by [`rejected`] and [`timed_out`].
//! - A breaker for connecting: [`ConnectLayer`].
//! - Where to start from: [`default_settings`], [`connect_settings`].
//! - `health`, with the feature of that name: a ready-made check for `mainstay-health`.
//!
//! # Deadlines
//!
//! | deadline | what it covers | what the caller gets | what the breaker counts |
//! | --- | --- | --- | --- |
//! | [`GrpcLayer::timeout`] | from the call to the response's head, waiting for a connection included | `DEADLINE_EXCEEDED` | failure |
//! | [`GrpcLayer::max_silence`] | each wait for something after the head | `DEADLINE_EXCEEDED` | failure |
//! | `Endpoint::timeout`, `Request::set_timeout` | from the connected channel to the response's head | `CANCELLED` | failure |
//! | the server's own, or the client's seen there | from the server to the response's head | `CANCELLED` from tonic, `DEADLINE_EXCEEDED` from others | failure |
//! | `Endpoint::connect_timeout` | TCP | `UNAVAILABLE` | failure; for a [`ConnectLayer`] nothing |
//! | [`ConnectLayer::timeout`] | what the connector does | `UNAVAILABLE` | failure |
//! | `Endpoint::http2_keep_alive_interval` | a connection whose peer is silent | `UNAVAILABLE`, in a stream `UNKNOWN` | failure |
//! | one around the client, such as `tokio::time::timeout` | all of it | what that says | ignored; a success after the first message |
//!
//! Without any of them nothing notices a server that does not answer: the call waits for as long as its caller does, and says
//! nothing when he leaves. Half-open is the exception: a probe without a message fails after its `probe_timeout`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod calls;
mod codes;
mod fault;
#[cfg(feature = "health")]
pub mod health;
mod key;
mod layer;
mod refuse;
mod settings;
mod status;

pub use body::GuardedBody;
pub use calls::{Calls, Judge};
pub use codes::Codes;
pub use fault::{rejected, timed_out};
pub use key::{MethodName, ServiceName};
pub use layer::{ConnectLayer, GrpcLayer, Key};
#[cfg(feature = "health")]
pub use mainstay_health;
pub use refuse::{AsError, AsStatus, Unavailable};
pub use settings::{connect_settings, default_settings};
pub use tonic;

/// The code in the README is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
