//! What callers are told when they do not get what they asked for, so that they know whose failing it is: a caller with a breaker for
//! this orchestrator counts none of these against it but a plain UNAVAILABLE, which nothing here says on purpose.

use std::time::Duration;

use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::{Code, Status};

/// When it is worth another try, if nobody knows better.
const SOON: Duration = Duration::from_secs(1);
/// In UNAVAILABLE: the dependency that is down.
const FAILED_DEPENDENCY: &str = "failed-dependency";
/// In UNAVAILABLE: another orchestrator is to be asked, this one ends.
const ENDING: &str = "ending";

/// A field that breaks a rule.
pub(crate) fn invalid(field: &str, rule: &str) -> Status {
    Status::invalid_argument(format!("{field}: {rule}"))
}

/// It cannot be done, or known, while a dependency is down; and when it may.
pub(crate) fn down(dependency: &'static str, why: &str, retry_after: Option<Duration>) -> Status {
    let mut status = later(Code::Unavailable, why, retry_after);
    status.metadata_mut().insert(FAILED_DEPENDENCY, AsciiMetadataValue::from_static(dependency));
    status
}

/// Nothing new is done here any more.
pub(crate) fn ending(why: &str) -> Status {
    let mut status = later(Code::Unavailable, why, None);
    status.metadata_mut().insert(ENDING, AsciiMetadataValue::from_static("true"));
    status
}

pub(crate) fn is_ending(status: &Status) -> bool {
    status.metadata().contains_key(ENDING)
}

/// A task that has not ended can be followed or cancelled only where it runs.
pub(crate) fn elsewhere() -> Status {
    Status::failed_precondition("the task does not run here, or not yet")
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
