use std::time::Duration;

use mainstay_core::Verdict;

use crate::Observer;

/// A call that is under way. Dropped before its answer, it says what that says.
pub(super) struct Noted {
    observer: Observer,
    began: Duration,
    given_up_after: Duration,
    now: Now,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Waits,
    /// The inner service or the classifier runs: whatever ends this now is a panic.
    Runs,
    Answered,
}

impl Noted {
    pub(super) fn new(observer: &Observer, given_up_after: Duration) -> Self {
        Self { observer: observer.clone(), began: observer.clock().now(), given_up_after, now: Now::Waits }
    }

    /// Runs a piece of the call.
    pub(super) fn run<T>(&mut self, piece: impl FnOnce() -> T) -> T {
        let before = std::mem::replace(&mut self.now, Now::Runs);
        let done = piece();
        self.now = before;
        done
    }

    pub(super) fn answered(&mut self, verdict: Verdict) {
        self.now = Now::Answered;
        self.observer.observe(verdict, self.took());
    }

    pub(super) fn began(&self) -> Duration {
        self.began
    }

    fn took(&self) -> Duration {
        self.observer.clock().now().saturating_sub(self.began)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        match self.now {
            Now::Answered => {}
            Now::Runs => self.observer.observe(Verdict::Failure, self.took()),
            Now::Waits => {
                let took = self.took();
                if took >= self.given_up_after {
                    self.observer.observe(Verdict::Success, took);
                }
            }
        }
    }
}
