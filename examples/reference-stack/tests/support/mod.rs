//! Programs as processes of their own, and the secrets that they are given and must not tell.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod descendants;
mod program;
mod token;

pub use descendants::leaves_nothing_behind;
pub use program::{Program, no_secret_in, secret};
pub use token::{JWT_SECRET, token};

use std::time::Duration;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until it holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asked).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}
