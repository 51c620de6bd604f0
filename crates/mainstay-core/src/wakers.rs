use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use crate::panics::contain;

/// Who waits for something. No waker is cloned, woken or dropped while a lock is held, because all three may run code of
/// the user's.
#[derive(Default)]
pub(crate) struct Wakers(Mutex<Vec<Weak<Mutex<Option<Waker>>>>>);

/// A place among those who wait, given up on drop.
#[derive(Default)]
pub(crate) struct Seat(Option<Arc<Mutex<Option<Waker>>>>);

impl Wakers {
    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        let seats: Vec<_> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        for seat in seats {
            let waker = lock(&seat).take();
            if let Some(waker) = waker {
                // One that panics keeps neither the others from being woken nor whoever rings from going on.
                contain(|| waker.wake());
            }
        }
    }
}

impl Seat {
    /// Waits for the next wake. Look once more after this whether what is waited for has come already.
    pub(crate) fn wait(&mut self, wakers: &Wakers, waker: &Waker) {
        let waker = waker.clone();
        let seat = self.0.get_or_insert_with(|| {
            let seat = Arc::new(Mutex::new(None));
            let mut seats = lock(&wakers.0);
            seats.retain(|seat| seat.strong_count() > 0);
            seats.push(Arc::downgrade(&seat));
            seat
        });
        let old = lock(seat).replace(waker);
        drop(old);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
