use std::fmt::Write as _;

use mainstay_breaker::Verdict;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::error::find;
use crate::{ConnectionGivenUp, WaitedFor, rejected, retryable, timed_out, verdict};

/// Whose fault it is that a batch was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// An item's, which will never be written. The batch is halved until that item is alone; then it is poison.
    Item,
    /// Nobody's for ever: it may succeed another time. The batch is halved in the same way; an item that fails alone is tried again,
    /// which counts as one of its tries, unless all of a batch of several fail so: then it is as with [`Server`](Self::Server).
    Moment,
    /// Not an item's. Nothing of the batch is written now, and no tries are used up.
    Server,
}

/// Whom an error of the pool blames.
///
/// | error | blame |
/// | --- | --- |
/// | what [`verdict`](crate::verdict()) calls a failure; a rejection; a deadline; a connection that was given up | Server |
/// | SQLSTATE classes 21, 22, 23, 44, 54, P0, and 40002; arguments that do not encode, or do not fit into a message | Item |
/// | 40000, 40001, 40P01, 55P03 (a lock), 57014 (`statement_timeout`), 25P02 (an error before, which the writer kept); no row, an answer that does not decode | Moment |
/// | every other: no such table or column, no permission, wrong password | Server |
///
/// The last line because with a sink's own statements those fail for all items alike: they are kept until somebody has put it right.
/// Where they depend on the item (a table for each tenant) blame it: both sinks take another judge.
pub fn blame(error: &Error) -> Blame {
    match error {
        Error::Encode(_) | Error::InvalidArgument(_) => Blame::Item,
        // What does not fit into a message is the only one that says nothing about the server.
        Error::Protocol(_) if verdict(error) == Verdict::Ignore => Blame::Item,
        error if verdict(error) == Verdict::Failure => Blame::Server,
        error if retryable(error) => Blame::Moment,
        Error::Database(database) => database.code().map_or(Blame::Server, |code| by_code(&code)),
        Error::RowNotFound
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnDecode { .. }
        | Error::Decode(_) => Blame::Moment,
        _ => Blame::Server,
    }
}

fn by_code(code: &str) -> Blame {
    match code {
        "40002" => Blame::Item,
        "55P03" | "57014" | "25P02" => Blame::Moment,
        _ => match code.get(..2) {
            Some("21" | "22" | "23" | "44" | "54" | "P0") => Blame::Item,
            _ => Blame::Server,
        },
    }
}

/// An error in words that hold no values and no secrets: `SQLSTATE 23505, constraint orders_pkey, table orders`.
pub fn describe(error: &Error) -> String {
    if let Some(rejected) = rejected(error) {
        return rejected.to_string();
    }
    if let Some(expired) = timed_out(error) {
        let what = match expired.waited_for() {
            WaitedFor::Connection => "no connection",
            WaitedFor::Answer => "no answer",
        };
        return format!("{what} within {:?}", expired.after());
    }
    if let Some(given_up) = find::<ConnectionGivenUp>(error) {
        return given_up.to_string();
    }
    match error {
        Error::Database(database) => {
            let code = database.code();
            let mut text = format!("SQLSTATE {}", code.as_deref().unwrap_or("unknown"));
            if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
                let names = [
                    ("constraint", error.constraint()),
                    ("column", error.column()),
                    ("table", error.table()),
                ];
                for (what, name) in names {
                    if let Some(name) = name {
                        // Into a string it cannot fail.
                        let _ = write!(text, ", {what} {name}");
                    }
                }
            }
            text
        }
        Error::Io(error) => format!("input or output failed: {}", error.kind()),
        Error::Tls(_) => "TLS failed".to_owned(),
        Error::Protocol(_) if verdict(error) == Verdict::Ignore => {
            "it does not fit into a message".to_owned()
        }
        Error::Protocol(_) => "the server broke the protocol".to_owned(),
        Error::Encode(_) | Error::InvalidArgument(_) => "an argument cannot be sent".to_owned(),
        Error::RowNotFound => "no row was found".to_owned(),
        Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnDecode { .. }
        | Error::Decode(_) => "the answer cannot be decoded".to_owned(),
        Error::PoolTimedOut => "no connection in time".to_owned(),
        Error::PoolClosed => "the pool is closed".to_owned(),
        _ => "the driver failed".to_owned(),
    }
}
