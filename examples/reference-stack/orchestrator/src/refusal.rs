//! What callers are told when they do not get what they asked for.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// When it is worth another try, if nobody knows better.
const SOON: Duration = Duration::from_secs(1);

/// A field that breaks a rule.
pub(crate) fn invalid(field: &str, rule: &str) -> Status {
    Status::invalid_argument(format!("{field}: {rule}"))
}

/// It cannot be done, or known, now; and when it may.
pub(crate) fn unavailable(why: &str, retry_after: Option<Duration>) -> Status {
    later(Code::Unavailable, why, retry_after)
}

/// There is too much of something.
pub(crate) fn exhausted(why: &str) -> Status {
    later(Code::ResourceExhausted, why, None)
}

fn later(code: Code, why: &str, retry_after: Option<Duration>) -> Status {
    let mut status = Status::new(code, why);
    let wait = retry_after.unwrap_or(SOON).clamp(Duration::from_millis(10), Duration::from_secs(60));
    let pushback = MetadataValue::from(wait.as_millis().try_into().unwrap_or(u64::MAX));
    status.metadata_mut().insert("grpc-retry-pushback-ms", pushback);
    status
}
