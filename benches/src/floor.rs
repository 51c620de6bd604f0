//! What nobody can beat: the bare call, and the least a breaker could do that counts its calls.

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
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
    let (bump, timed) = ("two loads and a bump", "the same, a coarse clock and a bump");
    visitor.subject(floor(Path::Closed, bump).by("arc"), || {
        Guarded::<_, Healthy>::new(Arc::new(Floor::new(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, bump).by("leaked"), || Guarded::<_, Healthy>::new(leaked(CLOSED)));
    visitor.subject(floor(Path::Closed, timed).by("leaked"), || {
        Guarded::<_, Healthy>::new(Timed(leaked(CLOSED), Clock::monotonic()))
    });
    visitor.subject(floor(Path::Open, "one load and a bump").by("leaked"), || {
        Guarded::<_, Healthy>::new(leaked(OPEN))
    });
    visitor.subject(floor(Path::Open, "the same and a coarse clock").by("leaked"), || {
        Guarded::<_, Healthy>::new(Timed(leaked(OPEN), Clock::monotonic()))
    });

    let floor = |path, what| Id::new(Face::Layer, path, Who::Floor, what);
    visitor.subject(floor(Path::Closed, bump).by("leaked"), || {
        Layered::<_, Healthy>::new(Layer(leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Closed, bump).by("arc"), || {
        Layered::<_, Healthy>::new(Layer(Arc::new(Floor::new(CLOSED))))
    });
    visitor.subject(floor(Path::Closed, timed).by("leaked"), || {
        Layered::<_, Healthy>::new(Layer(timed_and_leaked(CLOSED)))
    });
    let told = "one load, a bump, a coarse clock and 80 bytes to say why";
    visitor.subject(floor(Path::Open, told).by("leaked"), || {
        Layered::<_, Healthy>::new(Layer(timed_and_leaked(OPEN)))
    });
    visitor.subject(floor(Path::Cloned, bump).by("leaked"), || {
        ClonedPerCall::<_, Healthy>::new(Layer(leaked(CLOSED)))
    });
    visitor.subject(floor(Path::Cloned, bump).by("arc"), || {
        ClonedPerCall::<_, Healthy>::new(Layer(Arc::new(Floor::new(CLOSED))))
    });
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

fn timed_and_leaked(word: u64) -> &'static Timed {
    Box::leak(Box::new(Timed(leaked(word), Clock::monotonic())))
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
        if clock.coarse_nanos() < u64::MAX {
            floor.bump();
        }
        answer
    }
}

/// The least that a layer could do: what [`Floor`] does, around a future that has its handle until it ends.
#[derive(Clone)]
struct Layer<H>(H);

enum LayerFuture<H> {
    Working { work: Ready<Result<u64, Failure>>, handle: H },
    Rejected { why: Option<Why> },
}

/// As large as a rejection that says which breaker, why, and when to come again.
type Why = [u64; 10];

enum LayerError {
    Rejected(Why),
    Failed(Failure),
}

/// A way to a [`Floor`], perhaps with a clock by which calls are counted.
trait Handle: Clone + Send + Unpin + 'static {
    fn floor(&self) -> &Floor;

    #[inline]
    fn now(&self) -> Option<u64> {
        None
    }
}

impl Handle for Arc<Floor> {
    #[inline]
    fn floor(&self) -> &Floor {
        self
    }
}

impl Handle for &'static Floor {
    #[inline]
    fn floor(&self) -> &Floor {
        self
    }
}

impl Handle for &'static Timed {
    #[inline]
    fn floor(&self) -> &Floor {
        self.0
    }

    #[inline]
    fn now(&self) -> Option<u64> {
        Some(self.1.coarse_nanos())
    }
}

impl<H: Handle> Service<u64> for Layer<H> {
    type Response = u64;
    type Error = LayerError;
    type Future = LayerFuture<H>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LayerError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> LayerFuture<H> {
        let floor = self.0.floor();
        let word = floor.word.0.load(Ordering::Acquire);
        if word == CLOSED {
            return LayerFuture::Working { work: ready(perform(request)), handle: self.0.clone() };
        }
        floor.bump();
        let now = self.0.now().unwrap_or_default();
        LayerFuture::Rejected { why: Some(std::array::from_fn(|at| now + at as u64)) }
    }
}

impl<H: Handle> Future for LayerFuture<H> {
    type Output = Result<u64, LayerError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (work, handle) = match self.get_mut() {
            Self::Working { work, handle } => (work, handle),
            Self::Rejected { why } => {
                return why.take().map_or(Poll::Pending, |why| Poll::Ready(Err(LayerError::Rejected(why))));
            }
        };
        let result = std::task::ready!(Pin::new(work).poll(cx));
        let floor = handle.floor();
        if result.is_ok() && floor.word.0.load(Ordering::Acquire) == CLOSED {
            floor.bump();
            if handle.now().is_some_and(|now| now < u64::MAX) {
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
