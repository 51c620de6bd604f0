use std::error::Error as StdError;

use mainstay_breaker::{Rejected, Verdict};
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::ConnectionGivenUp;
use crate::error::find;

/// What an error of a guarded call says about the server.
///
/// | error | verdict |
/// | --- | --- |
/// | SQLSTATE classes 08, 53, 57 (but 57014), 58, XX, and 25006 | Failure |
/// | I/O, TLS and protocol errors, [`Error::PoolTimedOut`], [`Error::WorkerCrashed`], our [`DeadlineExpired`](crate::DeadlineExpired) | Failure |
/// | every other SQLSTATE: the server is well, and says that the caller is wrong | Success |
/// | no row, no such type or column, an answer that does not decode, [`Error::BeginFailed`]: there was an answer | Success |
/// | what never reached the server: arguments that do not encode or are too many, a closed pool, a savepoint that cannot be; our own [`Rejected`] and [`ConnectionGivenUp`] | Ignore |
///
/// 57014 (`query_canceled`) is what the server says when *its* time-out (`statement_timeout`) ran out or somebody
/// cancelled the statement, both of which say nothing about its health. When the guard's own deadline runs out the server
/// is not asked: that is a [`DeadlineExpired`](crate::DeadlineExpired), and a failure.
///
/// An error that carries one of sqlx's as its source (a migration's) is judged by that.
///
/// ```
/// use mainstay_breaker::Verdict;
/// use mainstay_postgres::{sqlx, verdict};
///
/// assert_eq!(verdict(&sqlx::Error::RowNotFound), Verdict::Success);
/// assert_eq!(verdict(&sqlx::Error::PoolTimedOut), Verdict::Failure);
/// assert_eq!(verdict(&sqlx::Error::PoolClosed), Verdict::Ignore);
/// ```
pub fn verdict(error: &Error) -> Verdict {
    match error {
        Error::Database(database) => database.code().map_or(Verdict::Success, |code| by_code(&code)),
        Error::Io(_) if is_ours(error) => Verdict::Ignore,
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::WorkerCrashed => Verdict::Failure,
        Error::Protocol(text) if is_oversized(text) => Verdict::Ignore,
        Error::Protocol(_) => Verdict::Failure,
        Error::RowNotFound
        | Error::TypeNotFound { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnDecode { .. }
        | Error::Decode(_)
        | Error::BeginFailed => Verdict::Success,
        other => inner(other).map_or(Verdict::Ignore, verdict),
    }
}

/// Whether the server rolled the transaction back for reasons that lie in other transactions, so that the same one may
/// succeed when it is made again from its beginning: 40001 (`serialization_failure`), 40P01 (`deadlock_detected`) and
/// 40000 (`transaction_rollback`).
///
/// Not so for the rest of class 40: 40002 is a violated constraint, which will be violated again; after 40003
/// (`statement_completion_unknown`) nobody knows whether it was done already. The guard itself repeats nothing.
pub fn retryable(error: &Error) -> bool {
    match error {
        Error::Database(database) => {
            database.code().is_some_and(|code| matches!(&*code, "40000" | "40001" | "40P01"))
        }
        other => inner(other).is_some_and(retryable),
    }
}

/// Whether the connection that gave this error is of no more use.
pub(crate) fn breaks_connection(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        Error::Database(database) => database
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => false,
    }
}

fn by_code(code: &str) -> Verdict {
    match code {
        "25006" => Verdict::Failure,
        "57014" => Verdict::Success,
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58" | "XX") => Verdict::Failure,
            _ => Verdict::Success,
        },
    }
}

fn is_ours(error: &Error) -> bool {
    find::<Rejected>(error).is_some() || find::<ConnectionGivenUp>(error).is_some()
}

/// The driver refuses with a mere text what does not fit into a message.
fn is_oversized(text: &str) -> bool {
    ["too many arguments for query", "message size out of range for protocol"]
        .iter()
        .any(|words| text.contains(words))
}

/// The driver's error that an error was made from.
fn inner(error: &Error) -> Option<&Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
