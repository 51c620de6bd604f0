//! A breaker's whole round through its states.

use crate::subject::{Answer, Subject};

/// `N` failures that open the breaker, the time it stays open, `N` probes that close it: together one call.
///
/// The subject's work is [`Alternating`](crate::work::Alternating) by the same `N`.
#[derive(Clone)]
pub struct Period<S, T, const N: u64> {
    subject: S,
    wait: T,
}

impl<S: Subject, T: FnMut() + Clone + Send + 'static, const N: u64> Period<S, T, N> {
    /// `wait` lets the open time pass.
    pub fn new(subject: S, wait: T) -> Self {
        Self { subject, wait }
    }
}

impl<S: Subject, T: FnMut() + Clone + Send + 'static, const N: u64> Subject for Period<S, T, N> {
    #[inline]
    fn call(&mut self) -> Answer {
        let mut answer = Answer::Ok;
        for _ in 0..N {
            if self.subject.call() != Answer::Failed {
                answer = Answer::Rejected;
            }
        }
        (self.wait)();
        for _ in 0..N {
            if self.subject.call() != Answer::Ok {
                answer = Answer::Rejected;
            }
        }
        answer
    }
}
