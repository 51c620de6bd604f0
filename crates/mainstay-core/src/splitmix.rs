//! Numbers as if at random from seeds (SplitMix64; Steele, Lea and Flood 2014): for jitter, which must be a pure function.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 2^64 divided by the golden ratio: SplitMix64's step from one seed to the next.
pub const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that belongs to a seed.
pub fn scramble(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(GOLDEN_RATIO);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Which share of 2^64 a number is, in `[0, 1)`: its upper 53 bits, which fill a double's mantissa.
pub fn share(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// A seed that differs between processes, and between calls.
pub fn random() -> u64 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    KEYS.get_or_init(RandomState::new).hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}
