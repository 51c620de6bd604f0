//! The atomics and locks of std, or loom's under `--cfg loom`. Not part of the public promise.

#[cfg(not(loom))]
pub use std::sync::{
    Mutex, MutexGuard, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(loom)]
pub use once::{OnceBox, OnceLock};
#[cfg(not(loom))]
pub use once_cell::race::OnceBox;

/// Locks, and goes on after a panic elsewhere: what is behind our locks is whole at every step, because
/// no user code runs while they are held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// The one of std, and loom told what it orders.
#[cfg(loom)]
mod once {
    use loom::sync::atomic::{AtomicBool, Ordering};

    use super::{Mutex, lock};

    /// A cell that is written once.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        set: AtomicBool,
        making: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        /// An empty cell.
        pub fn new() -> Self {
            Self { set: AtomicBool::new(false), making: Mutex::new(()), value: std::sync::OnceLock::new() }
        }

        /// The value, if there is one.
        pub fn get(&self) -> Option<&T> {
            if self.set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        /// The value, made if there is none.
        pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let _making = lock(&self.making);
            let value = self.value.get_or_init(init);
            self.set.store(true, Ordering::Release);
            value
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    /// A box that is made once. Of two who make it at the same time the real one drops what the second made; here the second waits.
    /// What makes one must therefore do nothing else.
    #[derive(Debug)]
    pub struct OnceBox<T>(OnceLock<Box<T>>);

    impl<T> OnceBox<T> {
        /// No box yet.
        pub fn new() -> Self {
            Self(OnceLock::new())
        }

        /// What is in it, if there is one.
        pub fn get(&self) -> Option<&T> {
            self.0.get().map(|value| &**value)
        }

        /// What is in it, made if there is none.
        pub fn get_or_init(&self, init: impl FnOnce() -> Box<T>) -> &T {
            self.0.get_or_init(init)
        }
    }
}
