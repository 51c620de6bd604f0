//! The same windows in the memory of one gateway.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use quick_cache::sync::Cache;

use super::window::{Admission, Quota, Window};

/// How many users are counted at once; those who asked longest ago are forgotten first.
const USERS: usize = 100_000;

/// Counts for one gateway.
#[derive(Debug)]
pub struct LocalLimiter {
    users: Cache<String, Arc<Mutex<Counts>>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// When each window ends, and what was counted in it.
    windows: [(u64, u64); 3],
}

impl LocalLimiter {
    /// Nothing has been counted.
    pub fn new() -> Self {
        Self { users: Cache::new(USERS) }
    }

    /// Counts a request, if it is admitted.
    pub fn admit(&self, user: &str, quota: Quota) -> Admission {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.admit_at(user, quota, u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    fn admit_at(&self, user: &str, quota: Quota, now_ms: u64) -> Admission {
        let made = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(counts) = self.users.get_or_insert_with(user, made);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (window, counted) in Window::ALL.into_iter().zip(&mut counts.windows) {
            let end = window.end(now_ms);
            if counted.0 != end {
                *counted = (end, 0);
            }
        }
        let admitted = counts.windows.iter().zip(quota.0).all(|((_, counted), limit)| *counted < limit);
        if admitted {
            for (_, counted) in &mut counts.windows {
                *counted = counted.saturating_add(1);
            }
        }
        Admission::of(quota, counts.windows.map(|(_, counted)| counted), admitted, now_ms)
    }
}

impl Default for LocalLimiter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota([2, 3, 100]);

    #[test]
    fn a_window_lets_so_many_through_and_begins_anew() {
        let limiter = LocalLimiter::new();
        assert_eq!(limiter.admit_at("ann", QUOTA, 1_000).remaining, 1);
        assert_eq!(limiter.admit_at("ann", QUOTA, 2_000).remaining, 0);
        let refused = limiter.admit_at("ann", QUOTA, 15_000);
        assert_eq!(refused.refused_for.map(|wait| wait.as_secs()), Some(45));
        assert_eq!((refused.window, refused.limit, refused.resets_at), (Window::Minute, 2, 60));
        assert_eq!(limiter.admit_at("ann", QUOTA, 60_000).refused_for, None, "the next minute");
    }

    #[test]
    fn of_two_windows_that_refuse_the_longer_one_says_how_long() {
        let limiter = LocalLimiter::new();
        for now in [0, 1, 60_000] {
            assert_eq!(limiter.admit_at("ann", QUOTA, now).refused_for, None);
        }
        let refused = limiter.admit_at("ann", QUOTA, 60_001);
        assert_eq!(refused.window, Window::Hour);
        assert_eq!(refused.refused_for.map(|wait| wait.as_millis()), Some(3_600_000 - 60_001));
    }

    #[test]
    fn what_is_refused_is_not_counted_and_users_are_apart() {
        let limiter = LocalLimiter::new();
        for now in 0..10 {
            limiter.admit_at("ann", QUOTA, now);
        }
        assert_eq!(limiter.admit_at("bob", QUOTA, 10).remaining, 1);
        assert_eq!(
            limiter.admit_at("ann", QUOTA, 60_000).remaining,
            0,
            "the hour has counted two, and this one"
        );
    }
}
