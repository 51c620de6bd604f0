use std::fmt;

use sha2::{Digest, Sha256};

use crate::flat::Flat;

/// A number that stands for effective settings: see [`Loaded::fingerprint`](crate::Loaded::fingerprint).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(flat: &Flat) -> Self {
        let mut hash = Sha256::new();
        for (path, leaf) in flat {
            // Lengths keep one pair from looking like two.
            for part in [path, &leaf.text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        let digest = hash.finalize();
        Self(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// As a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// As a number that a double, and so a metric, holds exactly: the upper 53 bits.
    pub const fn as_f64(self) -> f64 {
        (self.0 >> 11) as f64
    }
}

impl fmt::Display for Fingerprint {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
