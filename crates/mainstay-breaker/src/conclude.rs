use mainstay_core::{Classified, Classify, ErrorsAreFailures};

use crate::OwnedPermit;
use crate::permit::{Held, Host};

/// What becomes of the result of a guarded call: what it says about the dependency, and what the caller gets.
///
/// [`Judged`] records the verdict of a [`Classify`] at once and passes the result on. Implement it yourself for answers that
/// are not over when they begin: a response whose body can still break off takes the permit along in the body, and records
/// the verdict at its end. [`BreakerLayer::conclude_with`](crate::BreakerLayer::conclude_with) takes it.
///
/// ```
/// use std::convert::Infallible;
/// use mainstay_breaker::{Breaker, BreakerLayer, CallPermit, Conclude, OwnedPermit, Verdict};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Lines that come one by one; the call is over when they are.
/// struct Lines(Vec<&'static str>, Option<OwnedPermit>);
///
/// impl Iterator for Lines {
///     type Item = &'static str;
///     fn next(&mut self) -> Option<&'static str> {
///         self.0.pop().or_else(|| {
///             if let Some(permit) = self.1.take() {
///                 permit.success();
///             }
///             None
///         })
///     }
/// }
///
/// #[derive(Clone)]
/// struct ToTheEnd;
///
/// impl Conclude<Vec<&'static str>, Infallible> for ToTheEnd {
///     type Response = Lines;
///     fn conclude<P: CallPermit>(
///         &self,
///         result: Result<Vec<&'static str>, Infallible>,
///         permit: &mut P,
///     ) -> Result<Lines, Infallible> {
///         let lines = result?;
///         let mut permit = permit.keep();
///         if let Some(permit) = &mut permit {
///             permit.answered(Verdict::Success);
///         }
///         Ok(Lines(lines, permit))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let breaker = Breaker::new("lines")?;
/// let layer = BreakerLayer::new(breaker.clone()).conclude_with(ToTheEnd);
/// let service = layer.layer(service_fn(async |_: ()| Ok::<_, Infallible>(vec!["two", "one"])));
///
/// let lines = service.oneshot(()).await?;
/// assert_eq!(breaker.snapshot().totals.success, 0);
/// assert_eq!(lines.collect::<Vec<_>>(), ["one", "two"]);
/// assert_eq!(breaker.snapshot().totals.success, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A panic in it counts as a failure of the call, and goes on.
pub trait Conclude<T, E> {
    /// What the caller gets in place of `T`.
    type Response;

    /// Records the verdict with the permit, or takes the permit along. If it does neither, the call counts as
    /// cancelled.
    fn conclude<P: CallPermit>(&self, result: Result<T, E>, permit: &mut P) -> Result<Self::Response, E>;
}

/// The permit of a call that has been answered. Sealed.
///
/// Without effect for a call that nobody guards, or whose verdict is known already.
pub trait CallPermit: private::Sealed {
    /// Records the verdict, now.
    fn record(&mut self, verdict: impl Into<Classified>);

    /// Takes the permit along, to record the verdict later. None for a call that nobody guards, or whose verdict is known
    /// already.
    fn keep(&mut self) -> Option<OwnedPermit>;
}

/// Concludes a call with the verdict of a classifier, at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged<C>(pub(crate) C);

mod private {
    pub trait Sealed {}
}

// === impl Conclude ===

impl<C, T, E> Conclude<T, E> for Judged<C>
where
    C: Classify<T, E>,
{
    type Response = T;

    #[inline]
    fn conclude<P: CallPermit>(&self, result: Result<T, E>, permit: &mut P) -> Result<T, E> {
        permit.record(self.0.classify(&result));
        result
    }
}

impl<T, E> Conclude<T, E> for ErrorsAreFailures {
    type Response = T;

    #[inline]
    fn conclude<P: CallPermit>(&self, result: Result<T, E>, permit: &mut P) -> Result<T, E> {
        Judged(Self).conclude(result, permit)
    }
}

// === impl CallPermit ===

impl<H: Host> private::Sealed for Option<Held<H>> {}

impl<H: Host> CallPermit for Option<Held<H>> {
    #[inline(always)]
    fn record(&mut self, verdict: impl Into<Classified>) {
        if let Some(permit) = self {
            permit.settle_here(verdict.into());
        }
    }

    fn keep(&mut self) -> Option<OwnedPermit> {
        self.as_mut()?.hand_over().map(OwnedPermit)
    }
}
