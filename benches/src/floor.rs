//! What nobody can beat: the bare call, and the least a breaker could do that counts its calls.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mainstay_core::Clock;

use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::subject::{Answer, Failure, Outcome};
use crate::work::Healthy;

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
