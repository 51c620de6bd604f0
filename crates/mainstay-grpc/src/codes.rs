use std::fmt;

use mainstay_breaker::Verdict;
use tonic::Code;

/// Which status codes fail a call: a table of seventeen verdicts in eight bytes.
///
/// | code | verdict unless you change it |
/// | --- | --- |
/// | `OK` | success, always |
/// | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL` | failure |
/// | `CANCELLED`, `UNKNOWN`, `DATA_LOSS`, `ABORTED`, `OUT_OF_RANGE`, `FAILED_PRECONDITION`, `UNIMPLEMENTED` | failure |
/// | `INVALID_ARGUMENT`, `NOT_FOUND`, `ALREADY_EXISTS`, `PERMISSION_DENIED`, `UNAUTHENTICATED` | success |
///
/// What a caller did wrong is a success and not ignored: the dependency was there, understood the call and answered it, and a
/// half-open breaker whose only traffic is `NOT_FOUND` must be able to close. `CANCELLED` is a failure because that is what
/// tonic makes of a time-out of its own.
///
/// ```
/// use mainstay_breaker::Verdict;
/// use mainstay_grpc::Codes;
/// use tonic::Code;
///
/// let codes = Codes::new().succeed(Code::Aborted).ignore(Code::Cancelled).fail(Code::NotFound);
/// assert_eq!(codes.verdict(Code::Aborted), Verdict::Success);
/// assert_eq!(codes.verdict(Code::Unavailable), Verdict::Failure);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codes {
    /// One bit for each code that fails, and for each that is ignored; none for those that succeed.
    failing: u32,
    ignored: u32,
}

const ALL: u32 = (1 << 17) - 1;

// === impl Codes ===

impl Codes {
    /// The table for the calls that one makes.
    pub const fn new() -> Self {
        let failing = ALL & !bit(Code::Ok);
        Self { failing, ignored: 0 }
            .succeed(Code::InvalidArgument)
            .succeed(Code::NotFound)
            .succeed(Code::AlreadyExists)
            .succeed(Code::PermissionDenied)
            .succeed(Code::Unauthenticated)
    }

    /// The table for the calls that one answers: the same, but `UNIMPLEMENTED` is ignored. It is what tonic's router says to
    /// a path that nobody serves, and a stranger who asks for such paths must not open the breaker for everybody.
    pub const fn server() -> Self {
        Self::new().ignore(Code::Unimplemented)
    }

    /// A call that ends with this code is a failure. Without effect for `OK`.
    #[must_use]
    pub const fn fail(mut self, code: Code) -> Self {
        self = self.succeed(code);
        self.failing |= bit(code) & !bit(Code::Ok);
        self
    }

    /// A call that ends with this code says nothing about the dependency. Without effect for `OK`.
    #[must_use]
    pub const fn ignore(mut self, code: Code) -> Self {
        self = self.succeed(code);
        self.ignored |= bit(code) & !bit(Code::Ok);
        self
    }

    /// A call that ends with this code is a success.
    #[must_use]
    pub const fn succeed(mut self, code: Code) -> Self {
        self.failing &= !bit(code);
        self.ignored &= !bit(code);
        self
    }

    /// What a call that ends with this code says about the dependency.
    pub const fn verdict(&self, code: Code) -> Verdict {
        if self.failing & bit(code) != 0 {
            Verdict::Failure
        } else if self.ignored & bit(code) != 0 {
            Verdict::Ignore
        } else {
            Verdict::Success
        }
    }
}

const fn bit(code: Code) -> u32 {
    1 << code as u32
}

impl Default for Codes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries((0..=16).map(|code| (Code::from(code), self.verdict(Code::from(code)))))
            .finish()
    }
}
