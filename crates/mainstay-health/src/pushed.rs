use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mainstay_core::{Bell, Clock, Watch};

use crate::outcome::{Cause, Details};
use crate::probe::Sensor;
use crate::{CheckError, CheckOutcome, IntoOutcome, Reason, Status};

/// The hand that sets a check whose result comes from elsewhere. Clones set the same.
///
/// Unknown until it is set first. What was set holds until something else is, or, with
/// [`expires_after`](Self::expires_after), until it is too old.
///
/// ```
/// use mainstay_health::{Check, CheckOutcome, HealthManager, Pushed, Status};
///
/// let replication = Pushed::new();
/// let health = HealthManager::builder("orders").check(Check::exclusive("replication", &replication)).build()?;
/// replication.set(CheckOutcome::degraded("40 s behind").detail("lag_s", 40));
/// # Ok::<(), mainstay_health::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Pushed {
    shared: Arc<Shared>,
}

struct Shared {
    expires_after: Option<Duration>,
    last: Mutex<Option<Last>>,
    bell: Arc<Bell>,
    clock: OnceLock<Clock>,
}

struct Last {
    /// When, if a clock was there to tell.
    at: Option<Duration>,
    status: Status,
    reason: Reason,
    message: Option<Arc<str>>,
    error: Option<CheckError>,
    details: Details,
}

impl Pushed {
    /// Nothing is set yet; what is set holds until something else is.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// What is set becomes unknown after this time, unless it is set again.
    pub fn expires_after(expires_after: Duration) -> Self {
        Self::with(Some(expires_after))
    }

    fn with(expires_after: Option<Duration>) -> Self {
        let shared =
            Shared { expires_after, last: Mutex::default(), bell: Bell::new(), clock: OnceLock::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Sets it. The manager sees it at once. An error has the class that [`ErrorClass::of`](crate::ErrorClass::of) finds: the
    /// check's classifier is not asked.
    pub fn set(&self, outcome: impl IntoOutcome) {
        let CheckOutcome { status, reason, message, error, details } = outcome.into_outcome();
        let error = error.map(|error| match error {
            Cause::Raw(error) => {
                CheckError::from_error(crate::ErrorClass::of(error.as_ref()), error.as_ref())
            }
            Cause::Classified(error) => error,
        });
        let mut last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: who registers it meanwhile either is seen here, or sees this.
        let at = self.shared.clock.get().map(Clock::now);
        let old = last.replace(Last { at, status, reason, message, error, details });
        drop(last);
        drop(old);
        self.shared.bell.ring();
    }

    pub(crate) fn sensor(&self) -> Arc<dyn Sensor> {
        self.shared.clone()
    }
}

impl Default for Pushed {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Pushed").field("status", &last.as_ref().map(|last| last.status)).finish()
    }
}

impl Shared {
    fn expiry(&self, last: &Last) -> Option<Duration> {
        Some(last.at.unwrap_or_default().saturating_add(self.expires_after?))
    }
}

impl Sensor for Shared {
    fn clock(&self) -> Clock {
        self.clock.get().cloned().unwrap_or_default()
    }

    fn set_clock(&self, clock: &Clock) {
        if self.clock.set(clock.clone()).is_ok() {
            // What was set before is as old as the registration.
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = &mut *last {
                last.at = Some(clock.now());
            }
        }
    }

    fn read(&self) -> CheckOutcome {
        let now = self.clock().now();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = &*last else { return CheckOutcome::unknown() };
        if self.expiry(last).is_some_and(|expiry| now >= expiry) {
            return CheckOutcome::because(Status::Unknown, Reason::Stale);
        }
        CheckOutcome {
            status: last.status,
            reason: last.reason,
            message: last.message.clone(),
            error: last.error.clone().map(Cause::Classified),
            details: last.details.clone(),
        }
    }

    fn next_change(&self) -> Option<Duration> {
        let now = self.clock().now();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.expiry(last.as_ref()?).filter(|expiry| now < *expiry)
    }

    fn watch(&self) -> Watch {
        self.bell.watch()
    }
}
