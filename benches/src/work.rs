//! The guarded work: a no-op that fails as often as a subject asks for.

use crate::subject::Failure;

/// Decides how each call ends, by the request it makes of [`perform`].
///
/// Every kind counts its calls, so that the optimizer never knows the outcome in advance and all pay alike.
pub trait Work: Clone + Send + 'static {
    /// A work whose first call has not been made.
    fn new() -> Self;

    /// The next request.
    fn request(&mut self) -> u64;
}

/// Does what the request asks for: fails if it is 0.
#[inline]
pub fn perform(request: u64) -> Result<u64, Failure> {
    if request == 0 { Err(Failure) } else { Ok(request) }
}

/// Fails every `N`th call.
#[derive(Clone)]
pub struct EveryNth<const N: u64>(u64);

/// Never fails (within a few centuries of calls).
pub type Healthy = EveryNth<{ u64::MAX }>;

/// Fails one call of a hundred.
pub type OnePercent = EveryNth<100>;

/// Fails always.
pub type Broken = EveryNth<1>;

impl<const N: u64> Work for EveryNth<N> {
    fn new() -> Self {
        Self(0)
    }

    #[inline]
    fn request(&mut self) -> u64 {
        self.0 = if self.0 == N - 1 { 0 } else { self.0 + 1 };
        self.0
    }
}

/// Fails three calls of ten, never two in a row.
#[derive(Clone)]
pub struct ThirtyPercent(u64);

impl Work for ThirtyPercent {
    fn new() -> Self {
        Self(0)
    }

    #[inline]
    fn request(&mut self) -> u64 {
        const FAILING: u64 = 0b00_0100_1001;
        self.0 = if self.0 == 9 { 0 } else { self.0 + 1 };
        if FAILING >> self.0 & 1 == 1 { 0 } else { self.0 }
    }
}

/// Fails `N` times and succeeds `N` times, in turns.
#[derive(Clone)]
pub struct Alternating<const N: u64>(u64);

impl<const N: u64> Work for Alternating<N> {
    fn new() -> Self {
        Self(0)
    }

    #[inline]
    fn request(&mut self) -> u64 {
        let turn = self.0;
        self.0 = if turn == 2 * N - 1 { 0 } else { turn + 1 };
        if turn < N { 0 } else { turn }
    }
}

/// Fails its first call, and never again.
#[derive(Clone)]
pub struct FirstFails(u64);

impl Work for FirstFails {
    fn new() -> Self {
        Self(0)
    }

    #[inline]
    fn request(&mut self) -> u64 {
        let request = self.0;
        self.0 = 1;
        request
    }
}
