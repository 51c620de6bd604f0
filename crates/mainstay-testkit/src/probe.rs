use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tower_service::Service;

/// A tower service for tests. It does nothing by itself: its [`ProbeHandle`] sees the requests, answers them, and
/// says when the service is ready.
///
/// Clones share the handle. Each clone must be asked for its own readiness, and a readiness is good for one call, as
/// tower's contract has it; a call without one is answered like any other and counted in
/// [`unready_calls`](ProbeHandle::unready_calls), so that a test can assert that there was none.
///
/// ```
/// use mainstay_testkit::ServiceProbe;
/// use tower_service::Service;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let (mut service, handle) = ServiceProbe::<&str, u32, String>::new();
/// std::future::poll_fn(|context| service.poll_ready(context)).await?;
/// let answer = service.call("how many?");
///
/// let (request, reply) = handle.next_request().await;
/// assert_eq!(request, "how many?");
/// reply.send(Ok(3));
/// assert_eq!(answer.await, Ok(3));
/// assert_eq!((handle.calls(), handle.unready_calls()), (1, 0));
/// # Ok::<(), String>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ServiceProbe<Req, Res, Err> {
    shared: Arc<Shared<Req, Res, Err>>,
    ready: bool,
}

/// The test's side of a [`ServiceProbe`]. Clones share everything.
pub struct ProbeHandle<Req, Res, Err> {
    shared: Arc<Shared<Req, Res, Err>>,
}

/// Answers one call of a [`ServiceProbe`].
///
/// If it is dropped unused, the call is never answered.
pub struct Reply<Res, Err> {
    slot: Arc<Mutex<Slot<Res, Err>>>,
}

/// The future of a call of a [`ServiceProbe`].
pub struct ProbeFuture<Res, Err> {
    slot: Arc<Mutex<Slot<Res, Err>>>,
    counts: Arc<Counts>,
}

struct Shared<Req, Res, Err> {
    script: Mutex<Script<Req, Res, Err>>,
    counts: Arc<Counts>,
}

struct Script<Req, Res, Err> {
    readiness: Readiness,
    /// What the next polls for readiness fail with.
    failures: VecDeque<Err>,
    /// Tasks that were told that the service is not ready.
    unready: Vec<Waker>,
    requests: VecDeque<(Req, Reply<Res, Err>)>,
    /// Tasks that wait for a request.
    waiting: Vec<Waker>,
    answer: Option<Answer<Req, Res, Err>>,
}

type Answer<Req, Res, Err> = Arc<dyn Fn(Req) -> Result<Res, Err> + Send + Sync>;

enum Readiness {
    Always,
    Times(u64),
}

#[derive(Default)]
struct Counts {
    polls: AtomicU64,
    calls: AtomicU64,
    unready_calls: AtomicU64,
    in_flight: AtomicU64,
    dropped: AtomicU64,
}

struct Slot<Res, Err> {
    answer: Option<Result<Res, Err>>,
    /// The caller has its answer, or gave up.
    over: bool,
    caller: Option<Waker>,
    replier: Option<Waker>,
}

// === impl ServiceProbe ===

impl<Req, Res, Err> ServiceProbe<Req, Res, Err> {
    /// A service that is ready, and the handle that answers its calls.
    pub fn new() -> (Self, ProbeHandle<Req, Res, Err>) {
        let shared = Arc::new(Shared {
            script: Mutex::new(Script {
                readiness: Readiness::Always,
                failures: VecDeque::new(),
                unready: Vec::new(),
                requests: VecDeque::new(),
                waiting: Vec::new(),
                answer: None,
            }),
            counts: Arc::default(),
        });
        (Self { shared: Arc::clone(&shared), ready: false }, ProbeHandle { shared })
    }
}

/// A clone is not ready until it has been asked.
impl<Req, Res, Err> Clone for ServiceProbe<Req, Res, Err> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), ready: false }
    }
}

impl<Req, Res, Err> fmt::Debug for ServiceProbe<Req, Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProbe").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl<Req, Res, Err> Service<Req> for ServiceProbe<Req, Res, Err> {
    type Response = Res;
    type Error = Err;
    type Future = ProbeFuture<Res, Err>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Err>> {
        self.shared.counts.polls.fetch_add(1, Ordering::Relaxed);
        let mut script = lock(&self.shared.script);
        if let Some(error) = script.failures.pop_front() {
            self.ready = false;
            return Poll::Ready(Err(error));
        }
        if !self.ready {
            match &mut script.readiness {
                Readiness::Always => {}
                Readiness::Times(0) => {
                    register(&mut script.unready, context);
                    return Poll::Pending;
                }
                Readiness::Times(left) => *left -= 1,
            }
            self.ready = true;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let counts = Arc::clone(&self.shared.counts);
        counts.calls.fetch_add(1, Ordering::Relaxed);
        counts.in_flight.fetch_add(1, Ordering::Relaxed);
        if !std::mem::take(&mut self.ready) {
            counts.unready_calls.fetch_add(1, Ordering::Relaxed);
        }
        let slot = Arc::new(Mutex::new(Slot { answer: None, over: false, caller: None, replier: None }));
        let future = ProbeFuture { slot: Arc::clone(&slot), counts };
        let mut script = lock(&self.shared.script);
        match script.answer.clone() {
            Some(answer) => {
                // The closure is the test's, and may use the handle.
                drop(script);
                let answer = answer(request);
                lock(&slot).answer = Some(answer);
            }
            None => {
                script.requests.push_back((request, Reply { slot }));
                let waiting = std::mem::take(&mut script.waiting);
                drop(script);
                waiting.into_iter().for_each(Waker::wake);
            }
        }
        future
    }
}

// === impl ProbeHandle ===

impl<Req, Res, Err> ProbeHandle<Req, Res, Err> {
    /// The service is ready from now on, as often as it is asked. Wakes everybody who waits for that.
    pub fn ready(&self) {
        self.change(|script| script.readiness = Readiness::Always);
    }

    /// The service is ready for `calls` more calls and then not: each readiness that is given out takes one away,
    /// whether or not a call follows. Wakes everybody who waits for readiness.
    pub fn ready_for(&self, calls: u64) {
        self.change(|script| script.readiness = Readiness::Times(calls));
    }

    /// The service is not ready from now on. A readiness that was given out already still holds for its call.
    pub fn not_ready(&self) {
        self.ready_for(0);
    }

    /// The next poll for readiness, of whichever clone, fails with this error; after it the readiness is what it was.
    /// More than one error wait in line. Wakes everybody who waits for readiness.
    pub fn fail_ready(&self, error: Err) {
        self.change(|script| script.failures.push_back(error));
    }

    /// The oldest call that nobody has taken yet: its request, and the reply to it. Waits for one if there is none,
    /// for as long as it takes.
    pub async fn next_request(&self) -> (Req, Reply<Res, Err>) {
        poll_fn(|context| {
            let mut script = lock(&self.shared.script);
            match script.requests.pop_front() {
                Some(request) => Poll::Ready(request),
                None => {
                    register(&mut script.waiting, context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The oldest call that nobody has taken yet, if there is one.
    pub fn try_next_request(&self) -> Option<(Req, Reply<Res, Err>)> {
        lock(&self.shared.script).requests.pop_front()
    }

    /// Answers every call from now on with a closure, at once: they do not come to
    /// [`next_request`](Self::next_request). The closure runs inside `call`.
    pub fn answer_with(&self, answer: impl Fn(Req) -> Result<Res, Err> + Send + Sync + 'static) {
        lock(&self.shared.script).answer = Some(Arc::new(answer));
    }

    /// Ends [`answer_with`](Self::answer_with): calls come to [`next_request`](Self::next_request) again.
    pub fn answer_by_hand(&self) {
        let answer = lock(&self.shared.script).answer.take();
        drop(answer);
    }

    /// How many calls were made so far, of all clones.
    pub fn calls(&self) -> u64 {
        self.shared.counts.calls.load(Ordering::Relaxed)
    }

    /// How many of them were made without a readiness of that clone since its last call: breaches of tower's
    /// contract.
    pub fn unready_calls(&self) -> u64 {
        self.shared.counts.unready_calls.load(Ordering::Relaxed)
    }

    /// How often a clone was asked whether it is ready.
    pub fn polls(&self) -> u64 {
        self.shared.counts.polls.load(Ordering::Relaxed)
    }

    /// How many calls are under way: neither has the caller its answer, nor did it give up.
    pub fn in_flight(&self) -> u64 {
        self.shared.counts.in_flight.load(Ordering::Relaxed)
    }

    /// How many calls were given up: their futures were dropped before they had the answer.
    pub fn dropped(&self) -> u64 {
        self.shared.counts.dropped.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Script<Req, Res, Err>)) {
        let mut script = lock(&self.shared.script);
        change(&mut script);
        let unready = std::mem::take(&mut script.unready);
        drop(script);
        unready.into_iter().for_each(Waker::wake);
    }
}

impl<Req, Res, Err> Clone for ProbeHandle<Req, Res, Err> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<Req, Res, Err> fmt::Debug for ProbeHandle<Req, Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeHandle")
            .field("calls", &self.calls())
            .field("unready_calls", &self.unready_calls())
            .field("polls", &self.polls())
            .field("in_flight", &self.in_flight())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

// === impl Reply ===

impl<Res, Err> Reply<Res, Err> {
    /// Answers the call. True if the caller still waited for it.
    pub fn send(self, answer: Result<Res, Err>) -> bool {
        let mut slot = lock(&self.slot);
        if slot.over {
            return false;
        }
        slot.answer = Some(answer);
        let caller = slot.caller.take();
        drop(slot);
        if let Some(caller) = caller {
            caller.wake();
        }
        true
    }

    /// Whether the caller gave up.
    pub fn is_dropped(&self) -> bool {
        lock(&self.slot).over
    }

    /// Waits until the caller gives up.
    pub async fn dropped(&self) {
        poll_fn(|context| {
            let mut slot = lock(&self.slot);
            if slot.over {
                return Poll::Ready(());
            }
            let old = slot.replier.replace(context.waker().clone());
            drop(slot);
            drop(old);
            Poll::Pending
        })
        .await;
    }
}

impl<Res, Err> fmt::Debug for Reply<Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("is_dropped", &self.is_dropped()).finish_non_exhaustive()
    }
}

// === impl ProbeFuture ===

impl<Res, Err> Future for ProbeFuture<Res, Err> {
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        match slot.answer.take() {
            Some(answer) => {
                slot.over = true;
                self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
                Poll::Ready(answer)
            }
            None => {
                let old = slot.caller.replace(context.waker().clone());
                drop(slot);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl<Res, Err> Drop for ProbeFuture<Res, Err> {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if std::mem::replace(&mut slot.over, true) {
            return;
        }
        self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        let (answer, replier) = (slot.answer.take(), slot.replier.take());
        drop(slot);
        drop(answer);
        if let Some(replier) = replier {
            replier.wake();
        }
    }
}

impl<Res, Err> fmt::Debug for ProbeFuture<Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeFuture")
            .field("answered", &lock(&self.slot).answer.is_some())
            .finish_non_exhaustive()
    }
}

// === locks and wakers ===

/// No waker and no code of the test runs while a lock is held, so that nothing is half done in a poisoned one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a task to those to be woken, unless it is one of them.
fn register(wakers: &mut Vec<Waker>, context: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
        wakers.push(context.waker().clone());
    }
}
