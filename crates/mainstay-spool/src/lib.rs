//! A write-behind queue that loses nothing: what [`Spool::push`] has accepted is on disk, and is delivered to a [`Sink`] at least
//! once, through outages of the sink, crashes of the program and full disks.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_spool::{Fate, Item, Outcome, Sink, Spool, SpoolSettings};
//!
//! struct Ledger;
//!
//! impl Sink<String> for Ledger {
//!     async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
//!         // In earnest: one `INSERT … ON CONFLICT (id) DO NOTHING` for the batch.
//!         batch.iter().map(|item| if item.value().is_empty() { Outcome::poison("empty") } else { Outcome::Done }).collect()
//!     }
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let settings = SpoolSettings::new().linger(Duration::from_millis(10));
//! let spool = Spool::open(dir, settings, Ledger)?;
//!
//! let ticket = spool.push_with("account-7", "credit 3".to_owned()).await?;
//! // It is on disk. Whoever wants to know what becomes of it waits; whoever does not drops the ticket.
//! assert_eq!(ticket.await, Fate::Delivered);
//!
//! let drained = spool.drain(Duration::from_secs(5)).await;
//! assert_eq!(drained.left, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - What is promised when: [`FsyncPolicy`]; [`Spool::in_memory`] promises nothing across a crash.
//! - Who takes the items: [`Sink`], with an [`Outcome`] for each; a [`Breaker`](mainstay_breaker::Breaker) around it, if you like.
//! - What becomes of an item: its [`Ticket`] is a future of its [`Fate`].
//! - What is queued: [`Spool::queued`], and [`Spool::newest_of`] an order key, to read what one has written.
//! - What could not be delivered: [`Spool::dead_letters`], to look at, to [requeue](Spool::requeue), to
//!   [drop](Spool::drop_dead_letter).
//! - How it is: [`Spool::stats`], and [`Spool::findings`] about files that were not sound.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod books;
mod clerk;
mod dead;
mod deliver;
mod dispatch;
mod error;
mod figures;
mod finding;
mod item;
mod log;
mod outcome;
#[cfg(feature = "metrics")]
mod publish;
mod row;
mod settings;
mod sink;
mod spool;
mod store;
mod ticket;
mod window;

pub use dead::{DeadLetter, DeathCause};
pub use error::{Fault, OpenError, PushError, Refusal};
pub use figures::SpoolStats;
pub use finding::{Finding, FindingKind};
pub use item::{Item, ItemId, Queued};
pub use mainstay_core::{Clock, ConfigError, ManualClock, NoRuntime, OpenFor};
pub use outcome::Outcome;
pub use settings::{FsyncPolicy, SpoolSettings};
pub use sink::Sink;
pub use spool::{Drained, Spool};
pub use ticket::{Fate, Ticket};

/// The README's example.
#[cfg(doctest)]
mod doctests {
    #[doc = include_str!("../README.md")]
    struct Readme;
}
