//! Sinks for `mainstay-spool`: what it delivers at least once is written once.
//!
//! [`TableSink`] puts items into a table as JSON, a batch in one statement:
//!
//! ```no_run
//! use mainstay_breaker::Breaker;
//! use mainstay_postgres::mainstay_spool::{Spool, SpoolSettings};
//! use mainstay_postgres::spool::{Table, TableSink};
//! use mainstay_postgres::{GuardedPool, default_settings, sqlx};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("audit").settings(default_settings()).build()?;
//! let db = GuardedPool::new(sqlx::PgPool::connect_lazy("postgres://localhost/audit")?, breaker);
//!
//! let sink = TableSink::new(db, Table::new("audit_log")?);
//! sink.create_table().await?;
//! let spool = Spool::open("/var/spool/audit", SpoolSettings::new(), sink)?;
//! spool.push_with("account-7", "credit 3".to_owned()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`TransactionSink`] is for statements of one's own: it runs a [`Write`] in a transaction that also notes the ids of the items, so that
//! any write is done once.
//!
//! | what happens | the items |
//! | --- | --- |
//! | the batch is committed, or was before | `Done` |
//! | an item that it cannot take ([`Blame::Item`]) | the batch is halved until the item is alone: it is `Poison`, the others are `Done` |
//! | it may succeed another time ([`Blame::Moment`]) | halved in the same way; what still fails alone is `Retry` |
//! | the server, the network, a deadline, the schema ([`Blame::Server`]) | `Unavailable`, all that are not `Done`: no tries are used up |
//! | the breaker rejects | `Unavailable`, with its retry-after; while it is half-open and others probe, it is asked again for some 5 s |
//!
//! Each part of a batch is a call (or a transaction) of its own, so that a constraint that is checked at the commit finds its item too.
//!
//! **One breaker, once.** Give [`SpoolSettings::breaker`] another breaker than the pool's, or none: a delivery that asks the same one twice
//! takes two of its probes, and may keep it open for ever. The pool's is enough: the spool waits as long as it says.
//!
//! **Deadlines.** A batch must be written within the pool's [statement deadline](crate::GuardedPool::statement_deadline) (5 s by default),
//! and all its parts within [`SpoolSettings::deadline`] (30 s). A cut-off statement may still be committed by the server: the item is
//! delivered again, and its id drops it.
//!
//! **Errors** are in dead letters as SQLSTATE with the constraint, column and table, without the server's words, which may hold values;
//! `describe` of either sink takes another wording.
//!
//! [`SpoolSettings::breaker`]: mainstay_spool::SpoolSettings::breaker
//! [`SpoolSettings::deadline`]: mainstay_spool::SpoolSettings::deadline

mod blame;
mod parts;
mod table;
mod table_sink;
mod transaction_sink;
mod write;

pub use blame::{Blame, blame, describe};
pub use table::{Table, TableError};
pub use table_sink::TableSink;
pub use transaction_sink::TransactionSink;
pub use write::{Write, WriteError};
