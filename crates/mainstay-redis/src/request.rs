use mainstay_breaker::{Breaker, Permit, Verdict};
use redis::{Arg, Cmd, RedisError, RedisResult};

use crate::answer::{Answer, judged};
use crate::error::refused;

/// What the guard has to know of a request.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Command(&'a Cmd),
    /// A pipeline, or bytes.
    Packed,
}

/// A request that may be made.
///
/// Without a permit it is one that ends a transaction: a rejection would leave the connection in the midst of it, or tell
/// the caller of a transaction that is done that nothing was asked. It decides nothing.
pub(crate) struct Admitted<'b>(Option<Permit<'b>>);

// === impl Request ===

impl Request<'_> {
    #[inline]
    pub(crate) fn admit<'b>(&self, breaker: &'b Breaker) -> RedisResult<Admitted<'b>> {
        match breaker.try_acquire() {
            Ok(permit) => Ok(Admitted(Some(permit))),
            Err(_) if self.ends_transaction() => Ok(Admitted(None)),
            Err(rejected) => Err(refused(rejected)),
        }
    }

    /// Whether the server answers it.
    fn is_answered(&self) -> bool {
        match self {
            Self::Command(cmd) => !cmd.is_no_response(),
            Self::Packed => true,
        }
    }

    fn ends_transaction(&self) -> bool {
        let Self::Command(cmd) = self else { return false };
        let Some(Arg::Simple(name)) = cmd.args_iter().next() else { return false };
        ["EXEC", "DISCARD", "UNWATCH"].iter().any(|end| name.eq_ignore_ascii_case(end.as_bytes()))
    }
}

// === impl Admitted ===

impl Admitted<'_> {
    #[inline]
    pub(crate) fn conclude<T, F>(self, request: Request<'_>, result: &RedisResult<T>, judge: &F)
    where
        T: Answer,
        F: Fn(&RedisError) -> Verdict,
    {
        if let Some(permit) = self.0 {
            // A request without an answer proves nothing when it is sent.
            let unanswered = result.is_ok() && !request.is_answered();
            permit.record(if unanswered { Verdict::Ignore } else { judged(result, judge) });
        }
    }

    #[cold]
    pub(crate) fn ignore(self) {
        if let Some(permit) = self.0 {
            permit.ignore();
        }
    }

    #[cold]
    pub(crate) fn cut_off(self) {
        if let Some(permit) = self.0 {
            permit.failure();
        }
    }
}
