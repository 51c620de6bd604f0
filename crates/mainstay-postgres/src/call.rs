use std::thread;

use mainstay_breaker::{OwnedPermit, Permit, Verdict};
use sqlx::Error;

use crate::GuardedPool;
use crate::error::refuse;

/// One guarded call that is not a transaction, from its admission to its verdict.
///
/// Dropped before its end it says nothing about the server, or that it is well if it had begun to answer.
pub(crate) struct Call<'a> {
    guard: &'a GuardedPool,
    permit: Option<Permit<'a>>,
    answered: bool,
}

/// A transaction, from its admission to the one verdict on all its statements: the worst.
///
/// A transaction that is dropped without an end says what it said until then: that the server is well, as it answered the
/// `BEGIN`, unless something failed.
#[derive(Debug)]
pub(crate) struct Ledger {
    permit: Option<OwnedPermit>,
    classify: fn(&Error) -> Verdict,
    worst: Option<Verdict>,
}

// === impl Call ===

impl<'a> Call<'a> {
    /// Asks for admission.
    pub(crate) fn admit(guard: &'a GuardedPool) -> Result<Self, Error> {
        let permit = guard.breaker().try_acquire().map_err(refuse)?;
        Ok(Self { guard, permit: Some(permit), answered: false })
    }

    /// The first of the answer is here.
    pub(crate) fn answered(&mut self) {
        if let Some(permit) = &mut self.permit
            && !self.answered
        {
            self.answered = true;
            permit.answered(Verdict::Success);
        }
    }

    /// Nobody was asked after all.
    #[cfg(feature = "health")]
    pub(crate) fn withdraw(mut self) {
        if let Some(permit) = self.permit.take() {
            permit.ignore();
        }
    }

    /// The end.
    pub(crate) fn end<T>(mut self, result: &Result<T, Error>) {
        if let Some(permit) = self.permit.take() {
            permit.record(match result {
                Ok(_) => Verdict::Success,
                Err(error) => self.guard.classifier()(error),
            });
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.answered
            && !thread::panicking()
        {
            permit.success();
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// Asks for admission.
    pub(crate) fn admit(guard: &GuardedPool) -> Result<Self, Error> {
        let permit = guard.breaker().try_acquire_owned().map_err(refuse)?;
        Ok(Self { permit: Some(permit), classify: guard.classifier(), worst: None })
    }

    /// The transaction has begun.
    pub(crate) fn begun(&mut self) {
        self.worst = Some(Verdict::Success);
        if let Some(permit) = &mut self.permit {
            permit.answered(Verdict::Success);
        }
    }

    /// Takes note of how one step went.
    pub(crate) fn note<T>(&mut self, result: &Result<T, Error>) {
        if let Err(error) = result {
            self.failed(error);
        }
    }

    /// The same for a step that failed.
    pub(crate) fn failed(&mut self, error: &Error) {
        let verdict = (self.classify)(error);
        let worse = match self.worst {
            Some(Verdict::Failure) => false,
            Some(Verdict::Success) => verdict == Verdict::Failure,
            Some(Verdict::Ignore) | None => true,
        };
        if worse {
            self.worst = Some(verdict);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && let Some(worst) = self.worst
            && (worst == Verdict::Failure || !thread::panicking())
        {
            permit.record(worst);
        }
    }
}
