//! Calls through a tower layer: readiness, call, and the future polled to its end by hand.

use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower::Service;

use crate::subject::{Answer, Failure, Outcome, Subject};
use crate::work::{Work, perform};

/// The service every layer is put around: always ready, its future too.
#[derive(Clone, Copy)]
pub struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Result<u64, Failure>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        ready(perform(request))
    }
}

/// A service called again and again.
#[derive(Clone)]
pub struct Layered<S, W> {
    service: S,
    work: W,
}

impl<S, W: Work> Layered<S, W> {
    /// Calls `service`.
    pub fn new(service: S) -> Self {
        Self { service, work: W::new() }
    }
}

impl<S, W> Subject for Layered<S, W>
where
    S: Service<u64> + Clone + Send + 'static,
    Result<S::Response, S::Error>: Outcome,
    W: Work,
{
    #[inline]
    fn call(&mut self) -> Answer {
        once(&mut self.service, self.work.request())
    }
}

/// A service cloned for each call and dropped after it, as servers do that clone theirs for each request.
#[derive(Clone)]
pub struct ClonedPerCall<S, W> {
    service: S,
    work: W,
}

impl<S, W: Work> ClonedPerCall<S, W> {
    /// Calls clones of `service`.
    pub fn new(service: S) -> Self {
        Self { service, work: W::new() }
    }
}

impl<S, W> Subject for ClonedPerCall<S, W>
where
    S: Service<u64> + Clone + Send + 'static,
    Result<S::Response, S::Error>: Outcome,
    W: Work,
{
    #[inline]
    fn call(&mut self) -> Answer {
        once(&mut self.service.clone(), self.work.request())
    }
}

#[inline]
fn once<S>(service: &mut S, request: u64) -> Answer
where
    S: Service<u64>,
    Result<S::Response, S::Error>: Outcome,
{
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match service.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => break,
            Poll::Ready(Err(error)) => return Err::<S::Response, _>(error).answer(),
            Poll::Pending => wait(),
        }
    }
    let mut future = pin!(service.call(request));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result.answer(),
            Poll::Pending => wait(),
        }
    }
}

/// Pending means that another thread holds the breaker's lock, for a moment: asking again is the fastest way on.
///
/// `extern "C"`, because what cannot unwind needs no clean-up around it, which would keep every future in memory.
#[cold]
extern "C" fn wait() {
    std::thread::yield_now();
}
