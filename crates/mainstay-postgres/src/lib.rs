//! PostgreSQL behind a circuit breaker: sqlx's pools, statements and transactions, judged by SQLSTATE and kept to
//! deadlines.
//!
//! ```no_run
//! use std::time::Duration;
//! use mainstay_breaker::Breaker;
//! use mainstay_postgres::{GuardedPool, default_settings, rejected, sqlx};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("orders").settings(default_settings()).build()?;
//! let pool = sqlx::PgPool::connect_lazy("postgres://localhost/orders")?;
//! let db = GuardedPool::new(pool, breaker).statement_deadline(Duration::from_secs(3));
//!
//! // Wherever sqlx takes a `&PgPool` it takes `&db`.
//! let price = sqlx::query_scalar::<_, i64>("SELECT price FROM items WHERE id = $1").bind(7).fetch_optional(&db).await;
//! match price {
//!     Ok(price) => println!("{price:?}"),
//!     Err(error) => match rejected(&error) {
//!         Some(rejected) => println!("not asked: {rejected}"),
//!         None => println!("asked in vain: {error}"),
//!     },
//! }
//!
//! // A transaction is one call to the breaker.
//! let mut tx = db.begin().await?;
//! sqlx::query("UPDATE items SET price = price + 1").execute(&mut tx).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`GuardedPool`] is an [`Executor`](sqlx::Executor), and gives [`GuardedConnection`]s and [`GuardedTx`]s, which are
//!   too.
//! - [`verdict()`] says which errors are failures; [`GuardedPool::classify`] takes another judge. [`retryable`] tells
//!   which transactions may be made again.
//! - [`rejected`] and [`timed_out`] find ours among the driver's errors, which all errors stay.
//! - [`Deadlines`] for a connection and for each answer; nothing waits longer, and nothing is repeated.
//! - [`PoolFigures`] for a health report.
//! - [`default_settings`] for the breaker.
//! - `health`, with the feature of that name: a ready-made check for `mainstay-health`.
//! - `spool`, with the feature of that name: sinks for `mainstay-spool` that write each item once.
//!
//! Needs a tokio runtime with its timer enabled.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod alarm;
mod call;
mod connection;
mod error;
mod figures;
#[cfg(feature = "health")]
pub mod health;
mod lease;
mod pool;
mod settings;
#[cfg(feature = "spool")]
pub mod spool;
mod statement;
mod steps;
mod transaction;
mod verdict;

pub use connection::GuardedConnection;
pub use error::{ConnectionGivenUp, DeadlineExpired, WaitedFor, rejected, timed_out};
pub use figures::PoolFigures;
#[cfg(feature = "health")]
pub use mainstay_health;
#[cfg(feature = "spool")]
pub use mainstay_spool;
pub use pool::{Deadlines, GuardedPool};
pub use settings::default_settings;
pub use sqlx;
pub use transaction::GuardedTx;
pub use verdict::{retryable, verdict};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
