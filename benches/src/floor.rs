//! What nobody can beat: the bare call, and the least a breaker could do that counts its calls.

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use mainstay_core::Clock;
use tower::Service;

use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::subject::{Answer, Failure, Outcome, Refusal};
use crate::work::{Healthy, perform};

/// Hands over the bare calls and the floor.
pub fn visit(visitor: &mut impl Visitor) {
    let bare = |face, path| Id::new(face, path, Who::Bare, "unguarded");
    visitor.subject(bare(Face::Sync, Path::Closed), || Guarded::<_, Healthy>::new(Unguarded));
    visitor.subject(bare(Face::Layer, Path::Closed), || Layered::<_, Healthy>::new(Bare));
    visitor.subject(bare(Face::Layer, Path::Cloned), || ClonedPerCall::<_, Healthy>::new(Bare));

    let floor = |path, what| Id::new(Face::Sync, path, Who::Floor, what);
    visitor.subject(floor(Path::Closed, BUMP).by("arc"), || {
        Guarded::<_, Healthy>::new(Arc::new(Floor::new(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, BUMP).by("leaked"), || Guarded::<_, Healthy>::new(leaked(CLOSED)));
    visitor.subject(floor(Path::Closed, TIMED).by("leaked"), || Guarded::<_, Healthy>::new(timed(CLOSED)));
    visitor.subject(floor(Path::Open, LOAD).by("leaked"), || Guarded::<_, Healthy>::new(leaked(OPEN)));
    visitor.subject(floor(Path::Open, TOLD).by("leaked"), || Guarded::<_, Healthy>::new(timed(OPEN)));

    let floor = |path, what| Id::new(Face::Layer, path, Who::Floor, what);
    visitor.subject(floor(Path::Closed, BUMP).by("leaked"), || {
        Layered::<_, Healthy>::new(Least::around(leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, BUMP).by("arc"), || {
        Layered::<_, Healthy>::new(Least::around(Arc::new(Floor::new(CLOSED))))
    });
    visitor.subject(floor(Path::Closed, PROMISED).by("leaked"), || {
        Layered::<_, Healthy>::new(Promised::around(leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, PROMISED).by("arc"), || {
        Layered::<_, Healthy>::new(Promised::around(Arc::new(Floor::new(CLOSED))))
    });
    visitor.subject(floor(Path::Closed, PROMISED_AND_TIMED).by("leaked"), || {
        Layered::<_, Healthy>::new(Promised::around(timed_and_leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, PROMISED_AND_TIMED).by("arc"), || {
        Layered::<_, Healthy>::new(Promised::around(Arc::new(timed(CLOSED))))
    });
    visitor.subject(floor(Path::Open, TOLD).by("leaked"), || {
        Layered::<_, Healthy>::new(Least::around(timed_and_leaked(OPEN)))
    });
    visitor.subject(floor(Path::Open, PROMISED_AND_TOLD).by("leaked"), || {
        Layered::<_, Healthy>::new(Promised::around(timed_and_leaked(OPEN)))
    });
    visitor.subject(floor(Path::Cloned, PROMISED).by("leaked"), || {
        ClonedPerCall::<_, Healthy>::new(Promised::around(leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Cloned, PROMISED).by("arc"), || {
        ClonedPerCall::<_, Healthy>::new(Promised::around(Arc::new(Floor::new(CLOSED))))
    });
}

const BUMP: &str = "two loads and a bump";
const TIMED: &str = "two loads, a bump, a coarse clock and a bump";
const PROMISED: &str =
    "two loads and a bump, asked before the call too, the answer kept, a dropped call counted";
const PROMISED_AND_TIMED: &str = "all that, a coarse clock and a bump";
const LOAD: &str = "one load and a bump";
const TOLD: &str = "one load, a bump, a coarse clock and 80 bytes to say why";
const PROMISED_AND_TOLD: &str = "all that, asked before the call too, by the clock, and the answer kept";

/// Whether a floor looks at the clock.
pub fn is_timed(rule: &str) -> bool {
    [TIMED, PROMISED_AND_TIMED, TOLD, PROMISED_AND_TOLD].contains(&rule)
}

/// Whether a floor does what a layer must, and not only what it could not do without.
pub fn is_promised(rule: &str) -> bool {
    [PROMISED, PROMISED_AND_TIMED, PROMISED_AND_TOLD].contains(&rule)
}

/// No breaker at all.
#[derive(Clone)]
struct Unguarded;

impl Guard for Unguarded {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        work().answer()
    }
}

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const STRIPES: usize = 8;

/// A word that says whether calls pass, and a counter for each thread.
///
/// A call loads the word before and after the work, as it must to know that both belong together, and bumps the
/// counter that its thread alone writes with a plain load and store.
struct Floor {
    word: Padded,
    counts: [Padded; STRIPES],
}

#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicU64);

impl Floor {
    fn new(word: u64) -> Self {
        Self { word: Padded(AtomicU64::new(word)), counts: Default::default() }
    }

    #[inline]
    fn bump(&self) {
        if let Some(Padded(count)) = self.counts.get(stripe()) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// A call was dropped before its end.
    #[cold]
    #[inline(never)]
    fn dropped(&self) {
        self.bump();
    }

    #[inline]
    fn guarded(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        let before = self.word.0.load(Ordering::Acquire);
        if before != CLOSED {
            self.bump();
            return Answer::Rejected;
        }
        let result = work();
        if result.is_ok() && self.word.0.load(Ordering::Acquire) == before {
            self.bump();
        }
        result.answer()
    }
}

fn leaked(word: u64) -> &'static Floor {
    Box::leak(Box::new(Floor::new(word)))
}

fn timed(word: u64) -> Timed {
    Timed(leaked(word), Clock::monotonic())
}

fn timed_and_leaked(word: u64) -> &'static Timed {
    Box::leak(Box::new(timed(word)))
}

impl Guard for Arc<Floor> {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        self.guarded(work)
    }
}

impl Guard for &'static Floor {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        self.guarded(work)
    }
}

/// The same for a window of time: a look at the clock, and another bump for the slice that it is in.
#[derive(Clone)]
struct Timed(&'static Floor, Clock);

impl Guard for Timed {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        let Self(floor, clock) = self;
        let answer = floor.guarded(work);
        let now = clock.coarse_nanos();
        match answer {
            Answer::Rejected => _ = black_box(&why(now)),
            _ if now < u64::MAX => floor.bump(),
            _ => {}
        }
        answer
    }
}

/// The least that a layer could do: what [`Floor`] does, around a future that has its handle until it ends. With
/// `PROMISES` the least that does what a layer must: the inner service is asked only if calls pass, a call is made only
/// if it was ready, and one that is dropped is counted.
#[derive(Clone)]
struct Layer<H, const PROMISES: bool> {
    handle: H,
    readied: bool,
}

type Least<H> = Layer<H, false>;
type Promised<H> = Layer<H, true>;

enum LayerFuture<H: Handle, const PROMISES: bool> {
    Working { work: Ready<Result<u64, Failure>>, held: Held<H, PROMISES> },
    Rejected { why: Option<Why> },
}

/// The handle of a call under way.
struct Held<H: Handle, const PROMISES: bool> {
    handle: H,
    ended: bool,
}

impl<H: Handle, const PROMISES: bool> Drop for Held<H, PROMISES> {
    #[inline]
    fn drop(&mut self) {
        if PROMISES && !self.ended {
            self.handle.floor().dropped();
        }
    }
}

impl<H, const PROMISES: bool> Layer<H, PROMISES> {
    fn around(handle: H) -> Self {
        Self { handle, readied: false }
    }
}

/// As large as a rejection that says which breaker, why, and when to come again.
type Why = [u64; 10];

#[inline]
fn why(now: u64) -> Why {
    std::array::from_fn(|at| now + at as u64)
}

enum LayerError {
    Rejected(Why),
    Failed(Failure),
}

/// A [`Floor`], perhaps with a clock by which calls are counted.
trait Job {
    fn floor(&self) -> &Floor;

    #[inline]
    fn now(&self) -> Option<u64> {
        None
    }
}

impl Job for Floor {
    #[inline]
    fn floor(&self) -> &Floor {
        self
    }
}

impl Job for Timed {
    #[inline]
    fn floor(&self) -> &Floor {
        self.0
    }

    #[inline]
    fn now(&self) -> Option<u64> {
        Some(self.1.coarse_nanos())
    }
}

/// A way to it: an `Arc`, or a reference for ever.
trait Handle: Deref<Target: Job> + Clone + Send + Unpin + 'static {}

impl<H: Deref<Target: Job> + Clone + Send + Unpin + 'static> Handle for H {}

impl<H: Handle, const PROMISES: bool> Service<u64> for Layer<H, PROMISES> {
    type Response = u64;
    type Error = LayerError;
    type Future = LayerFuture<H, PROMISES>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LayerError>> {
        if PROMISES {
            let passes = self.handle.floor().word.0.load(Ordering::Acquire) == CLOSED;
            self.readied = passes || self.handle.now().is_some_and(|now| now == u64::MAX);
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        let floor = self.handle.floor();
        let readied = !PROMISES || std::mem::take(&mut self.readied);
        if readied && floor.word.0.load(Ordering::Acquire) == CLOSED {
            let held = Held { handle: self.handle.clone(), ended: false };
            return LayerFuture::Working { work: ready(perform(request)), held };
        }
        floor.bump();
        let now = self.handle.now().unwrap_or_default();
        LayerFuture::Rejected { why: Some(why(now)) }
    }
}

impl<H: Handle, const PROMISES: bool> Future for LayerFuture<H, PROMISES> {
    type Output = Result<u64, LayerError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (work, held) = match self.get_mut() {
            Self::Working { work, held } => (work, held),
            Self::Rejected { why } => {
                return why.take().map_or(Poll::Pending, |why| Poll::Ready(Err(LayerError::Rejected(why))));
            }
        };
        let result = std::task::ready!(Pin::new(work).poll(cx));
        held.ended = true;
        let floor = held.handle.floor();
        if result.is_ok() && floor.word.0.load(Ordering::Acquire) == CLOSED {
            floor.bump();
            if held.handle.now().is_some_and(|now| now < u64::MAX) {
                floor.bump();
            }
        }
        Poll::Ready(result.map_err(LayerError::Failed))
    }
}

impl Refusal for LayerError {
    #[inline]
    fn is_rejection(&self) -> bool {
        match self {
            Self::Rejected(why) => {
                // It is looked at, so that it is written.
                black_box(why);
                true
            }
            Self::Failed(Failure) => false,
        }
    }
}

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[inline]
fn stripe() -> usize {
    let mine = STRIPE.get();
    if mine == usize::MAX { claim() } else { mine }
}

#[cold]
fn claim() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mine = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    STRIPE.set(mine);
    mine
}
